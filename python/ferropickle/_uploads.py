"""Bytes of one load on their way to devices: they go together.

A library makes its array without elements, in memory of its own, and the elements wait in host
memory until `Uploads.settle` copies all of them in one go for each device. Nothing of the
user's may run meanwhile that could look at such an array: before it does, what waits is copied
(`_quiet.py`).
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from ferropickle._device import DeviceArray, core_buffer_over
from ferropickle._native import (
    DeviceBuffer,
    DeviceError,
    DeviceRegion,
    DeviceStandIn,
    device_ids,
    device_store,
    device_unfilled,
    device_upload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LEGACY_STREAM", "MAKERS", "Made", "Uploads"]

LEGACY_STREAM = 1

# Bytes that wait at most: they are in host memory twice as long as they wait.
MOST_WAITING_BYTES = 64 << 20
# Buffers of ours share allocations up to this size, so that one that is kept keeps little.
MOST_SHARED_BYTES = 4 << 20
# Objects that are looked through, for an error, for an array's path.
MOST_SEARCHED = 100_000


class Made(NamedTuple):
    """An array without elements.

    array: the array.
    source: what has its bytes, in the order of its memory.
    nbytes: their number.
    address: where they go; None for a buffer of ours without memory.
    stream: in whose order the memory is the array's.
    """

    array: Any
    source: Any
    nbytes: int
    address: int | None
    stream: int | None


class Uploads:
    """The elements that wait, by device."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Made]] = {}
        self._nbytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, made: Made, device: str) -> None:
        """Let elements wait; where they are many, copy what there is.

        device: its UUID.

        Raises DeviceError.
        """
        self._waiting.setdefault(device, []).append(made)
        self._nbytes += made.nbytes
        if self._nbytes >= MOST_WAITING_BYTES:
            self.settle()

    def settle(self, root: Any = None) -> None:
        """Copy all elements that wait, in one transfer for each device; return when they are there.

        root: the object that was loaded, if it is done: for the path in an error.

        Raises DeviceError.
        """
        waiting, self._waiting, self._nbytes = self._waiting, {}, 0
        for device, batch in waiting.items():
            try:
                _copy(batch, device)
            except DeviceError as error:
                raise _blamed(batch, device, error, root) from None


def _copy(batch: list[Made], device: str) -> None:
    ordinal = device_ids().index(device)
    sources, regions, ours = [], [], []
    for made in batch:
        if made.address is None:
            ours.append(made)
            continue
        region = DeviceRegion(
            made.array,
            made.address,
            (made.nbytes,),
            (1,),
            1,
            stream=made.stream,
            ordinal=ordinal,
            trusted=True,
        )
        sources.append(made.source)
        regions.append(region)
    if regions:
        device_store(sources, regions)
    for block in _blocks(ours):
        buffers = [made.array._buffer for made in block]
        device_upload([made.source for made in block], device, buffers)


def _blocks(ours: list[Made]) -> list[list[Made]]:
    """Which buffers share an allocation: small ones in a row."""
    blocks: list[list[Made]] = []
    room = 0
    for made in ours:
        if made.nbytes > room:
            blocks.append([])
            room = MOST_SHARED_BYTES
        blocks[-1].append(made)
        room -= made.nbytes
    return blocks


def _blamed(batch: list[Made], device: str, error: DeviceError, root: Any) -> DeviceError:
    """The error with the path to the array that it is about, if there is one."""
    for made in batch:
        try:
            _copy([made], device)
        except DeviceError as alone:
            path = _path_to(made.array, root)
            return DeviceError(f"{path}: {alone}") if path else alone
    return error


def _path_to(array: Any, root: Any) -> str | None:
    """Where an array, or a view of it, is in an object, as Python would spell it."""
    todo, seen = deque([(root, "obj")]), {id(root)}
    while todo and len(seen) < MOST_SEARCHED:
        value, path = todo.popleft()
        if value is array or any(getattr(value, name, None) is array for name in _BASES):
            return path
        parts: list[tuple[Any, str]] = []
        if isinstance(value, dict):
            parts = [(item, f"{path}[{key!r}]") for key, item in value.items() if _is_plain(key)]
        elif isinstance(value, (list, tuple)):
            parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
        for name, item in getattr(value, "__dict__", {}).items():
            parts.append((item, f"{path}.{name}"))
        for part in parts:
            if id(part[0]) not in seen:
                seen.add(id(part[0]))
                todo.append(part)
    return None


# What views of CuPy and PyTorch name their array by.
_BASES = ("base", "_base")


def _is_plain(value: Any) -> bool:
    return type(value) in (str, int, float, bytes, bool) or value is None


# ---- arrays without elements ---------------------------------------------------------------------

# Types of elements that CuPy has, by NumPy's characters.
_CUPY_TYPES = frozenset("?bBhHiIlLqQefdFD")


def _of_cupy(args: tuple[Any, ...], ordinal: int) -> Made | None:
    host = _host_array(args)
    if host is None:
        return None
    cupy, dtype, flags = sys.modules["cupy"], host.dtype, host.flags
    order = "C" if flags.c_contiguous else "F"
    if dtype.char not in _CUPY_TYPES or not dtype.isnative or not flags.forc:
        return None
    made = cupy.empty(host.shape, dtype, order)
    return Made(made, host if order == "C" else host.T, host.nbytes, made.data.ptr, _cupy_stream())


