"""A worker process as its pool sees it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing import _worker
from ferropickle.multiprocessing._wire import FORGET, TASK, Channel, Frame

if TYPE_CHECKING:
    from ferropickle.multiprocessing._lane import Lane
    from ferropickle.multiprocessing._results import Job

_kept: dict[int, socket.socket] = {}  # our ends, by descriptor, of all pools of this process


def _close_in_child() -> None:
    """A forked child must not keep them: its siblings would not see this process end."""
    for sock in list(_kept.values()):
        sock.close()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class Function:
    """The function of a map, pickled once."""

    __slots__ = ("message", "number")

    def __init__(self, number: int, message: bytes) -> None:
        self.number = number
        self.message = message


class Task:
    """One message to a worker, and where its answer goes."""

    __slots__ = ("deaths", "function", "index", "job", "message", "mode")

    def __init__(
        self, job: Job, index: int, mode: int, message: bytes, function: Function | None = None
    ) -> None:
        self.job = job
        self.index = index
        self.mode = mode
        self.message = message
        self.function = function
        self.deaths = 0  # workers that died before they had all of it


class Member:
    """A worker: its process, the channel to it, and what it is doing.

    Raises what starting a process raises.
    """

    def __init__(
        self,
        context: Any,
        lane: Lane,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        limit: int | None,
        stopping: Callable[[], bool],
    ) -> None:
        self.started = False  # it has run its initializer
        self.reachable = True  # as far as is known
        self.task: Task | None = None
        self.left = limit  # tasks that it may still be given
        self._known: set[int] = set()  # functions that it has
        self._forget: list[int] = []
        self._stopping = stopping
        ours, theirs = socket.socketpair()
        self.descriptor = ours.fileno()
        _kept[self.descriptor] = ours
        self.channel = Channel(ours, self._check_alive)
        try:
            self.process = context.Process(
                target=_worker.work,
                args=(theirs, lane, context.get_start_method(), initializer, initargs, limit),
            )
            self.process.name = self.process.name.replace("Process", "PoolWorker")
            self.process.daemon = True
            self.process.start()
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()

    def _check_alive(self) -> None:
        if self._stopping() or self.process.exitcode is not None:
            raise ConnectionAbortedError("the worker has gone")

    def is_free(self) -> bool:
        return self.started and self.reachable and self.task is None and self.left != 0

    def frame(self, task: Task) -> Frame:
        """The message with which it gets a task."""
        frame = Frame(TASK, task.mode, task.job.number, task.index, message=task.message)
        function = task.function
        if function is not None:
            frame.function = function.number
            if function.number not in self._known:
                frame.function_message = function.message
                self._known.add(function.number)
        frame.forget, self._forget = self._forget, []
        return frame

    def forget(self, function: Function) -> None:
        """The function is no longer needed; a worker that is busy hears so with its next task."""
        if function.number not in self._known:
            return
        self._known.discard(function.number)
        self._forget.append(function.number)
        if self.is_free():
            with contextlib.suppress(OSError):  # it has gone
                self.channel.send(Frame(FORGET, forget=self._forget))
            self._forget = []

    def end(self, patience: float) -> int | None:
        """Wait for the process to end, or make it: its exit status."""
        self.close()
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        exitcode: int | None = self.process.exitcode
        return exitcode

    def close(self) -> None:
        """Close our end: a worker that is waiting ends."""
        if _kept.pop(self.descriptor, None) is not None:
            self.channel.close()
