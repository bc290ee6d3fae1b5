"""PyTorch: streams, events, graphs, kernels compiled at run time. The default stream is the
receiver's, of its current device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._kernels import LEGACY, handle

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def stream(obj: Any, policy: Any) -> ReduceValue:
    if obj.cuda_stream in LEGACY:
        return sys.modules["torch.cuda"].default_stream, ()
    handle(obj, "a stream", "make one where it is loaded. The default stream can be pickled")


def device_stream(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a stream", "make one where it is loaded")


def event(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an event", "record one where it is loaded")


def graph(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a graph", "capture it where it is loaded")


def pool(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a pool of memory", "make one where it is loaded")


def compiled(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a compiled kernel", "pickle its source and compile it where it is loaded")
