"""CuPy: streams, events, memory by address and the like. Default streams are the receiver's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._forms import by_name
from ferropickle.reducers._kernels import handle
from ferropickle.reducers._kernels import stream as _stream

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def stream(obj: Any, policy: Any) -> ReduceValue:
    where = "cupy.cuda.stream"
    legacy, per_thread = by_name(where, "Stream.null"), by_name(where, "Stream.ptds")
    return _stream(obj, obj.ptr, legacy, per_thread)


def event(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an event", "record one where it is loaded")


def loaded(obj: Any, policy: Any) -> NoReturn:
    handle(
        obj,
        "what the driver has loaded",
        "pickle the RawKernel, RawModule or ElementwiseKernel, which is loaded again",
    )


def memory(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an address", "pickle the array over it")


def graph(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a graph", "capture it where it is loaded")


def texture(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a texture or surface", "pickle the array, and make it again")


def plan(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a plan or communicator of a CUDA library", "make it again where it is loaded")
