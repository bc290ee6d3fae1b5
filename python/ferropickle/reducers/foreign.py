"""`ctypes`: libraries and their functions by name, and the types that it makes on demand.

`ctypes` itself pickles plain data, arrays and structures, and refuses pointers.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import sys
import types
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import (
    Call,
    after,
    by_name,
    goes_by_value,
    is_found_by_name,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

# Bits of a function type's `_flags_`, as in `ctypes.h`.
_PYTHONAPI, _USE_ERRNO = 4, 8
_FUNCTION_TYPES = ("CFUNCTYPE.<locals>.CFunctionType", "PYFUNCTYPE.<locals>.CFunctionType")


def array_type(cls: Any, policy: Any) -> ReduceValue:
    """The type that `type * length` is."""
    element, length = getattr(cls, "_type_", None), getattr(cls, "_length_", None)
    if element is not None and length is not None and element * length is cls:
        return operator.mul, (element, length)
    return NotImplemented


def simple_type(cls: Any, policy: Any) -> ReduceValue:
    """The type of the other byte order, which its counterpart has as an attribute."""
    native, other = "__ctype_le__", "__ctype_be__"
    if sys.byteorder == "big":
        native, other = other, native
    if getattr(cls, other, None) is cls and getattr(cls, native) is not cls:
        return getattr, (getattr(cls, native), other)
    return NotImplemented


def structure_type(cls: Any, policy: Any) -> ReduceValue:
    """A structure or union that is not found by its name: made again, then its fields given."""
    if is_found_by_name(cls) and not goes_by_value(cls.__module__, policy):
        return NotImplemented
    attributes = {
        name: value
        for name, value in vars(cls).items()
        # `_fields_` makes the descriptors of fields.
        if type(value).__name__ != "CField" and name not in ("__dict__", "__weakref__")
    }
    attributes["__qualname__"] = cls.__qualname__
    if "_fields_" in attributes:
        # What lays them out has to be there before.
        attributes["_fields_"] = attributes.pop("_fields_")
    calls = [Call(setattr, cls, name, value) for name, value in attributes.items()]
    return after(types.new_class, (cls.__name__, cls.__bases__), calls)


def pointer_type(cls: Any, policy: Any) -> ReduceValue:
    """The type that `ctypes.POINTER(type)` is."""
    target = getattr(cls, "_type_", None)
    if target is not None and ctypes.POINTER(target) is cls:
        return ctypes.POINTER, (target,)
    return NotImplemented


def function_type(cls: Any, policy: Any) -> ReduceValue:
    """The type that `ctypes.CFUNCTYPE(...)` or `PYFUNCTYPE(...)` is or, for the latter, is like."""
    if cls.__qualname__ not in _FUNCTION_TYPES:
        return NotImplemented
    flags = cls._flags_
    make: Callable[..., Any] = ctypes.CFUNCTYPE
    if flags & _PYTHONAPI:
        make = ctypes.PYFUNCTYPE
    elif flags & _USE_ERRNO:
        make = functools.partial(ctypes.CFUNCTYPE, use_errno=True)
    return make, (cls._restype_, *cls._argtypes_)


def library(obj: ctypes.CDLL, policy: Any) -> ReduceValue:
    """A library by its name, with the functions that have been given types."""
    if obj is ctypes.pythonapi:
        return by_name("ctypes", "pythonapi")
    make: Callable[..., Any] = type(obj)
    if obj._FuncPtr._flags_ & _USE_ERRNO:
        make = functools.partial(make, use_errno=True)
    typed = [
        value
        for value in vars(obj).values()
        if isinstance(value, obj._FuncPtr) and _settings(value, obj)
    ]
    # Their own reduce values give them their types.
    return after(make, (obj._name,), typed)


def function(obj: Any, policy: Any) -> ReduceValue:
    """A function of a library."""
    libraries = [x for x in (obj._objects or {}).values() if isinstance(x, ctypes.CDLL)]
    if len(libraries) != 1:
        refuse(obj, "it is a pointer of this process; pickle the Python function behind it")
    (of,) = libraries
    name = obj.__name__
    # Attributes of a library are kept by it, items are made anew.
    get = getattr if vars(of).get(name) is obj else operator.getitem
    calls = [Call(setattr, obj, setting, value) for setting, value in _settings(obj, of)]
    return after(get, (of, name), calls)


def _settings(obj: Any, of: ctypes.CDLL) -> list[tuple[str, Any]]:
    default = of._FuncPtr._restype_
    settings = [("restype", obj.restype)] if obj.restype is not default else []
    if obj.argtypes is not None:
        settings.append(("argtypes", obj.argtypes))
    if getattr(obj, "errcheck", None) is not None:
        settings.append(("errcheck", obj.errcheck))
    return settings
