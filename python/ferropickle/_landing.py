"""Where arrays on devices go in a load: on which device they land, or that they stay on the host.

Loads of ferropickle's come through `land`; plain `pickle.loads` makes the same calls itself, on the
device that is current there.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferropickle._device import Elements, current_device, dtype_of
from ferropickle._native import DeviceError, device_ids

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["absent", "land"]


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
    target = None if isinstance(function, _Absent) else _target(sender, policy)
    if target is None:
        # What follows is made of an array of the host's, and has to come here as well.
        return _HOST_FORMS[name](*args), False
    return lands(function, args, target), True


def _name_of(function: Any) -> str:
    if type(function) in (operator.methodcaller, operator.attrgetter):
        return f"operator.{type(function).__name__}"
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    return f"{str(module).partition('.')[0]}.{name}"


def _target(sender: str, policy: Any) -> str | None:
    """The UUID of the device for an array of the sender's; None if it stays on the host."""
    try:
        here = device_ids()
    except DeviceError as error:
        if policy is not None and policy.on_missing == "host":
            return None
        raise DeviceError(
            f"an array of the device {sender} has nowhere to go: {error}; "
            "Policy(on_missing='host') gives an array of the host's"
        ) from None
    place = None if policy is None else policy.place
    if isinstance(place, dict):
        place = place.get(sender)
    elif callable(place):
        place = place(sender)
    if place is None or place == "sender":
        return sender if sender in here else here[current_device()]
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
    "ferropickle.cupy_bytes": _land_ours,
    "ferropickle.numba_bytes": _land_ours,
    "ferropickle.rmm_buffer": _land_ours,
    "ferropickle.torch_bytes": _land_ours,
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

    made = np.ndarray(shape, dtype_of(elements), data, offset, strides)
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


def _host_bytes(data: Any) -> Any:
    import numpy as np

    return np.frombuffer(data, np.uint8)


def _host_tensor(data: Any) -> Any:
    torch = import_module("torch")

    return torch.frombuffer(data, dtype=torch.uint8)


def _same(data: Any) -> Any:
    return data


_HOST_FORMS: dict[str, Callable[..., Any]] = {
    "cupy.array": _same,
    "ferropickle.array": _host_array,
    "ferropickle.core_buffer": bytes,
    "ferropickle.cupy_bytes": _host_bytes,
    "ferropickle.numba_bytes": _host_bytes,
    "ferropickle.rmm_buffer": bytes,
    "ferropickle.torch_bytes": _host_tensor,
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
            reduced: Any = function.__reduce__()
            asked = reduced[1]
            if asked == ("gpu_data",):
                return args[0]
            if asked[0] == "view" and isinstance(asked[1], int):
                return args[0][asked[1] :]
    return function(*args)
