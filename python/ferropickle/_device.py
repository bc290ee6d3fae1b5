"""Arrays on devices in a load: on which device they land, and those of no library.

Loads of ferropickle's come through `land`; plain `pickle.loads` makes the same calls itself, on the
device that is current there.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from ferropickle._native import (
    DeviceBuffer,
    DeviceError,
    DeviceRegion,
    device_ids,
    device_upload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DeviceArray", "absent", "array", "core_buffer", "land", "view"]

# The type of the elements as an array interface says it: typestr, descr or None, read-only.
Elements: TypeAlias = "tuple[str, Any, bool]"

# ---- where arrays land ---------------------------------------------------------------------------


def land(
    function: Callable[..., Any], args: tuple[Any, ...], sender: str, policy: Any
) -> tuple[Any, bool]:
    """Make a call of a stream, after which an array may be on a device.

    function, args: the call.
    sender: the UUID of the device that the array was on.
    policy: that of the load, or None.

    Returns the result, and whether the array has landed: calls that come before, of NumPy's
    functions for example, have not brought it anywhere. Raises DeviceError.
    """
    name = _name_of(function)
    if name == "operator.methodcaller" and _is_tensor(args):
        name = "torch.cuda"
    lands = _LANDINGS.get(name)
    if lands is None:
        return _on_host(name, function, args), False
    target = _target(sender, policy)
    if target is None:
        # What follows is made of an array of the host's, and has to come here as well.
        return _HOST_FORMS[name](*args), False
    return lands(function, args, target), True


def _name_of(function: Any) -> str:
    if type(function) in (operator.methodcaller, operator.attrgetter):
        return f"operator.{type(function).__name__}"
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    return f"{str(module).partition('.')[0]}.{name}"


def _target(sender: str | None, policy: Any) -> str | None:
    """The UUID of the device for an array of the sender's; None if it stays on the host."""
    try:
        here = device_ids()
    except DeviceError as error:
        if policy is not None and policy.on_missing == "host":
            return None
        of = "an array" if sender is None else f"an array of the device {sender}"
        raise DeviceError(
            f"{of} has nowhere to go: {error}; "
            "Policy(on_missing='host') gives an array of the host's"
        ) from None
    place = None if policy is None else policy.place
    if isinstance(place, dict):
        place = place.get(sender)
    elif callable(place):
        place = place(sender)
    if place is None or place == "sender":
        return sender if sender is not None and sender in here else _current(here)
    if isinstance(place, int) and not isinstance(place, bool):
        if 0 <= place < len(here):
            return here[place]
        raise DeviceError(f"place: there is no device {place}; this process sees {len(here)}")
    if isinstance(place, str):
        place = place.replace("MIG-", "GPU-").lower().replace("gpu-", "GPU-")
        if place in here:
            return place
        raise DeviceError(f"place: this process does not see {place}, but {', '.join(here)}")
    raise TypeError(
        "place must be a UUID, an ordinal, a dict or a function that gives one of these, or None, "
        f"not {type(place).__name__}"
    )


def _current(here: list[str]) -> str:
    """The device that is current for the libraries in use."""
    ordinal = 0
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        ordinal = sys.modules["torch"].cuda.current_device()
    elif "cupy" in sys.modules:
        ordinal = sys.modules["cupy"].cuda.runtime.getDevice()
    elif "numba.cuda" in sys.modules:
        ordinal = sys.modules["numba.cuda"].get_current_device().id
    return here[ordinal]


def _ordinal(target: str) -> int:
    return device_ids().index(target)


def _land_cupy(function: Callable[..., Any], args: tuple[Any, ...], target: str) -> Any:
    with sys.modules["cupy"].cuda.Device(_ordinal(target)):
        return function(*args)


def _land_numba(function: Callable[..., Any], args: tuple[Any, ...], target: str) -> Any:
    with sys.modules["numba.cuda"].gpus[_ordinal(target)]:
        return function(*args)


def _land_tensor(function: Callable[..., Any], args: tuple[Any, ...], target: str) -> Any:
    with sys.modules["torch"].cuda.device(_ordinal(target)):
        return function(*args)


def _land_rmm(function: Callable[..., Any], args: tuple[Any, ...], target: str) -> Any:
    driver = sys.modules.get("numba.cuda") or sys.modules.get("cupy.cuda")
    with driver.Device(_ordinal(target)) if driver else contextlib.nullcontext():
        return function(*args)


