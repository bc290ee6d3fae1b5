"""What the methods of a pool return while the work is under way."""

from __future__ import annotations

import itertools
import threading
import traceback
from collections import deque
from collections.abc import Callable
from multiprocessing import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from ferropickle.multiprocessing._engine import Engine

T = TypeVar("T")
_numbers = itertools.count(1)


class Job:
    """Work given to an engine, known by its number until all of it is done.

    owner: what must live as long as the job is under way.
    """

    def __init__(self, engine: Engine, owner: object) -> None:
        self.number = next(_numbers)
        self._engine: Engine | None = engine
        self._owner: object = owner
        engine.enter(self)

    def begins(self, index: int) -> bool:
        """Whether a task of it is still wanted, now that it is about to be sent."""
        return True

    def cancel(self) -> None:
        """Leave out what has not begun, where that can be done."""

    def set(self, index: int, success: bool, value: Any) -> None:
        """One task is done: its result, or what it raised."""
        raise NotImplementedError

    def set_length(self, length: int) -> None:
        """There were so many tasks."""

    def fail(self, error: BaseException) -> None:
        """Nothing of it will be done any more."""
        raise NotImplementedError

    def _leave(self) -> None:
        engine, self._engine, self._owner = self._engine, None, None
        if engine is not None:
            engine.leave(self)


class AsyncResult(Job, Generic[T]):
    """The result of one call, once it is there."""

    def __init__(
        self,
        engine: Engine,
        owner: object,
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._event = threading.Event()
        self._callback = callback
        self._error_callback = error_callback
        self._success = True
        self._value: Any = None
        super().__init__(engine, owner)

    def ready(self) -> bool:
        """Whether the call has ended."""
        return self._event.is_set()

    def successful(self) -> bool:
        """Whether it ended without an exception; ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        self._event.wait(timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result; blocks until it is there.

        Raises what the call raised, `multiprocessing.TimeoutError` if it has
        not ended in time, `WorkerLostError` if its worker died.
        """
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError
        if self._success:
            return self._value  # type: ignore[no-any-return]
        raise self._value

    def set(self, index: int, success: bool, value: Any) -> None:
        if not self.ready():
            self._success, self._value = success, value
            self._end()

    def fail(self, error: BaseException) -> None:
        if not self.ready():
            self._success, self._value = False, error
            self._end()

    def _end(self) -> None:
        callback = self._callback if self._success else self._error_callback
        if callback is not None:
            try:
                callback(self._value)
            except Exception:  # of the user's; the pool goes on
                traceback.print_exc()
        self._event.set()
        self._leave()


class MapResult(AsyncResult[list[Any]]):
    """The results of a map, once all are there."""

    def __init__(
        self,
        engine: Engine,
        owner: object,
        chunksize: int,
        length: int,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        super().__init__(engine, owner, callback, error_callback)
        self._value = [None] * length
        self._chunksize = chunksize
        self._left = -(-length // chunksize) if chunksize else 0
        if not self._left:
            self._end()

    def set(self, index: int, success: bool, value: Any) -> None:
        if self.ready():
            return
        self._left -= 1
        if self._success and success:
            start = index * self._chunksize
            self._value[start : start + self._chunksize] = value
        elif self._success:
            self._success, self._value = False, value
        if self._left == 0:
            self._end()


class IMapIterator(Job):
    """The results of an imap, in order, each as soon as it is there."""

    def __init__(self, engine: Engine, owner: object) -> None:
        self._changed = threading.Condition()
        self._items: deque[tuple[bool, Any]] = deque()
        self._early: dict[int, tuple[bool, Any]] = {}
        self._arrived = 0
        self._length: int | None = None
        super().__init__(engine, owner)

    def __iter__(self) -> IMapIterator:
        return self

    def next(self, timeout: float | None = None) -> Any:
        """The next result.

        Raises what the call raised, `multiprocessing.TimeoutError` if it has
        not ended in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._is_complete(), timeout):
                raise TimeoutError
            if not self._items:
                raise StopIteration
            success, value = self._items.popleft()
        if success:
            return value
        raise value

    __next__ = next

    def set(self, index: int, success: bool, value: Any) -> None:
        with self._changed:
            self._place(index, (success, value))
            self._changed.notify_all()
        self._end_if_complete()

    def set_length(self, length: int) -> None:
        with self._changed:
            self._length = length
            self._changed.notify_all()
        self._end_if_complete()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            if self._is_complete():
                return
            self._items.append((False, error))
            self._early.clear()
            self._length = self._arrived = -1
            self._changed.notify_all()
        self._leave()

    def _place(self, index: int, item: tuple[bool, Any]) -> None:
        if self._arrived < 0:
            return  # it has failed
        self._early[index] = item
        while self._arrived in self._early:
            self._items.append(self._early.pop(self._arrived))
            self._arrived += 1

    def _is_complete(self) -> bool:
        return self._arrived == self._length

    def _end_if_complete(self) -> None:
        if self._is_complete():
            self._leave()


class IMapUnorderedIterator(IMapIterator):
    """The results of an imap, each as soon as it is there."""

    def _place(self, index: int, item: tuple[bool, Any]) -> None:
        if self._arrived >= 0:
            self._items.append(item)
            self._arrived += 1
