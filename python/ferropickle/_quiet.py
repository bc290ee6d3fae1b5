"""Calls and states of a stream that look at no elements of arrays on devices.

A load makes them while elements of arrays wait to be copied; before any other, these are copied.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
import types
from typing import Any

__all__ = ["is_quiet", "is_quiet_state"]

# Whose objects and functions run no code of the user's.
_LIBRARIES = frozenset({"cupy", "ferropickle", "numba", "numpy", "rmm", "torch"})
# Methods that make views, or nothing of an array.
_METHODS = frozenset({"cuda", "requires_grad_", "reshape", "view"})
_CLASSES = frozenset(
    {
        "builtins.slice",
        "datetime.date",
        "datetime.datetime",
        "datetime.timezone",
        "functools.partial",
        "operator.attrgetter",
        "operator.methodcaller",
    }
)


def is_quiet(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether a call of a stream looks at no elements, and runs no code that might."""
    if type(function) is functools.partial:
        function = function.func
    if type(function) is type and _full_name(function) in _CLASSES:
        return True
    if not args:
        return function is types.SimpleNamespace
    if type(function) in (operator.methodcaller, operator.attrgetter):
        reduced: Any = function.__reduce__()
        method = type(function) is operator.methodcaller
        known = reduced[1][0] in _METHODS if method else reduced[1] == ("gpu_data",)
        return known and _is_of_library(args[0])
    if function is operator.getitem:
        return _is_of_library(args[0]) and type(args[1]) is slice
    if any(function is known for known in _found(_VALUES)):
        return all(type(arg) in (str, int, float, bytes) for arg in args)
    return any(function is known for known in _found(_FUNCTIONS)) and _is_harmless(args[0])


def is_quiet_state(obj: Any) -> bool:
    """Whether an object takes its state without running code of the user's."""
    cls = type(obj)
    uuid = getattr(sys.modules.get("uuid"), "UUID", None)
    if cls is functools.partial or cls is types.SimpleNamespace or cls is uuid:
        return True
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(obj, numpy.dtype):
        return True
    module = getattr(getattr(torch, "nn", None), "Module", None)
    return module is not None and getattr(cls, "__setstate__", None) is module.__setstate__


# Functions that make views and describe elements, by module.
_FUNCTIONS = {
    "cupy": ("lib.stride_tricks.as_strided",),
    "ferropickle._device": ("view",),
    "numba.cuda": ("cudadrv.devicearray.DeviceNDArray",),
    "numpy": ("dtype", "ndarray"),
    "torch": ("as_strided", "frombuffer", "nn.Parameter"),
}
# Classes of the standard library whose objects are made of text and numbers.
_ADDRESSES = tuple(f"IPv{n}{kind}" for n in (4, 6) for kind in ("Address", "Interface", "Network"))
_VALUES = {
    "datetime": ("timedelta",),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "ipaddress": _ADDRESSES,
    "pathlib": ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
}


# What `_found` has found, by the modules that it is of.
_FOUND: dict[tuple[Any, ...], list[Any]] = {}


def _found(names: dict[str, tuple[str, ...]]) -> list[Any]:
    """What has these names, in the modules that are loaded."""
    modules = (id(names), *map(sys.modules.get, names))
    found = _FOUND.get(modules)
    if found is None:
        found = []
        for module, paths in zip(modules[1:], names.values(), strict=True):
            for path in paths:
                with contextlib.suppress(AttributeError):
                    found.append(operator.attrgetter(path)(module))
        if len(_FOUND) > 2:
            _FOUND.clear()
        _FOUND[modules] = found
    return found


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_of_library(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in _LIBRARIES


def _is_harmless(value: Any) -> bool:
    return type(value).__module__ == "builtins" or _is_of_library(value)
