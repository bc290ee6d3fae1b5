"""Fields of objects whose types offer no way to read them, straight from memory.

Only for types of `itertools`, whose layouts have been the same, as far as they
are read here, from 3.10 to 3.14.
"""

from __future__ import annotations

from typing import Any

# Stands for a field with no object in it.
NULL = object()

WORD = tuple.__itemsize__


def objects(obj: object, count: int, first: int = 0) -> list[Any]:
    """The objects in `count` fields from the `first` on, counted in words after the head."""
    return [_object_at(address) for address in _addresses(obj, count, first)]


def numbers(obj: object, count: int, first: int = 0) -> list[int]:
    """The numbers of type `Py_ssize_t` in the fields."""
    return [_ctypes().c_ssize_t.from_address(x).value for x in _addresses(obj, count, first)]


def small_number(obj: object, first: int) -> int:
    """The `int` in the field."""
    return int(_ctypes().c_int.from_address(_addresses(obj, 1, first)[0]).value)


def array(obj: object, field: int, length: int) -> list[int]:
    """The numbers of type `Py_ssize_t` that the field points to."""
    (pointer,) = numbers(obj, 1, field)
    return list((_ctypes().c_ssize_t * length).from_address(pointer)) if length else []


def items_of_tuple(obj: tuple[Any, ...]) -> list[Any]:
    """The items of a tuple that may have holes, as Python cannot look at it."""
    start = id(obj) + tuple.__basicsize__
    return [_object_at(start + WORD * i) for i in range(len(obj))]


def _addresses(obj: object, count: int, first: int) -> list[int]:
    base = id(obj) + object.__basicsize__
    return [base + WORD * (first + i) for i in range(count)]


def _object_at(address: int) -> Any:
    if not _ctypes().c_void_p.from_address(address).value:
        return NULL
    return _ctypes().py_object.from_address(address).value


def _ctypes() -> Any:
    """Takes milliseconds to import, so only once an iterator is met."""
    import ctypes

    return ctypes
