"""Arrays on devices: CuPy, Numba, PyTorch, RMM, cuda.core, and whatever has an array interface.

Each reducer says where the memory is and in which stream it is worked on; the walker fetches
the bytes of all arrays of a dump together. What the stream then calls is the library's own:
plain `pickle.loads` makes the arrays on its current device. Objects of no known
library arrive as `ferropickle.DeviceArray`.

Nothing is imported here that the sender of an array has not imported.
"""

from __future__ import annotations

import copyreg
import ctypes
import functools
import operator
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from ferropickle._native import Described, DeviceError, DeviceRegion
from ferropickle.reducers._forms import Call, after, attribute, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

# What stands for the bytes of an earlier array, and where in them this one begins.
Within: TypeAlias = "tuple[Any, int] | None"
# A reduce value, and what stands for all bytes of the array, if anything does.
Formed: TypeAlias = "tuple[ReduceValue, Any]"

_LEGACY_STREAM = 1


# ---- CuPy ----------------------------------------------------------------------------------------


def cupy_array(obj: Any, policy: Any) -> ReduceValue:
    """A `cupy.ndarray`: `cupy.array` of the elements, strides as they were."""
    cupy = sys.modules["cupy"]
    ordinal = obj.device.id
    with cupy.cuda.Device(ordinal):
        stream = cupy.cuda.get_current_stream().ptr
    region = DeviceRegion(
        obj,
        obj.data.ptr,
        obj.shape,
        obj.strides,
        obj.dtype.itemsize,
        stream=stream or _LEGACY_STREAM,
        ordinal=ordinal,
    )
    return Described(region, _form_cupy, "cupy")


def _form_cupy(obj: Any, region: DeviceRegion, within: Within) -> Formed:
    cupy = sys.modules["cupy"]
    return _form_array(obj, region, within, cupy.array, _view_cupy)


def _view_cupy(obj: Any, flat: Any, offset: int, strides: tuple[int, ...]) -> ReduceValue:
    cupy = sys.modules["cupy"]
    item = Call(operator.getitem, flat, slice(offset, offset + obj.dtype.itemsize))
    first = Call(operator.methodcaller("view", obj.dtype), item)
    return cupy.lib.stride_tricks.as_strided, (first, obj.shape, strides)


# ---- Numba ---------------------------------------------------------------------------------------


def numba_array(obj: Any, policy: Any) -> ReduceValue:
    """A device array of Numba: `numba.cuda.to_device` of the elements, strides as they were."""
    # What is queued by kernels goes to the default stream unless the array says otherwise.
    number = getattr(obj.stream, "handle", obj.stream) or _LEGACY_STREAM
    region = DeviceRegion(
        obj,
        obj.device_ctypes_pointer.value or 0,
        obj.shape,
        obj.strides,
        obj.dtype.itemsize,
        stream=int(getattr(number, "value", number) or _LEGACY_STREAM),
        ordinal=obj.gpu_data.context.device.id,
    )
    return Described(region, _form_numba, "numba")


def _form_numba(obj: Any, region: DeviceRegion, within: Within) -> Formed:
    return _form_array(obj, region, within, sys.modules["numba.cuda"].to_device, _view_numba)


def _view_numba(obj: Any, flat: Any, offset: int, strides: tuple[int, ...]) -> ReduceValue:
    memory = Call(operator.methodcaller("view", offset), Call(operator.attrgetter("gpu_data"), flat))
    return type(obj), (obj.shape, strides, obj.dtype, 0, memory)


# ---- arrays that are made of arrays of NumPy -----------------------------------------------------


def _form_array(
    obj: Any,
    region: DeviceRegion,
    within: Within,
    make: Callable[..., Any],
    view: Callable[[Any, Any, int, tuple[int, ...]], ReduceValue],
) -> Formed:
    """The forms of libraries that make their arrays of NumPy's.

    An array of one block is made of one like it; every other is a view of an
    array of bytes.
    """
    np = sys.modules["numpy"]
    if within is not None:
        flat, start = within
        return view(obj, flat, start + region.before, obj.strides), None
    sent, offset, strides = region.sent()
    if obj.flags["C_CONTIGUOUS"] or obj.flags["F_CONTIGUOUS"]:
        host = Call(np.ndarray, obj.shape, obj.dtype, sent, offset, strides)
        return (make, (host,)), _flat(obj)
    flat = Call(make, Call(np.ndarray, (sent.nbytes,), np.dtype(np.uint8), sent, 0, (1,)))
    return view(obj, flat, offset, strides), flat


