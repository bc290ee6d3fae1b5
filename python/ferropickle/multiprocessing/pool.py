"""Pools of worker processes, for any function and any argument.

The names and methods of `multiprocessing.pool`. Differences: the function of a
map is pickled once, and each worker unpickles it once; a worker that dies
fails the task that it had with `WorkerLostError`, and another takes its place;
`terminate` fails what has not been done, so nobody waits for it.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import util
from multiprocessing.pool import (  # type: ignore[attr-defined]
    MaybeEncodingError,
    RemoteTraceback,
    ThreadPool,
)
from typing import Any

from ferropickle._native import current_policy
from ferropickle.multiprocessing import _worker
from ferropickle.multiprocessing._engine import Engine
from ferropickle.multiprocessing._errors import WorkerLostError
from ferropickle.multiprocessing._results import (
    AsyncResult,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
)

__all__ = [
    "AsyncResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
    "WorkerLostError",
]

RUN, CLOSE, TERMINATE = "RUN", "CLOSE", "TERMINATE"


def cpu_count() -> int:
    """How many workers there are if nobody says."""
    count: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1


def is_count(value: object) -> bool:
    """Whether something is a positive int."""
    return isinstance(value, int) and value > 0


class Pool:
    """Worker processes that call functions; see `multiprocessing.pool.Pool`.

    processes: how many, as a rule one for each CPU. initializer: called in each
    worker first, with initargs. maxtasksperchild: after so many tasks a worker
    is replaced. context: where the processes come from.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        self._state = "INIT"
        if context is None:
            from ferropickle.multiprocessing.context import default_context

            context = default_context.get_context()
        if processes is None:
            processes = cpu_count()
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and not is_count(maxtasksperchild):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._ctx = context
        self._processes = processes
        self._engine = Engine(context, processes, initializer, tuple(initargs), maxtasksperchild)
        self._terminate = util.Finalize(self, self._engine.terminate, exitpriority=15)
        self._state = RUN

    def __del__(self, _warn: Any = warnings.warn, _run: str = RUN) -> None:
        if self._state == _run:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        kind = type(self)
        return (
            f"<{kind.__module__}.{kind.__qualname__} state={self._state} "
            f"pool_size={self._processes}>"
        )

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    @property
    def _pool(self) -> list[Any]:
        """The worker processes there are now."""
        return [member.process for member in list(self._engine.members)]

    def _check_running(self) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running")

    # -- one call --------------------------------------------------------------------------------

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwds)` in a worker; blocks until it has returned."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[Any]:
        """As `apply`, without waiting; callback is given the result, error_callback the error."""
        self._check_running()
        result: AsyncResult[Any] = AsyncResult(self._engine, self, callback, error_callback)
        self._engine.submit(result, _worker.APPLY, (func, tuple(args), dict(kwds or {})))
        return result

    # -- many calls ------------------------------------------------------------------------------

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """`[func(x) for x in iterable]` by the workers; blocks until all have returned."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """As `map`, without waiting."""
        return self._map(_worker.MAP, func, iterable, chunksize, callback, error_callback)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """`[func(*x) for x in iterable]` by the workers; blocks until all have returned."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """As `starmap`, without waiting."""
        return self._map(_worker.STARMAP, func, iterable, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator | Iterator[Any]:
        """The results of `func(x)` one after another, each as soon as it is there.

        The iterable is gone through as the workers get on. With a chunksize of
        1 the iterator has `next(timeout)`.
        """
        return self._imap(IMapIterator, func, iterable, chunksize)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator | Iterator[Any]:
        """As `imap`, in the order in which they come."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize)

    def _map(
        self,
        mode: int,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> MapResult:
        self._check_running()
        items = iterable if hasattr(iterable, "__len__") else list(iterable)
        length = len(items)  # type: ignore[arg-type]
        if chunksize is None:
            chunksize = -(-length // (self._processes * 4))
        if length == 0:
            chunksize = 0
        result = MapResult(self._engine, self, chunksize, length, callback, error_callback)
        if length:
            chunks = _chunks(items, chunksize)
            self._engine.submit_map(result, mode, func, chunks, current_policy.get(None))
        return result

    def _imap(
        self,
        kind: type[IMapIterator],
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
    ) -> IMapIterator | Iterator[Any]:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        result = kind(self._engine, self)
        policy = current_policy.get(None)
        if chunksize == 1:
            self._engine.submit_map(result, _worker.ONE, func, iterable, policy)
            return result
        chunks = _chunks(iterable, chunksize)
        self._engine.submit_map(result, _worker.MAP, func, chunks, policy)
        return itertools.chain.from_iterable(result)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more work; the workers end when theirs is done."""
        if self._state == RUN:
            self._state = CLOSE
            self._engine.close()

    def terminate(self) -> None:
        """End the workers at once; what has not been done fails with a `ProcessError`."""
        self._state = TERMINATE
        self._terminate()

    def join(self) -> None:
        """Wait until the workers have ended; ValueError unless it is closed or terminated."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        self._engine.join()

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exception: object) -> None:
        self.terminate()


def _chunks(iterable: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    items = iter(iterable)
    while chunk := tuple(itertools.islice(items, size)):
        yield chunk
