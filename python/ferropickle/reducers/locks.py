"""Locks arrive fresh and unlocked: who held them stays behind.

An event keeps its flag, a queue its items and a semaphore its count, as those
are data; a bounded semaphore starts again with all of it.
"""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def lock(obj: Any, policy: Any) -> ReduceValue:
    # Under this name on every version; `threading.Lock` became a class in 3.13.
    return _thread.allocate_lock, ()


def rlock(obj: Any, policy: Any) -> ReduceValue:
    return threading.RLock, ()


def python_rlock(obj: Any, policy: Any) -> ReduceValue:
    return type(obj), ()


def condition(obj: Any, policy: Any) -> ReduceValue:
    # The lock may be shared, as a queue's three conditions share it.
    return threading.Condition, (obj._lock,)


def bounded_semaphore(obj: Any, policy: Any) -> ReduceValue:
    return threading.BoundedSemaphore, (obj._initial_value,)


def barrier(obj: Any, policy: Any) -> ReduceValue:
    return threading.Barrier, (obj._parties, obj._action, obj._timeout)
