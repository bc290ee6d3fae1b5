"""Where arrays on devices go in a load: on which device they land, or that they stay on the host.

Loads of ferropickle's make the calls of a stream through a `Landing`; plain `pickle.loads` makes
the same calls itself, on the device that is current there. `_uploads.py` has how elements get to a
device.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferropickle._device import Elements, current_device, dtype_of
from ferropickle._native import DeviceError, device_ids
from ferropickle._quiet import is_quiet, is_quiet_state
from ferropickle._uploads import MAKERS, Uploads

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Landing", "absent"]


class Landing:
    """The arrays on devices of one load.

    policy: that of the load, or None.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._uploads = Uploads()

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], sender: str | None
    ) -> tuple[Any, bool, bool]:
        """Make a call of a stream.

        function, args: the call.
        sender: the UUID of the device that an array was on whose bytes have been read; None if
        all such arrays have been made.

        Returns the result; whether the sender's array has landed: calls that come before, of
        NumPy's functions for example, have not brought it anywhere; and whether elements wait,
        which `settle` copies. Raises DeviceError.
        """
        made, landed = self._call(function, args, sender)
        return made, landed, bool(self._uploads)

    def _call(
        self, function: Callable[..., Any], args: tuple[Any, ...], sender: str | None
    ) -> tuple[Any, bool]:
        name = "" if sender is None else _name_of(function)
        if name == "operator.methodcaller" and _is_cuda(function, args):
            name = "torch.cuda"
        if sender is None or name not in _CONTEXTS:
            if self._uploads and not is_quiet(function, args):
                self._uploads.settle()
            return _on_host(name, function, args), False
        target = None if isinstance(function, _Absent) else _target(sender, self._policy)
        if target is None:
            # What follows is made of an array of the host's, and has to come here as well.
            return _HOST_FORMS[name](*args), False
        ordinal = device_ids().index(target)
        with _CONTEXTS[name](ordinal):
            maker = MAKERS.get(name)
            made = maker(args, ordinal) if maker else None
            if made is not None:
                self._uploads.add(made, target)
                return made.array, True
            more = {"target": target} if name.startswith("ferropickle.") else {}
            return function(*args, **more), True

    def before_state(self, obj: Any) -> bool:
        """Copy what waits if giving an object its state runs code that could look at it.

        Returns whether elements wait. Raises DeviceError.
        """
        if not is_quiet_state(obj):
            self._uploads.settle()
        return bool(self._uploads)

    def settle(self, root: Any = None) -> None:
        """Copy what waits: see `Uploads.settle`."""
        self._uploads.settle(root)


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


def _is_cuda(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether a call of a method is that which brings a tensor to a device."""
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and len(args) == 1 and isinstance(args[0], torch.Tensor)
    return is_tensor and function.__reduce__()[1] == ("cuda",)


def _in_cupy(ordinal: int) -> Any:
    cupy = sys.modules.get("cupy")
    return cupy.cuda.Device(ordinal) if cupy else contextlib.nullcontext()


def _in_numba(ordinal: int) -> Any:
    cuda = sys.modules.get("numba.cuda")
    return cuda.gpus[ordinal] if cuda else contextlib.nullcontext()


def _in_torch(ordinal: int) -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda.device(ordinal) if torch else contextlib.nullcontext()


def _in_rmm(ordinal: int) -> Any:
    # RMM has no devices of its own.
    return _in_numba(ordinal) if "numba.cuda" in sys.modules else _in_cupy(ordinal)


def _anywhere(ordinal: int) -> Any:
    return contextlib.nullcontext()


# What is current while the calls run that bring bytes to a device.
_CONTEXTS: dict[str, Callable[[int], Any]] = {
    "cupy.array": _in_cupy,
    "ferropickle.array": _anywhere,
    "ferropickle.core_buffer": _anywhere,
    "ferropickle.cupy_bytes": _in_cupy,
    "ferropickle.numba_bytes": _in_numba,
    "ferropickle.rmm_buffer": _in_rmm,
    "ferropickle.torch_bytes": _in_torch,
    "numba.to_device": _in_numba,
    "rmm.DeviceBuffer.to_device": _in_rmm,
    "rmm.to_device": _in_rmm,
    "torch.cuda": _in_torch,
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
    "rmm.DeviceBuffer.to_device": bytes,
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
