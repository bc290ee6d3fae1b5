"""Arrays of NumPy that are more than arrays: subclasses, masked arrays, arrays mapped from files.

NumPy writes their elements as bytes inside the stream. Here they are a plain
array and what makes it into the object again, so that the elements take the
plain array's way: out of band, at their own strides, shared where they share.
"""

from __future__ import annotations

import mmap
import operator
import os
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Modes of maps that see each other's writes, and how the same file is mapped again: "w+" would
# empty it. What is written to a map of mode "c" is in no file.
_SHARED_MODES = {"r": "r", "r+": "r+", "w+": "r+"}


def subclass(obj: Any, policy: Any) -> ReduceValue:
    """An array of a subclass: a plain array, viewed as the class.

    With the face of dill its attributes come along; that of cloudpickle leaves
    it to NumPy, and so does a class with a `__setstate__` of its own, or with
    elements that are no plain bytes.
    """
    face = _face(policy)
    if face == "dill":
        return _with_attributes(obj)
    np = sys.modules["numpy"]
    cls = type(obj)
    as_numpy = cls is np.ndarray or cls.__setstate__ is not np.ndarray.__setstate__
    if face != "ferropickle" or as_numpy or not _is_plain(obj):
        return NotImplemented
    return operator.methodcaller("view", cls), (_plain(obj),)


def _with_attributes(obj: Any) -> ReduceValue:
    attributes = getattr(obj, "__dict__", None)
    if not attributes:
        return NotImplemented
    function, args, state = obj.__reduce__()
    calls = [
        Call(operator.methodcaller("__setstate__", state), obj),
        Call(dict.update, attribute(obj, "__dict__"), dict(attributes)),
    ]
    return after(function, args, calls)


def masked(obj: Any, policy: Any) -> ReduceValue:
    """A masked array: the class called with data, mask, fill value and hardness."""
    np = sys.modules["numpy"]
    if _face(policy) != "ferropickle" or obj.baseclass is not np.ndarray or not _is_plain(obj):
        return NotImplemented
    mask = obj.mask
    if mask is not np.ma.nomask:
        mask = np.ndarray.view(mask, np.ndarray)
    # data, mask, dtype, copy, subok, ndmin, fill_value, keep_mask, hard_mask, shrink
    args = (_plain(obj), mask, None, False, True, 0, obj._fill_value, True, obj.hardmask, False)
    return type(obj), args


def mapped(obj: Any, policy: Any) -> ReduceValue:
    """An array mapped from a file: by value as any subclass, or by reference.

    By value with the policy for references too, where there is no file to map
    again: a copy, a file without a name, a map that keeps its changes to itself.
    """
    if policy is None or policy.memmap != "reference":
        return subclass(obj, policy)
    np = sys.modules["numpy"]
    filename, mode = getattr(obj, "filename", None), _SHARED_MODES.get(getattr(obj, "mode", ""))
    if obj._mmap is None or filename is None or mode is None or not obj.size:
        return subclass(obj, policy)
    # `offset` is that of the array that was mapped, of which this one may be a part.
    mapped_from = obj.offset - obj.offset % mmap.ALLOCATIONGRANULARITY
    mapped_at = np.frombuffer(obj._mmap, dtype=np.uint8).__array_interface__["data"][0]
    low, high = np.lib.array_utils.byte_bounds(obj) if _numpy_2(np) else np.byte_bounds(obj)
    start = mapped_from + low - mapped_at
    filename = os.fspath(filename)
    if obj.flags.writeable:
        obj.flush()
    else:
        mode = "r"
    for order in ("C", "F"):
        if obj.flags[f"{order}_CONTIGUOUS"]:
            return np.memmap, (filename, obj.dtype, mode, start, obj.shape, order)
    memory = Call(np.memmap, filename, np.dtype(np.uint8), mode, start, (high - low,), "C")
    first = obj.__array_interface__["data"][0] - low
    strided = Call(np.ndarray, obj.shape, obj.dtype, memory, first, obj.strides)
    return operator.methodcaller("view", np.memmap), (strided,)


def _face(policy: Any) -> str:
    return "ferropickle" if policy is None else str(policy.face)


def _numpy_2(np: Any) -> bool:
    return hasattr(np.lib, "array_utils")


def _is_plain(obj: Any) -> bool:
    """Whether the elements are plain bytes: no objects, no strings of any length."""
    return bool(obj.dtype.itemsize) and not obj.dtype.hasobject and obj.dtype.char != "T"


def _plain(obj: Any) -> Any:
    """The same memory as a plain array."""
    np = sys.modules["numpy"]
    return np.ndarray.view(obj, np.ndarray)
