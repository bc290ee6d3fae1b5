"""Queues whose items are pickled with ferropickle.

Items are pickled when they are put: what cannot be pickled is an error of
`put`, and changing the object afterwards changes nothing that is under way.
"""

from __future__ import annotations

from multiprocessing import queues as _stock
from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing import connection
from ferropickle.multiprocessing._lane import family

if TYPE_CHECKING:
    StockQueue = _stock.Queue[Any]
    StockJoinableQueue = _stock.JoinableQueue[Any]
    StockSimpleQueue = _stock.SimpleQueue[Any]
else:
    StockQueue = _stock.Queue
    StockJoinableQueue = _stock.JoinableQueue
    StockSimpleQueue = _stock.SimpleQueue

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]


class _Packing:
    """Packs in `put`, before the feeder thread has it, and unpacks in `get`."""

    _start_method: str

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        super().__init__(maxsize, ctx=ctx)  # type: ignore[call-arg]
        self._start_method = ctx.get_start_method()
        self._lane = family()

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._start_method, self._lane  # type: ignore[misc]

    def __setstate__(self, state: Any) -> None:
        state, self._start_method, self._lane = state
        super().__setstate__(state)  # type: ignore[misc]

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object; `queue.Full` is raised if there is no room in time."""
        if self._closed:  # type: ignore[attr-defined]
            raise ValueError(f"Queue {self!r} is closed")
        message = connection.packer_for(self._start_method, self._lane).pack(obj)
        super().put(message, block, timeout)  # type: ignore[misc]

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Get an object; `queue.Empty` is raised if there is none in time."""
        return self._lane.unpack(super().get(block, timeout))  # type: ignore[misc]


class Queue(_Packing, StockQueue):
    """`multiprocessing.Queue`, for any object."""


class JoinableQueue(_Packing, StockJoinableQueue):
    """`multiprocessing.JoinableQueue`, for any object."""


class SimpleQueue(StockSimpleQueue):
    """`multiprocessing.SimpleQueue`, for any object."""

    _start_method: str

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(ctx=ctx)
        self._start_method = ctx.get_start_method()
        self._lane = family()

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._start_method, self._lane

    def __setstate__(self, state: Any) -> None:
        state, self._start_method, self._lane = state
        super().__setstate__(state)

    def put(self, obj: Any) -> None:
        """Put an object."""
        message = connection.packer_for(self._start_method, self._lane).pack(obj)
        if self._wlock is None:  # type: ignore[attr-defined]
            self._writer.send_bytes(message)  # type: ignore[attr-defined]
            return
        with self._wlock:  # type: ignore[attr-defined]
            self._writer.send_bytes(message)  # type: ignore[attr-defined]

    def get(self) -> Any:
        """Get an object; blocks until there is one."""
        with self._rlock:  # type: ignore[attr-defined]
            message = self._reader.recv_bytes()  # type: ignore[attr-defined]
        return self._lane.unpack(message)
