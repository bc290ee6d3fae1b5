"""`queue.SimpleQueue`, with its items. The other queues are plain instances."""

from __future__ import annotations

import gc
import queue
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def simple_queue(obj: Any, policy: Any) -> ReduceValue:
    # The collector sees the items in their order, without taking them out: the
    # referents but for the type; up to 3.12 the end of a list, the first of them.
    *items, _type = gc.get_referents(obj)
    if sys.version_info < (3, 13):
        (held,) = items
        items = held[len(held) - obj.qsize() :]
    return after(queue.SimpleQueue, (), [Call(queue.SimpleQueue.put, obj, item) for item in items])
