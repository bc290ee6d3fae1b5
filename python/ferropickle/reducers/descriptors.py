"""Descriptors written in C, `super` objects, capsules."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, by_name, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def descriptor(obj: Any, policy: Any) -> ReduceValue:
    """A descriptor of a class: read off the class, or out of its namespace where that gives
    something else."""
    owner, name = obj.__objclass__, obj.__name__
    if getattr(owner, name, None) is obj:
        return getattr, (owner, name)
    if type.__dict__["__dict__"].__get__(owner).get(name) is obj:
        return operator.getitem, (Call(getattr, owner, "__dict__"), name)
    refuse(obj, f"{owner.__qualname__} does not have it under the name {name!r}")


def method_wrapper(obj: Any, policy: Any) -> ReduceValue:
    """A special method bound to an object; one bound to a class may hide behind the class's own."""
    bound_to, name = obj.__self__, obj.__name__
    if getattr(bound_to, name, None) == obj:
        return getattr, (bound_to, name)
    wrapper = Call(getattr, obj.__objclass__, name)
    return operator.methodcaller("__get__", bound_to), (wrapper,)


def super_object(obj: Any, policy: Any) -> ReduceValue:
    # `super` objects look attributes up elsewhere, also those of their own.
    this_class = super.__thisclass__.__get__(obj)  # type: ignore[attr-defined]
    bound_to = super.__self__.__get__(obj)  # type: ignore[attr-defined]
    return super, (this_class,) if bound_to is None else (this_class, bound_to)


def capsule(obj: Any, policy: Any) -> ReduceValue:
    """A capsule that a module offers under the name that the capsule has."""
    name = repr(obj).split('"')[1] if '"' in repr(obj) else ""
    module_name, _, path = name.rpartition(".")
    found = getattr(sys.modules.get(module_name), path, None) if path else None
    if found is obj:
        return by_name(module_name, path)
    refuse(obj, "it holds a pointer of this process; pickle what it was made from")
