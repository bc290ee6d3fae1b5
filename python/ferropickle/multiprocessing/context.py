"""Contexts: the start methods, with what pickles replaced by ours.

Subclasses of the contexts of `multiprocessing.context`; whatever sends no
objects (locks, shared memory, loggers) is theirs.
"""

from __future__ import annotations

from multiprocessing import context as _stock
from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ferropickle.multiprocessing import managers, pool, queues

__all__ = ["default_context"]


class _Ours:
    """What is different from a context of the standard library."""

    def Manager(self: Any) -> managers.SyncManager:
        """A manager in a process of its own, started."""
        from ferropickle.multiprocessing.managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def Pipe(self: Any, duplex: bool = True) -> tuple[Any, Any]:
        """Two connected connections; with duplex=False the first reads, the second writes."""
        from ferropickle.multiprocessing.connection import Pipe

        return Pipe(duplex, method=self.get_start_method())

    def Queue(self: Any, maxsize: int = 0) -> queues.Queue:
        """A queue; put never waits for the reader, unless maxsize says how many may wait."""
        from ferropickle.multiprocessing.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self: Any, maxsize: int = 0) -> queues.JoinableQueue:
        """A queue with `task_done` and `join`."""
        from ferropickle.multiprocessing.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self: Any) -> queues.SimpleQueue:
        """A pipe with locks."""
        from ferropickle.multiprocessing.queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(
        self: Any,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> pool.Pool:
        """A pool of worker processes."""
        from ferropickle.multiprocessing.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def get_context(self: Any, method: str | None = None) -> Any:
        """The context of a start method, or this one.

        Raises ValueError for a method that this system has not.
        """
        if method is None:
            return self
        try:
            found = _contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}") from None
        found._check_available()
        return found


class SpawnContext(_Ours, _stock.SpawnContext):  # type: ignore[misc]
    """A fresh interpreter for each process."""

    Process = process.SpawnProcess


_contexts: dict[str, Any] = {"spawn": SpawnContext()}

if hasattr(_stock, "ForkContext"):

    class ForkContext(_Ours, _stock.ForkContext):  # type: ignore[misc]
        """Processes are copies of this one."""

        Process = process.ForkProcess

    class ForkServerContext(_Ours, _stock.ForkServerContext):  # type: ignore[misc]
        """Processes are forked by a server that has one thread."""

        Process = process.ForkServerProcess

    _contexts["fork"] = ForkContext()
    _contexts["forkserver"] = ForkServerContext()


class DefaultContext(_Ours, _stock.DefaultContext):  # type: ignore[misc]
    """The context behind the functions of the package; its start method can be set once."""

    Process = process.Process  # type: ignore[assignment]

    def get_context(self, method: str | None = None) -> Any:
        """The context of a start method, or the one that is set."""
        if method is None:
            return _stock.DefaultContext.get_context(self)
        return super().get_context(method)


def _platform_default() -> Any:
    default = _stock._default_context._default_context  # type: ignore[attr-defined]
    return _contexts[default.get_start_method()]


default_context = DefaultContext(_platform_default())
