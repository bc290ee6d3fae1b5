"""Numba for CUDA: streams, events, contexts, memory. Default streams are the receiver's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._forms import Call
from ferropickle.reducers._kernels import LEGACY, PER_THREAD, handle
from ferropickle.reducers._kernels import stream as _stream

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def stream(obj: Any, policy: Any) -> ReduceValue:
    cuda = sys.modules["numba.cuda"]
    per_thread = cuda.per_thread_default_stream, ()
    return _stream(obj, _address(obj), (cuda.default_stream, ()), per_thread)


def of_launch(obj: Any, stream: Any) -> Any:
    """What stands for the stream of a configured launch: 0, or the call that gives it."""
    address = _address(stream)
    if address in LEGACY:
        return 0
    if address == PER_THREAD:
        return Call(sys.modules["numba.cuda"].per_thread_default_stream)
    handle(
        obj,
        "the stream of a configured kernel",
        "pickle the kernel, and configure it with a stream where it is loaded",
    )


def _address(stream: Any) -> int:
    """The address of a stream: a number, an object of Numba or of cuda.core, or None."""
    return int(getattr(stream, "handle", stream) or 0)


def event(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an event", "record one where it is loaded")


def context(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a context or device", "pickle the device's number or UUID")


def memory(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an address", "pickle the array over it")


def loaded(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "what the driver has loaded", "pickle the kernel, which is loaded again")
