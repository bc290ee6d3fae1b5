"""Arrays on devices that are of no library, and what streams call to make those of one.

Bytes come from the host or, where buffers may be that, as memory of a device.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, TypeAlias

from ferropickle._native import (
    DeviceBuffer,
    DeviceRegion,
    DeviceStandIn,
    device_ids,
    device_upload,
)

__all__ = [
    "DeviceArray",
    "array",
    "core_buffer",
    "cupy_bytes",
    "numba_bytes",
    "rmm_buffer",
    "torch_bytes",
    "view",
]

# The type of the elements as an array interface says it: typestr, descr or None, read-only.
Elements: TypeAlias = tuple[str, Any, bool]


class DeviceArray:
    """An array on a device, in memory of ferropickle's.

    What arrives for objects of no known library. Others take it as it is, by
    `__cuda_array_interface__`: `cupy.asarray(a)`, `torch.as_tensor(a)`,
    `numba.cuda.as_cuda_array(a)`; `get` copies it to the host.
    """

    __slots__ = ("__weakref__", "_buffer", "_elements", "_offset", "shape", "strides")

    def __init__(
        self,
        buffer: DeviceBuffer | None,
        elements: Elements,
        shape: tuple[int, ...],
        offset: int,
        strides: tuple[int, ...],
    ) -> None:
        self._buffer = buffer
        self._elements = elements
        self._offset = offset
        self.shape = tuple(shape)
        self.strides = tuple(strides)

    @property
    def device(self) -> str | None:
        """The UUID of the device; None for an array of no elements."""
        return None if self._buffer is None else self._buffer.device

    @property
    def dtype(self) -> Any:
        """The type of the elements, as NumPy has it."""
        return dtype_of(self._elements)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        typestr, descr, read_only = self._elements
        address = 0
        if self._buffer is not None:
            self._buffer.wait()
            address = self._buffer.address + self._offset
        interface = {
            "shape": self.shape,
            "typestr": typestr,
            "data": (address, read_only),
            "strides": self.strides,
            "stream": None,
            "version": 3,
        }
        if descr is not None:
            interface["descr"] = descr
        return interface

    def get(self) -> Any:
        """A copy as an array of NumPy's, with the same strides.

        Raises DeviceError.
        """
        import numpy as np

        sent, offset, strides = self._region().sent()
        return np.ndarray(self.shape, self.dtype, bytearray(sent.fetch()), offset, strides)

    def _region(self) -> DeviceRegion:
        interface = self.__cuda_array_interface__
        itemsize = self.dtype.itemsize
        address = interface["data"][0]
        ordinal = None if self._buffer is None else self._buffer.ordinal
        return DeviceRegion(self, address, self.shape, self.strides, itemsize, ordinal=ordinal)

    def __reduce__(self) -> tuple[Any, ...]:
        sent, offset, strides = self._region().sent()
        return array, (sent.fetch(), self._elements, self.shape, offset, strides)

    def __repr__(self) -> str:
        return f"<ferropickle DeviceArray {self.shape} of {self._elements[0]} on {self.device}>"


def dtype_of(elements: Elements) -> Any:
    """The type of elements, as NumPy has it."""
    import numpy as np

    typestr, descr, _ = elements
    return np.dtype(typestr if descr is None else [tuple(field) for field in descr])


def array(
    data: Any,
    elements: Elements,
    shape: tuple[int, ...],
    offset: int,
    strides: tuple[int, ...],
    *,
    target: str | None = None,
) -> DeviceArray:
    """The array whose bytes are `data`, of the host's or a `DeviceBuffer`.

    target: the UUID of a device; None for the current one.

    Raises DeviceError.
    """
    return DeviceArray(_buffer(data, target), elements, shape, offset, strides)


def view(
    of: DeviceArray, elements: Elements, shape: tuple[int, ...], offset: int, strides: Any
) -> DeviceArray:
    """An array that begins at an offset of another's bytes."""
    return DeviceArray(of._buffer, elements, shape, offset, strides)


# ---- bytes as arrays of a library: what streams call where buffers may be memory of a device -----


def cupy_bytes(data: Any, *, target: str | None = None) -> Any:
    """An array of CuPy over bytes; arguments and exceptions are those of `array`."""
    cupy = import_module("cupy")

    buffer = _buffer(data, target)
    if buffer is None:
        return cupy.empty(0, cupy.uint8)
    with cupy.cuda.Device(buffer.ordinal):
        return cupy.asarray(buffer)


def numba_bytes(data: Any, *, target: str | None = None) -> Any:
    """A device array of Numba over bytes; arguments and exceptions are those of `array`."""
    import numpy as np

    cuda = import_module("numba.cuda")

    buffer = _buffer(data, target)
    if buffer is None:
        return cuda.device_array(0, np.uint8)
    with cuda.gpus[buffer.ordinal]:
        return cuda.as_cuda_array(buffer)


def torch_bytes(data: Any, *, target: str | None = None) -> Any:
    """A tensor over bytes; arguments and exceptions are those of `array`."""
    torch = import_module("torch")

    buffer = _buffer(data, target)
    if buffer is None:
        return torch.empty(0, dtype=torch.uint8, device="cuda")
    return torch.as_tensor(buffer, device=f"cuda:{buffer.ordinal}")


def rmm_buffer(data: Any, *, target: str | None = None) -> Any:
    """An `rmm.DeviceBuffer` with these bytes; arguments and exceptions are those of `array`."""
    rmm = import_module("rmm")

    buffer = _buffer(data, target)
    if buffer is None:
        return rmm.DeviceBuffer()
    buffer.wait()
    return rmm.DeviceBuffer(ptr=buffer.address, size=buffer.nbytes)


def core_buffer(data: Any, *, target: str | None = None) -> Any:
    """A `cuda.core` buffer of these bytes; arguments and exceptions are those of `array`."""
    core = import_module("cuda.core")

    buffer = _buffer(data, target)
    if buffer is None:
        return core.Buffer.from_handle(0, 0)
    buffer.wait()
    return core_buffer_over(core, buffer)


def core_buffer_over(core: Any, buffer: DeviceBuffer) -> Any:
    """A `cuda.core` buffer over memory of ours, whatever is in it."""
    core.Device(buffer.ordinal).set_current()
    return core.Buffer.from_handle(buffer.address, buffer.nbytes, owner=buffer)


def _buffer(data: Any, target: str | None) -> DeviceBuffer | None:
    if isinstance(data, DeviceBuffer):
        return data
    view = memoryview(data)
    if isinstance(view.obj, DeviceStandIn):
        return view.obj.device_buffer
    if not view.nbytes:
        return None
    if target is None:
        here = device_ids()
        target = here[current_device()]
    return device_upload([data], target)[0]


def current_device() -> int:
    """The number of the device that is current for the libraries in use."""
    ordinal = 0
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        ordinal = sys.modules["torch"].cuda.current_device()
    elif "cupy" in sys.modules:
        ordinal = sys.modules["cupy"].cuda.runtime.getDevice()
    elif "numba.cuda" in sys.modules:
        ordinal = sys.modules["numba.cuda"].get_current_device().id
    return int(ordinal)
