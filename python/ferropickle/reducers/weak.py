"""Weak references and weak containers.

The referent goes along in the stream, and is alive afterwards only if something
else in the stream holds it, as in the program that wrote it.
"""

from __future__ import annotations

import collections
import copyreg
import functools
import operator
import types
import weakref
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

_CONTAINERS = (weakref.WeakValueDictionary, weakref.WeakKeyDictionary, weakref.WeakSet)


def ref(obj: Any, policy: Any) -> ReduceValue:
    return _reference(weakref.ref, obj(), obj.__callback__)


def ref_subclass(obj: Any, policy: Any) -> ReduceValue:
    cls, referent = type(obj), obj()
    if referent is None or _is_written_in_python(cls):
        return NotImplemented
    slots = {name: getattr(obj, name) for name in copyreg._slotnames(cls) if hasattr(obj, name)}  # type: ignore[attr-defined]
    state = (getattr(obj, "__dict__", None), slots)
    return copyreg.__newobj__, (cls, referent, obj.__callback__), state  # type: ignore[attr-defined]


def weak_method(obj: Any, policy: Any) -> ReduceValue:
    method = obj()
    if method is None:
        # A list's method would do, were it a method written in Python.
        return _dead(weakref.WeakMethod, operator.attrgetter("append"), collections.UserList)
    # `__callback__` is a function of the WeakMethod's own, over the user's.
    inner = obj.__callback__
    cells = dict(zip(inner.__code__.co_freevars, inner.__closure__, strict=True))
    return _reference(weakref.WeakMethod, method, cells["callback"].cell_contents)


def proxy(obj: Any, policy: Any) -> ReduceValue:
    try:
        referent = _behind_proxy(obj)
    except ReferenceError:
        if type(obj) is weakref.CallableProxyType:
            return _dead(weakref.proxy, functools.partial, made_from=int)
        return _dead(weakref.proxy, set)
    return weakref.proxy, (referent,)


def weak_value_dictionary(obj: Any, policy: Any) -> ReduceValue:
    return weakref.WeakValueDictionary, (), None, None, iter(list(obj.items()))


def weak_key_dictionary(obj: Any, policy: Any) -> ReduceValue:
    return weakref.WeakKeyDictionary, (), None, None, iter(list(obj.items()))


def weak_set(obj: Any, policy: Any) -> ReduceValue:
    # Its own reduction has its internals for state.
    return weakref.WeakSet, (), list(obj), None, None, weakref.WeakSet.update


def container_subclass(obj: Any, policy: Any) -> ReduceValue:
    """A weak container of a class of the user's: its attributes too, its `__init__` not called."""
    base: Any = next(cls for cls in type(obj).__mro__ if cls in _CONTAINERS)
    contents = list(obj) if base is weakref.WeakSet else dict(obj.items())
    # What the container itself keeps is made anew by its `__init__`.
    own = vars(base())
    state = {name: value for name, value in vars(obj).items() if name not in own}
    calls = [
        Call(base.__init__, obj),
        Call(dict.update, attribute(obj, "__dict__"), state),
        Call(base.update, obj, contents),
    ]
    return after(object.__new__, (type(obj),), calls)


def finalizer(obj: Any, policy: Any) -> ReduceValue:
    """A live `weakref.finalize`; one that has run has no state to lose."""
    alive = obj.peek()
    if alive is None:
        return NotImplemented
    referent, function, args, kwargs = alive
    make: Callable[..., Any] = weakref.finalize
    if kwargs:
        make = functools.partial(weakref.finalize, **kwargs)
    atexit = [] if obj.atexit else [Call(setattr, obj, "atexit", False)]
    return after(make, (referent, function, *args), atexit)


def _is_written_in_python(cls: type) -> bool:
    """Whether calling the class may want more than a referent and a callback."""
    return any(
        isinstance(getattr(cls, name), types.FunctionType) for name in ("__new__", "__init__")
    )


def _reference(
    make: Callable[..., Any], referent: object, callback: Callable[..., Any] | None
) -> ReduceValue:
    if referent is None:
        return _dead(make, set)
    return (make, (referent,)) if callback is None else (make, (referent, callback))


def _dead(make: Callable[..., Any], *steps: Callable[..., Any], made_from: object = ()) -> Any:
    """A reference that is dead at once: to what only a chain of maps ever held."""
    chain: Any = (made_from,)
    for step in reversed(steps):
        chain = map(step, chain)
    return next, (map(make, chain),)


def _behind_proxy(obj: Any) -> object:
    """What a proxy stands for: a bound method reached through it tells.

    Raises ReferenceError if it has died.
    """
    is_class = issubclass(obj.__class__, type)
    candidate = (obj.mro if is_class else obj.__reduce_ex__).__self__
    if any(found is obj for found in weakref.getweakrefs(candidate)):
        return candidate
    return refuse(obj, "its referent cannot be told; pickle the referent and make a proxy of it")
