"""Arrays of subclasses, whose attributes NumPy leaves out of its pickles."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def subclass(obj: Any, policy: Any) -> ReduceValue:
    """With the face of dill its attributes, too; else as NumPy writes it."""
    attributes = getattr(obj, "__dict__", None)
    if not attributes or policy is None or policy.face != "dill":
        return NotImplemented
    function, args, state = obj.__reduce__()
    calls = [
        Call(operator.methodcaller("__setstate__", state), obj),
        Call(dict.update, attribute(obj, "__dict__"), dict(attributes)),
    ]
    return after(function, args, calls)