def _flat(obj: Any) -> Call:
    """All bytes of an array of one block, once it is there."""
    np = sys.modules["numpy"]
    turned = {} if obj.flags["C_CONTIGUOUS"] else {"order": "F"}
    line = Call(operator.methodcaller("reshape", obj.size, **turned), obj)
    return Call(operator.methodcaller("view", np.dtype(np.uint8)), line)


# ---- PyTorch -------------------------------------------------------------------------------------


def torch_tensor(obj: Any, policy: Any) -> ReduceValue:
    """A tensor on a CUDA device, of any type of elements; its class and attributes with it.

    All others go as PyTorch has it.
    """
    torch = sys.modules["torch"]
    if not obj.is_cuda or obj.layout is not torch.strided or obj.is_quantized:
        return NotImplemented
    if obj.is_conj() or obj.is_neg():
        # Marks on memory that says otherwise.
        return NotImplemented
    item = obj.element_size()
    region = DeviceRegion(
        obj,
        obj.data_ptr(),
        tuple(obj.shape),
        tuple(step * item for step in obj.stride()),
        item,
        stream=torch.cuda.current_stream(obj.device).cuda_stream or _LEGACY_STREAM,
        ordinal=obj.get_device(),
    )
    return Described(region, _form_torch, "torch")


def _form_torch(obj: Any, region: DeviceRegion, within: Within) -> Formed:
    torch = sys.modules["torch"]
    item = obj.element_size()
    if not obj.numel():
        empty = functools.partial(torch.empty_strided, dtype=obj.dtype, device="cuda")
        return _finish_torch(obj, empty, (tuple(obj.shape), obj.stride())), None
    if within is not None:
        flat, start = within
        memory = Call(operator.getitem, flat, slice(start, start + region.extent))
        first, steps = 0, obj.stride()
    else:
        sent, first, strides = region.sent()
        read = functools.partial(torch.frombuffer, dtype=torch.uint8)
        flat = memory = Call(operator.methodcaller("cuda"), Call(read, sent))
        steps = tuple(step // item for step in strides)
    elements = Call(operator.methodcaller("view", obj.dtype), memory)
    args = (elements, tuple(obj.shape), steps, first // item)
    return _finish_torch(obj, torch.as_strided, args), flat


def _finish_torch(obj: Any, function: Any, args: tuple[Any, ...]) -> ReduceValue:
    """The tensor of a call, as what it was: its class, whether it has a gradient, attributes."""
    torch = sys.modules["torch"]
    cls = type(obj)
    if cls is torch.nn.Parameter:
        function, args = cls, (Call(function, *args), obj.requires_grad)
    elif cls is not torch.Tensor:
        function, args = operator.methodcaller("as_subclass", cls), (Call(function, *args),)
    if obj.requires_grad and cls is not torch.nn.Parameter:
        function, args = operator.methodcaller("requires_grad_"), (Call(function, *args),)
    attributes = getattr(obj, "__dict__", None)
    if not attributes:
        return function, args
    update = Call(dict.update, attribute(obj, "__dict__"), dict(attributes))
    return after(function, args, [update])


# ---- RMM and cuda.core: bytes without elements ---------------------------------------------------


def rmm_buffer(obj: Any, policy: Any) -> ReduceValue:
    """An `rmm.DeviceBuffer`: `to_device` of its bytes."""
    obj.stream.synchronize()
    region = DeviceRegion(obj, obj.ptr, (obj.size,), (1,), 1)
    return Described(region, _form_rmm, "rmm")


def _form_rmm(obj: Any, region: DeviceRegion, within: Within) -> Formed:
    return (type(obj).to_device, (region,)), None


def core_buffer(obj: Any, policy: Any) -> ReduceValue:
    """A `cuda.core` buffer of device memory: one over memory of ours, with the same bytes.

    A buffer tells no stream in which it is worked on: the device is waited for.
    """
    if obj.is_mapped or not obj.is_device_accessible or obj.is_host_accessible:
        return NotImplemented
    _wait_for_device(sys.modules["cuda.bindings.driver"], obj.device_id)
    region = DeviceRegion(obj, int(obj.handle), (obj.size,), (1,), 1, ordinal=obj.device_id)
    return Described(region, _form_core, "cuda.core")


def _wait_for_device(driver: Any, ordinal: int) -> None:
    """Wait for all work of a device; what is current stays so."""
    device = _checked(driver.cuDeviceGet(ordinal))
    context = _checked(driver.cuDevicePrimaryCtxRetain(device))
    try:
        _checked(driver.cuCtxPushCurrent(context))
        try:
            _checked(driver.cuCtxSynchronize())
        finally:
            _checked(driver.cuCtxPopCurrent())
    finally:
        _checked(driver.cuDevicePrimaryCtxRelease(device))


def _checked(answer: tuple[Any, ...]) -> Any:
    status, *values = answer
    if int(status):
        raise DeviceError(f"the GPU driver failed with {status!r} while a buffer was waited for")
    return values[0] if values else None


def _form_core(obj: Any, region: DeviceRegion, within: Within) -> Formed:
    from ferropickle import _device

    return (_device.core_buffer, (region,)), None


# ---- everything else -----------------------------------------------------------------------------


def array_interface(obj: Any, policy: Any) -> ReduceValue:
    """Whatever has `__cuda_array_interface__`, or `__dlpack__` for a device: a `DeviceArray`.

    Classes that say themselves how they are pickled are left to that, and so are
    objects whose memory is that of an array among their attributes.
    """
    if _reduces_itself(type(obj)):
        return NotImplemented
    try:
        interface = obj.__cuda_array_interface__
    except AttributeError:
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
        stream=_LEGACY_STREAM if stream is None else stream,
    )
    if _is_wrapper(obj, region):
        return NotImplemented
    descr = interface.get("descr") if typestr[1] == "V" else None
    form = functools.partial(_form_any, (typestr, descr, bool(read_only)))
    return Described(region, form, "any")


def _form_any(
    elements: tuple[str, Any, bool], obj: Any, region: DeviceRegion, within: Within
) -> Formed:
    from ferropickle import _device

    if within is not None:
        flat, start = within
        args = (flat, elements, region.shape, start + region.before, region.strides)
        return (_device.view, args), None
    sent, offset, strides = region.sent()
    return (_device.array, (sent, elements, region.shape, offset, strides)), obj


def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of an array of one block, the last index fastest."""
    strides, step = [], itemsize
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _reduces_itself(cls: type) -> bool:
    names = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
    return cls in copyreg.dispatch_table or any(
        getattr(cls, name, None) is not getattr(object, name, None) for name in names
    )


def _is_wrapper(obj: Any, region: DeviceRegion) -> bool:
    """Whether an attribute is an array with the same memory: then that goes, and the class stays."""
    for value in _attributes(obj):
        cls = type(value)
        if not hasattr(cls, "__cuda_array_interface__") and not hasattr(cls, "__dlpack_device__"):
            continue
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is not None and interface["data"][0] == region.address:
            return True
    return False


def _attributes(obj: Any) -> list[Any]:
    slots = [name for cls in type(obj).__mro__ for name in cls.__dict__.get("__slots__", ())]
    values = [getattr(obj, name, None) for name in slots]
    return [*getattr(obj, "__dict__", {}).values(), *values]


# ---- DLPack --------------------------------------------------------------------------------------

_CUDA, _CUDA_MANAGED = 2, 13
# Kinds of elements, as `typestr` has them. Others, such as bfloat16, have no letter there.
_LETTERS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


class _Tensor(ctypes.Structure):
    """`DLTensor` of dlpack.h, which begins a `DLManagedTensor`."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def _dlpack(obj: Any) -> ReduceValue:
    if not hasattr(obj, "__dlpack_device__"):
        return NotImplemented
    kind, ordinal = obj.__dlpack_device__()
    if kind not in (_CUDA, _CUDA_MANAGED):
        return NotImplemented
    # The producer orders its work before the default stream, which waits for ours in turn. The
    # capsule keeps the memory and, as nobody takes what is in it, gives it back.
    capsule = obj.__dlpack__(stream=_LEGACY_STREAM)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor"))
    letter = _LETTERS.get(tensor.code)
    if letter is None or tensor.lanes != 1 or tensor.bits % 8:
        refuse(obj, "its elements are of a kind that no array interface has")
    itemsize = tensor.bits // 8
    shape = tuple(tensor.shape[: tensor.ndim])
    if tensor.strides:
        strides = tuple(step * itemsize for step in tensor.strides[: tensor.ndim])
    else:
        strides = packed_strides(shape, itemsize)
    region = DeviceRegion(
        (obj, capsule),
        (tensor.data or 0) + tensor.byte_offset,
        shape,
        strides,
        itemsize,
        stream=_LEGACY_STREAM,
        ordinal=ordinal,
    )
    typestr = f"{'|' if itemsize == 1 else '<'}{letter}{itemsize}"
    return Described(region, functools.partial(_form_any, (typestr, None, False)), "any")
