"""What reducers write their results with: calls within calls, and calls that follow.

A reduce value calls one function. `Call` is an argument that is itself the
result of a call, and `after` lists calls that are made once the object is
there. Both are plain reduces, so stock pickle loads them.
"""

from __future__ import annotations

import importlib
import operator
import os
import sys
import types
from _pickle import PicklingError as StockPicklingError
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What `__reduce_ex__` may return, or NotImplemented: as if there were no reducer.
ReduceValue: TypeAlias = Any


# The module of `shared`, part of the streams: never renamed.
SHARED = "_ferropickle_shared"


class Call:
    """Stands in a stream for the result of a call, made anew by each load.

    One `Call` in several places is one object when loaded.
    """

    __slots__ = ("_value",)

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._value: tuple[Any, ...] = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        """The reduce value that is this call."""
        return self._value

    def then(self, *calls: Call) -> Call:
        """The same with calls to be made after it, which may have it among their arguments."""
        function, args, *_ = self._value
        self._value = after(function, args, calls)
        return self


def after(
    function: Callable[..., Any], args: tuple[Any, ...], calls: Sequence[object]
) -> ReduceValue:
    """The reduce value `function(*args)`, with calls to be made after it.

    The calls, or objects that are calls when they are written, may have the
    object itself among their arguments. They are its state, for a setter that
    leaves both alone.
    """
    if not calls:
        return function, args
    return function, args, list(calls), None, None, operator.is_


def call_result(function: Call, *args: Any) -> Call:
    """A call of what another call returns."""
    return Call(operator.methodcaller("__call__", *args), function)


def module(name: str) -> Call:
    """The module of this name, imported by the receiver."""
    return Call(importlib.import_module, name)


def attribute(obj: Any, path: str) -> Call:
    """The attribute of an object, or of its attributes if the path has dots."""
    return Call(operator.attrgetter(path), obj)


def by_name(module_name: str, path: str) -> ReduceValue:
    """The reduce value for what a module holds under a name, whatever its type."""
    return operator.attrgetter(path), (module(module_name),)


def found_in_modules(obj: object, policy: Any) -> tuple[str, str] | None:
    """A module that the receiver imports, and the name under which it holds the object.

    Goes through every module that is loaded: only for types that are rare.
    """
    for name, loaded in sys.modules.copy().items():
        if name not in {"__mp_main__", SHARED}:
            key = _name_in(loaded, obj)
            if key is not None and not goes_by_value(name, policy):
                return name, key
    return None


def is_global_by_value(obj: object, policy: Any) -> bool:
    """Whether a module that goes by value, such as `__main__`, holds the object under a name."""
    return any(
        _name_in(loaded, obj) is not None
        for name, loaded in sys.modules.copy().items()
        if goes_by_value(name, policy)
    )


def is_found_by_name(obj: Any) -> bool:
    """Whether its module has the object under its qualified name."""
    found: Any = sys.modules.get(obj.__module__)
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def goes_by_value(module_name: object, policy: Any) -> bool:
    """Whether functions and classes of a module go by value although their names are found."""
    if module_name == "__main__":
        return policy is None or policy.main != "ref" or policy.face == "dill"
    takes: Callable[[object], bool] | None = getattr(policy, "_takes_module", None)
    return takes is not None and isinstance(module_name, str) and takes(module_name)


def shared(obj: object, make: Call) -> ReduceValue:
    """The reduce value for an object of which a process has one, however often it is loaded.

    A module that only holds such objects keeps it, here and in the receiver,
    for as long as the process lives; the first load there makes it.
    """
    here = vars(sys.modules.setdefault(SHARED, types.ModuleType(SHARED)))
    key = _name_in(sys.modules[SHARED], obj)
    if key is None:
        key = f"_{os.urandom(16).hex()}"
        here[key] = obj
    modules = attribute(module("sys"), "modules")
    holder = Call(dict.setdefault, modules, SHARED, Call(types.ModuleType, SHARED))
    return dict.setdefault, (attribute(holder, "__dict__"), key, make)


def _name_in(loaded: object, obj: object) -> str | None:
    namespace = getattr(loaded, "__dict__", None)
    if type(namespace) is not dict:
        return None
    for key, value in namespace.copy().items():
        if value is obj and type(key) is str and key.isidentifier():
            return key
    return None


class PicklingError(StockPicklingError, TypeError):
    """A PicklingError that is also what stock pickle raises for such an object."""

    # As which its users know it.
    __module__ = "ferropickle"

    def __reduce__(self) -> tuple[Any, ...]:
        return StockPicklingError, self.args


def refuse(obj: object, why: str) -> NoReturn:
    """Raise PicklingError, a TypeError too: the type of the object, why, what to do instead."""
    raise PicklingError(f"cannot pickle {type(obj).__qualname__!r} object: {why}")
