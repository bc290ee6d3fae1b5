"""Arrays on devices that are of no known library: by `__cuda_array_interface__`, or by DLPack.

They arrive as `ferropickle.DeviceArray`.
"""

from __future__ import annotations

import copyreg
import functools
import struct
from typing import TYPE_CHECKING, Any

from ferropickle._native import Described, DeviceRegion
from ferropickle.reducers._forms import Call, refuse
from ferropickle.reducers.devices import LEGACY_STREAM

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue
    from ferropickle.reducers.devices import Formed, Within


def array_interface(obj: Any, policy: Any) -> ReduceValue:
    """Whatever has `__cuda_array_interface__`, or `__dlpack__` for a device: a `DeviceArray`.

    Objects whose memory is that of an array among their attributes are left to
    these.
    """
    try:
        interface = obj.__cuda_array_interface__
    except (AttributeError, NotImplementedError, TypeError):
        # As classes say it whose instances are not all on a device.
        return _dlpack(obj)
    if interface.get("mask") is not None:
        refuse(obj, "arrays on a device with a mask have no form; pickle data and mask")
    shape, typestr = tuple(interface["shape"]), interface["typestr"]
    address, read_only = interface["data"]
    itemsize = int(typestr[2:].partition("[")[0]) * (4 if typestr[1] == "U" else 1)
    strides = interface.get("strides")
    # Producers that tell no stream may have work on the way all the same.
    stream = interface.get("stream")
    region = DeviceRegion(
        obj,
        address or 0,
        shape,
        packed_strides(shape, itemsize) if strides is None else tuple(strides),
        itemsize,
        stream=LEGACY_STREAM if stream is None else stream,
    )
    if _is_wrapper(obj, region):
        return NotImplemented
    descr = interface.get("descr") if typestr[1] == "V" else None
    form = functools.partial(_form_any, (typestr, descr, bool(read_only)))
    return Described(region, form, "any", _bytes_any)


def device_array(obj: Any, policy: Any) -> ReduceValue:
    """A `DeviceArray`, on which others work in streams that it does not know."""
    buffer, elements = obj._buffer, obj._elements
    region = DeviceRegion(
        obj,
        0 if buffer is None else obj.__cuda_array_interface__["data"][0],
        obj.shape,
        obj.strides,
        obj.dtype.itemsize,
        stream=LEGACY_STREAM,
        ordinal=None if buffer is None else buffer.ordinal,
    )
    return Described(region, functools.partial(_form_any, elements), "any", _bytes_any)


def _form_any(
    elements: tuple[str, Any, bool],
    obj: Any,
    region: DeviceRegion,
    within: Within,
    direct: bool,
) -> Formed:
    from ferropickle import _device

    if within is not None:
        flat, start = within
        args = (flat, elements, region.shape, start + region.before, region.strides)
        return (_device.view, args), None
    sent, offset, strides = region.sent()
    return (_device.array, (sent, elements, region.shape, offset, strides)), obj


def _bytes_any(region: DeviceRegion, direct: bool) -> Call:
    from ferropickle import _device

    return Call(_device.array, region, ("|u1", None, False), (region.nbytes,), 0, (1,))


def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of an array of one block, the last index fastest."""
    strides, step = [], itemsize
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _is_wrapper(obj: Any, region: DeviceRegion) -> bool:
    """Whether an attribute is an array with the same memory: that goes, and the class stays."""
    for value in _attributes(obj):
        cls = type(value)
        if not hasattr(cls, "__cuda_array_interface__") and not hasattr(cls, "__dlpack_device__"):
            continue
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is not None and interface["data"][0] == region.address:
            return True
    return False


def _attributes(obj: Any) -> list[Any]:
    # The names of slots are kept with the class.
    slots = copyreg._slotnames(type(obj))  # type: ignore[attr-defined]
    values = [getattr(obj, name, None) for name in slots]
    return [*getattr(obj, "__dict__", {}).values(), *values]


# ---- DLPack --------------------------------------------------------------------------------------

_CUDA, _CUDA_MANAGED = 2, 13
# Kinds of elements, as `typestr` has them. Others, such as bfloat16, have no letter there.
_LETTERS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


# `DLTensor` of dlpack.h, which begins a `DLManagedTensor`: data, type and number of the device,
# axes, kind, bits and lanes of elements, shape, strides, offset in bytes.
_TENSOR = struct.Struct("@PiiiBBHPPQ")


def _dlpack(obj: Any) -> ReduceValue:
    if not hasattr(obj, "__dlpack_device__"):
        return NotImplemented
    try:
        kind, ordinal = obj.__dlpack_device__()
    except (AttributeError, BufferError, NotImplementedError, TypeError):
        return NotImplemented
    if kind not in (_CUDA, _CUDA_MANAGED):
        return NotImplemented
    import ctypes

    # The producer orders its work before the default stream, which waits for ours in turn. The
    # capsule keeps the memory and, as nobody takes what is in it, gives it back.
    capsule = obj.__dlpack__(stream=LEGACY_STREAM)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    content = ctypes.string_at(pointer(capsule, b"dltensor"), _TENSOR.size)
    data, _, _, ndim, code, bits, lanes, lengths, steps, offset = _TENSOR.unpack(content)
    letter = _LETTERS.get(code)
    if letter is None or lanes != 1 or bits % 8:
        refuse(obj, "its elements are of a kind that no array interface has")
    itemsize = bits // 8
    shape = _numbers(lengths, ndim)
    if steps:
        strides = tuple(step * itemsize for step in _numbers(steps, ndim))
    else:
        strides = packed_strides(shape, itemsize)
    region = DeviceRegion(
        (obj, capsule),
        (data or 0) + offset,
        shape,
        strides,
        itemsize,
        stream=LEGACY_STREAM,
        ordinal=ordinal,
    )
    typestr = f"{'|' if itemsize == 1 else '<'}{letter}{itemsize}"
    return Described(
        region, functools.partial(_form_any, (typestr, None, False)), "any", _bytes_any
    )


def _numbers(address: int, count: int) -> tuple[int, ...]:
    import ctypes

    return struct.unpack(f"@{count}q", ctypes.string_at(address, 8 * count)) if count else ()
