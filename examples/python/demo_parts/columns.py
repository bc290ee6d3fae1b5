"""Columns of numbers: NumPy arrays, or the standard library's where NumPy is not installed."""

from __future__ import annotations

import array
import pickle
from collections.abc import Iterable
from typing import Any

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment]


class Column:
    """A typed column without NumPy: out of band by `PickleBuffer`, as NumPy does it."""

    def __init__(self, code: str, buffer: Any) -> None:
        self.code = code
        self.view = memoryview(buffer).cast("B").cast(code)

    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:
        return Column, (self.code, pickle.PickleBuffer(self.view))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and self.view == other.view

    __hash__ = None  # type: ignore[assignment]


def column(code: str, values: Iterable[float]) -> Any:
    """A column of `values`; `code` is i (int32), I (uint32) or d (float64)."""
    if np is None:
        return Column(code, array.array(code, values))
    return np.array(values if isinstance(values, list) else list(values), dtype=code)


def equal(a: Any, b: Any) -> bool:
    """Same type and same numbers."""
    if np is None:
        return bool(a == b)
    return a.dtype == b.dtype and np.array_equal(a, b)


def total(a: Any) -> int:
    """The sum of the column."""
    return sum(a.view) if np is None else int(a.sum(dtype=np.int64))


def shift(a: Any, by: int) -> None:
    """Add `by` to every number, in place: the memory that came out of band is writable."""
    if np is None:
        view = a.view
        for i, value in enumerate(view):
            view[i] = value + by
    else:
        a += by