def _land_ours(function: Callable[..., Any], args: tuple[Any, ...], target: str) -> Any:
    return function(*args, target=target)


def _is_tensor(args: tuple[Any, ...]) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and len(args) == 1 and isinstance(args[0], torch.Tensor)


_LANDINGS: dict[str, Callable[[Callable[..., Any], tuple[Any, ...], str], Any]] = {
    "cupy.array": _land_cupy,
    "ferropickle.array": _land_ours,
    "ferropickle.core_buffer": _land_ours,
    "numba.to_device": _land_numba,
    "rmm.to_device": _land_rmm,
    "torch.cuda": _land_tensor,
}


# ---- where there is no device, or no library -----------------------------------------------------


def absent(module: str, name: str) -> Any:
    """What stands for a function of a library that is not installed: it makes arrays of NumPy's.

    Returns None for functions of which arrays on devices are not made.
    """
    library = module.partition(".")[0]
    known = f"{library}.{name}"
    if known not in _HOST_FORMS and known not in _HOST_VIEWS:
        return None
    return _Absent(library, name)


class _Absent:
    """Has the name of a function that is not here."""

    def __init__(self, module: str, name: str) -> None:
        self.__module__ = module
        self.__qualname__ = name

    def __call__(self, *args: Any) -> Any:
        raise DeviceError(f"{self.__module__}.{self.__qualname__} is not installed here")


def _host_array(data: Any, elements: Elements, shape: Any, offset: int, strides: Any) -> Any:
    import numpy as np

    made = np.ndarray(shape, _dtype(elements), data, offset, strides)
    made.flags.writeable = made.flags.writeable and not elements[2]
    return made


def _host_view(of: Any, elements: Elements, shape: Any, offset: int, strides: Any) -> Any:
    # The base of an array that `_host_array` made is its data.
    return _host_array(of.base, elements, shape, offset, strides)


def _host_strided(first: Any, shape: Any, strides: Any) -> Any:
    import numpy as np

    return np.lib.stride_tricks.as_strided(first, shape, strides)


def _host_numba(shape: Any, strides: Any, dtype: Any, stream: Any, memory: Any) -> Any:
    return _host_strided(memory[: dtype.itemsize].view(dtype), shape, strides)


def _same(data: Any) -> Any:
    return data


_HOST_FORMS: dict[str, Callable[..., Any]] = {
    "cupy.array": _same,
    "ferropickle.array": _host_array,
    "ferropickle.core_buffer": bytes,
    "numba.to_device": _same,
    "rmm.to_device": bytes,
    "torch.cuda": _same,
}
_HOST_VIEWS: dict[str, Callable[..., Any]] = {
    "cupy.as_strided": _host_strided,
    "ferropickle.view": _host_view,
    "numba.DeviceNDArray": _host_numba,
}


def _on_host(name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A call that brings nothing to a device, where what it is given has stayed on the host."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and any(isinstance(arg, numpy.ndarray) for arg in args):
        if name in _HOST_VIEWS:
            return _HOST_VIEWS[name](*args)
        if name.startswith("operator."):
            # As Numba's arrays have their memory: see `_view_numba` in reducers/devices.py.
            _, asked = function.__reduce__()  # type: ignore[misc]
            if asked == ("gpu_data",):
                return args[0]
            if asked[0] == "view" and isinstance(asked[1], int):
                return args[0][asked[1] :]
    return function(*args)


# ---- arrays of no library ------------------------------------------------------------------------


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
        return _dtype(self._elements)

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


def _dtype(elements: Elements) -> Any:
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


def core_buffer(data: Any, *, target: str | None = None) -> Any:
    """A `cuda.core` buffer of these bytes; arguments and exceptions are those of `array`."""
    from cuda.core import Buffer, Device

    buffer = _buffer(data, target)
    if buffer is None:
        return Buffer.from_handle(0, 0)
    Device(buffer.ordinal).set_current()
    buffer.wait()
    return Buffer.from_handle(buffer.address, buffer.nbytes, owner=buffer)


def _buffer(data: Any, target: str | None) -> DeviceBuffer | None:
    if isinstance(data, DeviceBuffer):
        return data
    if not memoryview(data).nbytes:
        return None
    return device_upload([data], target or _target(None, None))[0]
