"""Is a copy the same graph as its original? Types, values, order and shared identity."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import pathlib
import struct
import types
import uuid
from collections.abc import Iterator
from typing import Any

VALUES = (
    int, str, bytes, bool, type(None), complex, type(...), datetime.date, datetime.time,
    datetime.timedelta, datetime.tzinfo, decimal.Decimal, uuid.UUID, pathlib.PurePath,
    types.CodeType,
)  # fmt: skip


def same(original: Any, copy: Any) -> str:
    """`""` if the same; `"x"` if a type or value differs; `"i"` if only shared identity is lost.

    Walks with a stack of its own, so depth and cycles are no matter.
    """
    verdict = ""
    there: dict[int, Any] = {}  # id(original) -> copy
    back: dict[int, Any] = {}  # id(copy) -> original
    stack = [(original, copy)]
    while stack:
        a, b = stack.pop()
        if type(a) is not type(b):
            return "x"
        if isinstance(a, float):
            if struct.pack("<d", a) != struct.pack("<d", b):
                return "x"
            continue
        if isinstance(a, (enum.Enum, type, types.ModuleType)):
            if a is not b:
                return "x"
            continue
        if isinstance(a, VALUES):
            if a != b:
                return "x"
            continue
        if id(a) in there:
            if there[id(a)] is not b:
                verdict = "i"
            continue
        if id(b) in back:
            verdict = "i"
        there[id(a)] = b
        back[id(b)] = a
        pairs = _parts(a, b)
        if pairs is None:
            return "x"
        stack.extend(pairs)
    return verdict


def _parts(a: Any, b: Any) -> list[tuple[Any, Any]] | None:
    """The pairs that must be the same for `a` and `b` to be so; None if they cannot be.

    The order of attributes is not compared: dataclass codecs sort them.
    """
    pairs: list[tuple[Any, Any]] = []
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return None
        pairs.extend(zip(a, b, strict=True))
    elif isinstance(a, dict):
        if len(a) != len(b):
            return None
        for (ka, va), (kb, vb) in zip(a.items(), b.items(), strict=True):
            pairs += ((ka, kb), (va, vb))
    elif isinstance(a, (set, frozenset)):
        return None if a != b else pairs  # the payloads have sets of values only
    elif isinstance(a, bytearray):
        return None if a != b else pairs
    elif isinstance(a, types.FunctionType):
        if a.__module__ != b.__module__:
            return None
        pairs += zip(_function(a), _function(b), strict=True)
    elif isinstance(a, types.MethodType):
        pairs += ((a.__func__, b.__func__), (a.__self__, b.__self__))
    elif isinstance(a, functools.partial):
        pairs += ((a.func, b.func), (a.args, b.args), (a.keywords, b.keywords))
    elif hasattr(a, "equals"):
        return pairs if a.equals(b) else None  # a table
    elif hasattr(a, "dtype"):
        if a.dtype != b.dtype or a.shape != b.shape:
            return None
        if getattr(a.dtype, "hasobject", False):
            return [(a.tolist(), b.tolist())]
        # by bytes as well: a NaN is not equal to itself
        return pairs if bool((a == b).all()) or a.tobytes() == b.tobytes() else None
    elif not hasattr(a, "__dict__") and type(a).__reduce__ is not object.__reduce__:
        pairs += zip(a.__reduce__()[1:], b.__reduce__()[1:], strict=True)
    if getattr(a, "__dict__", None) or getattr(b, "__dict__", None):
        pairs.append((dict(sorted(vars(a).items())), dict(sorted(vars(b).items()))))
    for name in _slots(type(a)):
        if hasattr(a, name) != hasattr(b, name):
            return None
        if hasattr(a, name):
            pairs.append((getattr(a, name), getattr(b, name)))
    return pairs


def _function(f: types.FunctionType) -> list[Any]:
    """What a function does and what it does it with; of its globals those that it names itself."""
    used = {name: f.__globals__[name] for name in f.__code__.co_names if name in f.__globals__}
    cells = [cell.cell_contents for cell in f.__closure__ or ()]
    return [f.__code__, f.__qualname__, f.__defaults__, f.__kwdefaults__, cells, used]


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        names = base.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__"):
                yield name
