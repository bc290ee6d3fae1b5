"""What runs a pool: workers, each with a channel of its own, and two threads.

A worker is given one task at a time, so that it is known which task is lost
when it dies. The feeder pickles the tasks of maps ahead of the workers, up to
a bound; the dispatcher gives tasks to free workers, takes their answers, and
puts new workers in the place of those that have ended. Nothing is shared
between workers, so none of them can leave a lock behind.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import ProcessError
from typing import TYPE_CHECKING, Any

from ferropickle._native import current_policy
from ferropickle.multiprocessing import _main
from ferropickle.multiprocessing._errors import WorkerLostError, describe_end
from ferropickle.multiprocessing._lane import new_lane
from ferropickle.multiprocessing._member import Function, Member, Task
from ferropickle.multiprocessing._transport import Packer
from ferropickle.multiprocessing._watch import Watch
from ferropickle.multiprocessing._wire import DONE, FAILED, READY, Frame
from ferropickle.multiprocessing._worker import APPLY, ON_DEVICE

if TYPE_CHECKING:
    from ferropickle._native import Policy
    from ferropickle.multiprocessing._results import Job

    _Given = tuple[Member, Task, Frame]

POLL_S = 1.0  # how often workers are looked at whose end no descriptor has told
PATIENCE_S = 2.0  # for a worker that should have ended
MOST_DEATHS = 2  # of workers while they were sent a task: it may be what kills them
AHEAD_BYTES = 64 * 1024 * 1024  # in the arena, and of pickled tasks that wait for a worker
SMALL_BYTES = 1024 * 1024  # as long as there are no more, many tasks may wait
AHEAD_SMALL = 256  # as many


class Engine:
    """The workers of a pool and the tasks that they are given.

    on_lost: given the error of a task whose worker died, returns what all tasks are to
    fail with; without it that one fails and the pool goes on.
    """

    def __init__(
        self,
        context: Any,
        processes: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        maxtasks: int | None,
        on_lost: Callable[[WorkerLostError], BaseException] | None = None,
    ) -> None:
        self._context = context
        self._processes = processes
        self._maxtasks = maxtasks
        self._initializer = initializer
        self._initargs = initargs
        self._on_lost = on_lost
        self._lane = new_lane()
        self._packer = Packer(_names(context.get_start_method()), self._lane)
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._jobs: dict[int, Job] = {}
        self._ready: deque[Task] = deque()
        self._ready_bytes = 0
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._functions: dict[int, Function] = {}  # by job
        self._numbers = itertools.count(1)
        self._closing = False
        self._stopping = False
        self._broken: BaseException | None = None
        self._false_starts = 0
        self._startup_error: BaseException | None = None
        self._wake_in, wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        wake_out.setblocking(False)
        self._watch = Watch(wake_out)
        self.members: list[Member] = []
        self._leaving: list[Any] = []  # processes that have done all their tasks
        try:
            for _ in range(processes):
                self._add_member()
        except BaseException:
            self._stopping = True
            self._end()
            raise
        self._feeder = _thread(self._feed, "PoolFeeder")
        self._dispatcher = _thread(self._dispatch, "PoolDispatcher")

    # -- what a pool asks for --------------------------------------------------------------------

    def enter(self, job: Job) -> None:
        """A job begins.

        Raises ValueError if the pool is closed, or what broke it.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._closing:
                raise ValueError("Pool not running")
            self._jobs[job.number] = job

    def leave(self, job: Job) -> None:
        """A job has ended."""
        with self._lock:
            self._jobs.pop(job.number, None)
            last = not self._jobs
            function = self._functions.pop(job.number, None)
            if function is not None:
                for member in self.members:
                    member.forget(function)
        if function is not None:
            self._lane.withdraw(function.message)
        if last and self._closing:
            self._wake()

    def submit(self, job: Job, mode: int, payload: Any) -> None:
        """One task. Where a worker waits for it, it is pickled here and now, else by the feeder."""
        with self._lock:
            direct = not self._ready and any(map(Member.is_free, self.members))
        if not direct:
            self._requests.put(_Request(job, mode, None, iter([payload]), current_policy.get(None)))
            return
        try:
            message = self._packer.pack(payload)
        except Exception as error:
            job.set(0, False, error)
            return
        self._push(Task(job, 0, self._mode(mode, current_policy.get(None)), message))
        if not self._send_next():
            self._wake()

    def submit_map(
        self, job: Job, mode: int, function: Any, payloads: Iterable[Any], policy: Policy | None
    ) -> None:
        """A task for each payload, pickled as workers become free."""
        self._requests.put(_Request(job, mode, function, iter(payloads), policy))

    def cancel(self) -> None:
        """Leave out what has not begun, where jobs let that be done."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        self._wake()

    def close(self) -> None:
        """Let the workers end when all jobs have."""
        self._closing = True
        self._requests.put(None)
        self._wake()

    def terminate(self) -> None:
        """End the workers now; what has not been done fails."""
        with self._lock:
            self._closing = self._stopping = True
            members = list(self.members)
            self._room.notify_all()
        self._requests.put(None)
        for member in members:
            member.process.terminate()
        self._wake()
        self.join()

    def abort(self, how: str, error: BaseException) -> None:
        """As `terminate`, by a method of processes, with this error, and without waiting."""
        with self._lock:
            members = list(self.members)
        self._fail(error)
        for member in members:
            getattr(member.process, how)()
        self._wake()

    def join(self) -> None:
        """Wait until the workers have ended."""
        current = threading.current_thread()
        if current is not self._dispatcher:
            self._dispatcher.join()
        if current is not self._feeder:
            # It may be in an iterator of the user's that never comes back.
            self._feeder.join(None if not self._stopping else PATIENCE_S)

    # -- the feeder ------------------------------------------------------------------------------

    def _feed(self) -> None:
        for request in iter(self._requests.get, None):
            try:
                self._feed_one(request)
            except Exception as error:
                request.job.fail(error)
            del request

    def _feed_one(self, request: _Request) -> None:
        job, policy, function = request.job, request.policy, None
        if request.mode != APPLY:
            message = self._packer.pack(request.function, policy, keep=True)
            function = Function(next(self._numbers), message)
            with self._lock:
                if job.number not in self._jobs:
                    self._lane.withdraw(message)
                    return
                self._functions[job.number] = function
        length = 0
        while self._wait_for_room() and job.number in self._jobs:
            try:
                payload = next(request.payloads)
            except StopIteration:
                job.set_length(length)
                return
            except Exception as error:  # of the iterable that was given
                job.set(length, False, error)
                job.set_length(length + 1)
                return
            try:
                message = self._packer.pack(payload, policy)
            except Exception as error:
                job.set(length, False, error)
            else:
                mode = self._mode(request.mode, policy)
                self._push(Task(job, length, mode, message, function))
                self._send_next()
            length += 1

    def _mode(self, mode: int, policy: Policy | None) -> int:
        """How a task is to be called, and how its arrays on devices come back.

        What a worker sends first goes by the host anyway.
        """
        on_device = policy is not None and policy.device != "host" and self._maxtasks != 1
        return mode | ON_DEVICE if on_device else mode

    def _wait_for_room(self) -> bool:
        """Wait until another task may be pickled ahead; False if none will be."""
        with self._lock:
            if not self._has_room():
                self._room.wait_for(lambda: self._stopping or self._has_room())
            return not self._stopping

    def _has_room(self) -> bool:
        """Whether another task may wait: many small ones, or few large ones, but always one."""
        waiting = len(self._ready)
        if waiting <= self._processes:
            return not waiting or self._ready_bytes + self._lane.used <= AHEAD_BYTES
        return waiting < AHEAD_SMALL and self._ready_bytes + self._lane.used <= SMALL_BYTES

    # -- tasks to workers ------------------------------------------------------------------------

    def _push(self, task: Task, first: bool = False) -> None:
        with self._lock:
            (self._ready.appendleft if first else self._ready.append)(task)
            self._ready_bytes += len(task.message)

    def _next(self) -> _Given | None:
        """The next task that waits, given to a free worker."""
        with self._lock:
            while self._ready:
                task = self._ready[0]
                wanted = task.job.number in self._jobs
                member = next(filter(Member.is_free, self.members), None) if wanted else None
                if wanted and member is None:
                    return None
                self._ready.popleft()
                self._ready_bytes -= len(task.message)
                if len(self._ready) <= self._processes:
                    self._room.notify_all()  # the feeder fills it up again
                if member is not None and task.job.begins(task.index):
                    member.task = task
                    return member, task, member.frame(task)
                self._lane.withdraw(task.message)
            return None

    def _send_next(self) -> bool:
        """Send the next task that waits to a free worker, if there are both."""
        given = self._next()
        if given is None:
            return False
        member, task, frame = given
        try:
            member.channel.send(frame)
        except OSError:
            with self._lock:
                # It cannot have begun: another worker may have it.
                member.reachable = False
                if member.task is task:
                    member.task = None
                    self._push(task, first=True)
            self._wake()
        return True

    # -- the dispatcher --------------------------------------------------------------------------

    def _dispatch(self) -> None:
        try:
            while not self._is_over():
                while self._send_next():
                    pass
                ready = self._watch.wait(POLL_S)
                if ready is None:
                    self._look_at_all()
                    continue
                for member, has_sent in ready:
                    if member not in self.members:
                        continue
                    if has_sent:
                        self._receive(member)
                    else:
                        self._drain(member)
        except BaseException as error:
            self._fail(error)
        finally:
            self._end()

    def _look_at_all(self) -> None:
        """Find those whose end no descriptor tells: a process that they forked may hold theirs."""
        for member in list(self.members):
            if member.process.exitcode is not None:
                self._drain(member)
        self._leaving = [process for process in self._leaving if process.exitcode is None]

    def _is_over(self) -> bool:
        with self._lock:
            return self._stopping or (self._closing and not self._jobs)

    def _drain(self, member: Member) -> None:
        """Take the last answers of a worker that has ended."""
        while member in self.members and self._watch.has_sent(member):
            self._receive(member)
        if member in self.members:
            self._lost(member)

    def _receive(self, member: Member) -> None:
        try:
            frame = member.channel.recv()
        except ConnectionResetError:
            self._lost(member, unread=True)
            return
        except (EOFError, OSError):
            self._lost(member)
            return
        if frame.kind == READY:
            member.started = True
            self._false_starts = 0
        elif frame.kind == FAILED:
            self._startup_error = self._unpacked(frame)[1]
        else:
            with self._lock:
                task, member.task = member.task, None
                if member.left is not None:
                    member.left -= 1
            self._send_next()  # first of all: it works while we unpickle
            if task is not None:
                task.job.set(task.index, *self._unpacked(frame))

    def _unpacked(self, frame: Frame) -> tuple[bool, Any]:
        """Whether a task succeeded, and its result or error."""
        try:
            return frame.kind == DONE, self._lane.unpack(frame.message)
        except Exception as error:
            return False, error

    def _lost(self, member: Member, unread: bool = False) -> None:
        """A worker has ended, or cannot be reached any more.

        unread: it had not read all that it was sent, so its task has not begun.
        """
        self._watch.remove(member)
        with self._lock:
            self.members.remove(member)
            task, member.task = member.task, None
            again = unread and self._on_lost is None
            if task is not None and again and task.deaths < MOST_DEATHS:
                task.deaths += 1
                self._push(task, first=True)
                task = None
        if task is not None:
            self._lane.withdraw(task.message)
        if member.left == 0:
            # It has done all that it was to do, and takes its time to end.
            member.close()
            self._leaving.append(member.process)
            if not self._is_over():
                self._add_member()
            return
        exitcode = member.end(PATIENCE_S)
        self._lane.reclaim()
        how = describe_end(member.process.pid, exitcode)
        if task is not None and self._stopping:
            task.job.set(task.index, False, _terminated())
        elif task is not None:
            text = f"{how} while it had this task; the task is not run again"
            error = WorkerLostError(text, member.process.pid, exitcode)
            if self._on_lost is not None:
                self._fail(self._on_lost(error))
                return
            task.job.set(task.index, False, error)
        elif not member.started:
            self._false_starts += 1
            if self._false_starts > max(3, self._processes):
                error = WorkerLostError(
                    f"no worker gets through its start; the last: {how}",
                    member.process.pid,
                    exitcode,
                )
                error.__cause__ = self._startup_error
                self._fail(error if self._on_lost is None else self._on_lost(error))
                return
        if not self._is_over():
            self._add_member()

    def _add_member(self) -> None:
        member = Member(
            self._context,
            self._lane,
            self._initializer,
            self._initargs,
            self._maxtasks,
            lambda: self._stopping,
        )
        with self._lock:
            self.members.append(member)
            if self._stopping:
                member.process.terminate()
        self._watch.add(member)

    def _fail(self, error: BaseException) -> None:
        """Nothing more can be done: all jobs fail, and those that come."""
        with self._lock:
            self._broken = error
            self._stopping = self._closing = True
            jobs = list(self._jobs.values())
            self._room.notify_all()
        self._requests.put(None)
        for job in jobs:
            job.fail(error)

    def _end(self) -> None:
        """End the workers and all that is left."""
        for member in self.members:
            if self._stopping:
                member.process.terminate()
            else:
                member.channel.finish()
        deadline = time.monotonic() + PATIENCE_S
        for member in self.members:
            if not self._stopping:
                member.process.join()
            member.end(max(deadline - time.monotonic(), 0))
        for process in self._leaving:
            process.join()
        self._leaving.clear()
        with self._lock:
            self._broken = self._broken or _terminated()
            self.members.clear()
            self._ready.clear()
            jobs = list(self._jobs.values())
            self._wake_in.close()
            self._watch.close()
        for job in jobs:
            job.fail(self._broken)
        self._lane.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake, or has ended
            self._wake_in.send(b"\0")


class _Request:
    """A map whose tasks are to be pickled."""

    def __init__(
        self, job: Job, mode: int, function: Any, payloads: Iterator[Any], policy: Policy | None
    ) -> None:
        self.job = job
        self.mode = mode
        self.function = function
        self.payloads = payloads
        self.policy = policy


def _names(method: str) -> Callable[[], _main.Names]:
    """What says which names of `__main__` the workers have: those forked, what there is now."""
    if method != "fork":
        return lambda: _main.shared(method)
    names = _main.snapshot()
    return lambda: names


def _terminated() -> ProcessError:
    return ProcessError("the pool was terminated")


def _thread(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
