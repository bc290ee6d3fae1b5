"""`ProcessPoolExecutor` for any callable and any argument."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import util
from typing import Any

from ferropickle._native import current_policy
from ferropickle.multiprocessing import _worker
from ferropickle.multiprocessing._engine import Engine
from ferropickle.multiprocessing._errors import WorkerLostError
from ferropickle.multiprocessing._results import Job
from ferropickle.multiprocessing.pool import cpu_count

__all__ = ["BrokenProcessPool", "ProcessPoolExecutor"]


class _Call(Job):
    """The job behind the futures of a call of `submit` or `map`, one for each task."""

    def __init__(self, engine: Engine, owner: object, futures: list[Future[Any]]) -> None:
        self._futures = futures
        self._left = len(futures)
        self._settling = threading.RLock()
        super().__init__(engine, owner)

    def begins(self, index: int) -> bool:
        future = self._futures[index]
        if future.running() or future.set_running_or_notify_cancel():
            return True
        self._count()
        return False

    def cancel(self) -> None:
        for future in self._futures:
            future.cancel()

    def set(self, index: int, success: bool, value: Any) -> None:
        future = self._futures[index]
        with self._settling:
            if future.done() and not future.cancelled():
                return  # it has failed with all others
            if not future.running() and not future.set_running_or_notify_cancel():
                pass  # cancelled before it could be pickled
            elif success:
                future.set_result(value)
            else:
                future.set_exception(value)
        self._count()

    def fail(self, error: BaseException) -> None:
        with self._settling:
            for future in self._futures:
                if future.running() or not future.done() and future.set_running_or_notify_cancel():
                    future.set_exception(error)
        self._leave()

    def _count(self) -> None:
        with self._settling:
            self._left -= 1
            done = self._left == 0
        if done:
            self._leave()


class ProcessPoolExecutor(Executor):
    """`concurrent.futures.ProcessPoolExecutor`, for any callable.

    The arguments are those of the standard library's. As there, a worker that
    dies while it works breaks the executor: all that is not done fails with
    `BrokenProcessPool`. Workers start with the first call.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if max_workers is None:
            max_workers = cpu_count()
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._max_workers = max_workers
        self._mp_context = _ours(mp_context)
        self._initializer = initializer
        self._initargs = tuple(initargs)
        self._max_tasks_per_child = max_tasks_per_child
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._at_exit: Any = None
        self._shut_down = False

    @property
    def _processes(self) -> dict[int, Any]:
        """The worker processes by id."""
        members = [] if self._engine is None else list(self._engine.members)
        return {member.process.pid: member.process for member in members}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn(*args, **kwargs)` in a worker; the future has its result.

        Raises RuntimeError after `shutdown`, BrokenProcessPool if a worker has
        died.
        """
        future: Future[Any] = Future()
        engine = self._running()
        call = _Call(engine, self, [future])
        engine.submit(call, _worker.APPLY, (fn, args, kwargs))
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The results of `fn` over the iterables zipped, in order.

        fn is pickled once. timeout: in seconds from this call, for each result.
        chunksize: so many calls make a task. buffersize: so many tasks at most
        are under way or not yet taken; without it the iterables are gone
        through at once.

        The iterator raises what a call raised, or TimeoutError.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        engine = self._running()
        policy = current_policy.get(None)
        if buffersize is None:
            all_chunks = list(chunks)
            futures: list[Future[Any]] = [Future() for _ in all_chunks]
            if not futures:
                return iter(())
            call = _Call(engine, self, list(futures))
            engine.submit_map(call, _worker.STARMAP, fn, all_chunks, policy)
            return _results(futures, end)
        return self._map_buffered(fn, chunks, buffersize, end)

    def _map_buffered(
        self, fn: Callable[..., Any], chunks: Iterator[Any], buffersize: int, end: float | None
    ) -> Iterator[Any]:
        waiting = [
            self.submit(_call_all, fn, chunk) for chunk in itertools.islice(chunks, buffersize)
        ]

        def results() -> Iterator[Any]:
            try:
                while waiting:
                    done = waiting.pop(0)
                    yield from _result(done, end)
                    for chunk in itertools.islice(chunks, 1):
                        waiting.append(self.submit(_call_all, fn, chunk))
            finally:
                for future in waiting:
                    future.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers end when theirs are done.

        wait: until then. cancel_futures: leave out the calls that have not
        begun.
        """
        with self._lock:
            self._shut_down = True
            engine = self._engine
        if engine is None:
            return
        if cancel_futures:
            engine.cancel()
        if self._at_exit is not None:
            self._at_exit.cancel()
        engine.close()
        if wait:
            engine.join()

    def terminate_workers(self) -> None:
        """End the workers by SIGTERM, and the executor with them."""
        self._end_by("terminate")

    def kill_workers(self) -> None:
        """End the workers by SIGKILL, and the executor with them."""
        self._end_by("kill")

    def _end_by(self, how: str) -> None:
        self.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            text = "A process in the process pool was terminated by the executor"
            self._engine.abort(how, BrokenProcessPool(text))

    def _running(self) -> Engine:
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._engine is None:
                self._engine = Engine(
                    self._mp_context,
                    self._max_workers,
                    self._initializer,
                    self._initargs,
                    self._max_tasks_per_child,
                    _broken,
                )
                # The end of the program waits for what is under way, that of the executor not.
                self._at_exit = util.Finalize(None, _finish, (self._engine,), exitpriority=20)
                weakref.finalize(self, _let_go, self._engine, self._at_exit).atexit = False
            return self._engine


def _ours(context: Any) -> Any:
    """The context of ours for one of the standard library's, or for none."""
    from ferropickle.multiprocessing.context import default_context

    if context is None:
        return default_context.get_context()
    return default_context.get_context(context.get_start_method())


def _finish(engine: Engine) -> None:
    engine.close()
    engine.join()


def _let_go(engine: Engine, at_exit: Any) -> None:
    if at_exit.still_active():
        at_exit.cancel()
        engine.close()


def _broken(lost: WorkerLostError) -> BaseException:
    error = BrokenProcessPool(
        "A process in the process pool was terminated abruptly while the future was running "
        f"or pending: {lost}"
    )
    error.__cause__ = lost
    return error


def _chunks(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    iterator = iter(items)
    while chunk := tuple(itertools.islice(iterator, size)):
        yield chunk


def _call_all(fn: Callable[..., Any], chunk: Iterable[Any]) -> list[Any]:
    return list(itertools.starmap(fn, chunk))


def _results(futures: list[Future[Any]], end: float | None) -> Iterator[Any]:
    futures.reverse()
    try:
        while futures:
            yield from _result(futures.pop(), end)
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[Any], end: float | None) -> Any:
    """The results of one chunk."""
    try:
        return future.result(None if end is None else end - time.monotonic())
    finally:
        future.cancel()
