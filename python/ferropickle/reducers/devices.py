"""Arrays on devices: CuPy, Numba, PyTorch, RMM, cuda.core.

Each reducer says where the memory is and in which stream it is worked on; the walker fetches
the bytes of all arrays of a dump together. What the stream then calls is the library's own:
plain `pickle.loads` makes the arrays on its current device. `interfaces.py` has
what is of no known library.

Nothing is imported here that the sender of an array has not imported.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from ferropickle._native import Described, DeviceError, DeviceRegion
from ferropickle.reducers._forms import Call, after, attribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

# What stands for the bytes of an earlier array, and where in them this one begins.
Within: TypeAlias = tuple[Any, int] | None
# A reduce value, and what stands for all bytes of the array, if anything does.
Formed: TypeAlias = tuple[Any, Any]

LEGACY_STREAM = 1


# ---- CuPy ----------------------------------------------------------------------------------------


def cupy_array(obj: Any, policy: Any) -> ReduceValue:
    """A `cupy.ndarray`: `cupy.array` of the elements, strides as they were."""
    cupy = sys.modules["cupy"]
    ordinal = obj.device.id
    stream = cupy.cuda.get_current_stream(ordinal).ptr
    region = DeviceRegion(
        obj,
        obj.data.ptr,
        obj.shape,
        obj.strides,
        obj.dtype.itemsize,
        stream=stream or LEGACY_STREAM,
        ordinal=ordinal,
        trusted=True,
    )
    return Described(region, _form_cupy, "cupy", _bytes_cupy)


def _form_cupy(obj: Any, region: DeviceRegion, within: Within, direct: bool) -> Formed:
    if direct and within is None:
        return _form_direct(obj, region, _bytes_cupy, _view_cupy)
    return _form_array(obj, region, within, sys.modules["cupy"].array, _view_cupy)


def _bytes_cupy(region: DeviceRegion, direct: bool) -> Call:
    from ferropickle import _device

    return Call(_device.cupy_bytes, region) if direct else _bytes(sys.modules["cupy"].array, region)


def _view_cupy(obj: Any, flat: Any, offset: int, strides: tuple[int, ...]) -> ReduceValue:
    cupy = sys.modules["cupy"]
    item = Call(operator.getitem, flat, slice(offset, offset + obj.dtype.itemsize))
    first = Call(operator.methodcaller("view", obj.dtype), item)
    return cupy.lib.stride_tricks.as_strided, (first, obj.shape, strides)


# ---- Numba ---------------------------------------------------------------------------------------


def numba_array(obj: Any, policy: Any) -> ReduceValue:
    """A device array of Numba: `numba.cuda.to_device` of the elements, strides as they were."""
    # What is queued by kernels goes to the default stream unless the array says otherwise.
    number = getattr(obj.stream, "handle", obj.stream) or LEGACY_STREAM
    region = DeviceRegion(
        obj,
        obj.device_ctypes_pointer.value or 0,
        obj.shape,
        obj.strides,
        obj.dtype.itemsize,
        stream=int(getattr(number, "value", number) or LEGACY_STREAM),
        ordinal=obj.gpu_data.context.device.id,
        trusted=True,
    )
    return Described(region, _form_numba, "numba", _bytes_numba)


def _form_numba(obj: Any, region: DeviceRegion, within: Within, direct: bool) -> Formed:
    if direct and within is None:
        return _form_direct(obj, region, _bytes_numba, _view_numba)
    return _form_array(obj, region, within, sys.modules["numba.cuda"].to_device, _view_numba)


def _bytes_numba(region: DeviceRegion, direct: bool) -> Call:
    from ferropickle import _device

    if direct:
        return Call(_device.numba_bytes, region)
    return _bytes(sys.modules["numba.cuda"].to_device, region)


def _view_numba(obj: Any, flat: Any, offset: int, strides: tuple[int, ...]) -> ReduceValue:
    memory = Call(
        operator.methodcaller("view", offset), Call(operator.attrgetter("gpu_data"), flat)
    )
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
    flat = _bytes(make, sent)
    return view(obj, flat, offset, strides), flat


def _bytes(make: Callable[..., Any], sent: DeviceRegion) -> Call:
    """An array of bytes, made of one of NumPy's."""
    np = sys.modules["numpy"]
    return Call(make, Call(np.ndarray, (sent.nbytes,), np.dtype(np.uint8), sent, 0, (1,)))


def _form_direct(
    obj: Any,
    region: DeviceRegion,
    bytes_of: Callable[[DeviceRegion, bool], Call],
    view: Callable[[Any, Any, int, tuple[int, ...]], ReduceValue],
) -> Formed:
    """The form where bytes may come as memory of a device."""
    sent, offset, strides = region.sent()
    flat = bytes_of(sent, True)
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
        stream=torch.cuda.current_stream(obj.device).cuda_stream or LEGACY_STREAM,
        ordinal=obj.get_device(),
        trusted=True,
    )
    return Described(region, _form_torch, "torch", _bytes_torch)


def _form_torch(obj: Any, region: DeviceRegion, within: Within, direct: bool) -> Formed:
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
        flat = memory = _bytes_torch(sent, direct)
        steps = tuple(step // item for step in strides)
    elements = Call(operator.methodcaller("view", obj.dtype), memory)
    args = (elements, tuple(obj.shape), steps, first // item)
    return _finish_torch(obj, torch.as_strided, args), flat


def _bytes_torch(region: DeviceRegion, direct: bool) -> Call:
    if direct:
        from ferropickle import _device

        return Call(_device.torch_bytes, region)
    torch = sys.modules["torch"]
    read = functools.partial(torch.frombuffer, dtype=torch.uint8)
    return Call(operator.methodcaller("cuda"), Call(read, region))


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


def _form_rmm(obj: Any, region: DeviceRegion, within: Within, direct: bool) -> Formed:
    if direct:
        from ferropickle import _device

        return (_device.rmm_buffer, (region,)), None
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


def _form_core(obj: Any, region: DeviceRegion, within: Within, direct: bool) -> Formed:
    from ferropickle import _device

    return (_device.core_buffer, (region,)), None