def _cupy_stream() -> int:
    return sys.modules["cupy"].cuda.get_current_stream().ptr or LEGACY_STREAM


def _of_cupy_bytes(args: tuple[Any, ...], ordinal: int) -> Made | None:
    cupy = sys.modules.get("cupy")
    nbytes = _host_bytes(args)
    if cupy is None or not nbytes:
        return None
    made = cupy.empty(nbytes, "u1")
    return Made(made, args[0], nbytes, made.data.ptr, _cupy_stream())


def _of_numba(args: tuple[Any, ...], ordinal: int) -> Made | None:
    host = _host_array(args)
    if host is None:
        return None
    made = sys.modules["numba.cuda"].to_device(host, copy=False)
    return _numba_made(made, host if host.flags.c_contiguous else host.T, host.nbytes)


def _of_numba_bytes(args: tuple[Any, ...], ordinal: int) -> Made | None:
    cuda = sys.modules.get("numba.cuda")
    nbytes = _host_bytes(args)
    if cuda is None or not nbytes:
        return None
    return _numba_made(cuda.device_array(nbytes, "u1"), args[0], nbytes)


def _numba_made(made: Any, source: Any, nbytes: int) -> Made:
    return Made(made, source, nbytes, made.device_ctypes_pointer.value, LEGACY_STREAM)


def _of_torch(args: tuple[Any, ...], ordinal: int) -> Made | None:
    torch = sys.modules["torch"]
    host = args[0]
    if type(host) is not torch.Tensor or host.dtype is not torch.uint8 or host.is_cuda:
        return None
    try:
        source = host.numpy()
    except RuntimeError:
        # Of a PyTorch without NumPy.
        return None
    return _torch_made(source, source.nbytes, ordinal) if source.flags.c_contiguous else None


def _of_torch_bytes(args: tuple[Any, ...], ordinal: int) -> Made | None:
    if "torch" not in sys.modules:
        return None
    return _torch_made(args[0], _host_bytes(args), ordinal)


def _torch_made(source: Any, nbytes: int, ordinal: int) -> Made | None:
    if not nbytes:
        return None
    torch = sys.modules["torch"]
    made = torch.empty(nbytes, dtype=torch.uint8, device=f"cuda:{ordinal}")
    stream = torch.cuda.current_stream(made.device).cuda_stream or LEGACY_STREAM
    return Made(made, source, nbytes, made.data_ptr(), stream)


def _of_rmm(args: tuple[Any, ...], ordinal: int) -> Made | None:
    rmm = sys.modules.get("rmm")
    nbytes = _host_bytes(args)
    if rmm is None or not nbytes:
        return None
    made = rmm.DeviceBuffer(size=nbytes)
    return Made(made, args[0], nbytes, made.ptr, LEGACY_STREAM)


def _of_core(args: tuple[Any, ...], ordinal: int) -> Made | None:
    core = sys.modules.get("cuda.core")
    nbytes = _host_bytes(args)
    if core is None or not nbytes:
        return None
    memory = device_unfilled(nbytes, device_ids()[ordinal])
    made = core_buffer_over(core, memory)
    return Made(made, args[0], nbytes, memory.address, LEGACY_STREAM)


def _of_ours(args: tuple[Any, ...], ordinal: int) -> Made | None:
    data, *described = args
    nbytes = _host_bytes((data,))
    if not nbytes:
        return None
    return Made(DeviceArray(DeviceBuffer(), *described), data, nbytes, None, None)


def _host_array(args: tuple[Any, ...]) -> Any:
    """A call's only argument, if it is an array of NumPy's with elements."""
    numpy = sys.modules.get("numpy")
    if numpy is None or len(args) != 1 or type(args[0]) is not numpy.ndarray:
        return None
    return args[0] if args[0].nbytes else None


def _host_bytes(args: tuple[Any, ...]) -> int:
    """The number of bytes of a call's only argument; 0 if they are not on the host."""
    if len(args) != 1 or isinstance(args[0], DeviceBuffer):
        return 0
    view = memoryview(args[0])
    if isinstance(view.obj, DeviceStandIn):
        return 0
    return view.nbytes


# The calls that bring bytes to a device, as `_landing` names them.
MAKERS: dict[str, Callable[[tuple[Any, ...], int], Made | None]] = {
    "cupy.array": _of_cupy,
    "ferropickle.array": _of_ours,
    "ferropickle.core_buffer": _of_core,
    "ferropickle.cupy_bytes": _of_cupy_bytes,
    "ferropickle.numba_bytes": _of_numba_bytes,
    "ferropickle.rmm_buffer": _of_rmm,
    "ferropickle.torch_bytes": _of_torch_bytes,
    "numba.to_device": _of_numba,
    "rmm.DeviceBuffer.to_device": _of_rmm,
    "rmm.to_device": _of_rmm,
    "torch.cuda": _of_torch,
}
