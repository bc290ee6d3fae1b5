"""What a worker process of a pool does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import starmap
from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]
from typing import Any

from ferropickle._native import Policy, current_policy
from ferropickle.multiprocessing import _main
from ferropickle.multiprocessing._errors import rebuild_with_traceback, text_of
from ferropickle.multiprocessing._lane import Lane
from ferropickle.multiprocessing._transport import Packer
from ferropickle.multiprocessing._wire import DONE, FAILED, FORGET, RAISED, READY, Channel, Frame

# How a task is to be called.
APPLY, ONE, MAP, STARMAP = 0, 1, 2, 3
ON_DEVICE = 0x80  # with one of these: arrays on devices stay there on their way back


class Raised:
    """An exception on its way back, with its traceback as text."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        # Without the frame of the worker's own that called.
        tb = error.__traceback__
        self.text = text_of(error, tb.tb_next if tb is not None and tb.tb_next else tb)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_with_traceback, (self.error, self.text)


def work(
    sock: Any,
    lane: Lane,
    method: str,
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    limit: int | None,
) -> None:
    """Serve a pool until it says that nothing more comes, or `limit` tasks are done."""
    channel = Channel(sock)
    packer = Packer(lambda: _main.shared(method), lane)
    if initializer is not None:
        try:
            initializer(*initargs)
        except Exception as error:
            channel.send(Frame(FAILED, message=packed(packer, Raised(error), error)))
            raise
    functions: dict[int, Callable[..., Any]] = {}
    done = 0
    try:
        channel.send(Frame(READY))
        while limit is None or done < limit:
            frame = channel.recv()
            for number in frame.forget:
                functions.pop(number, None)
            if frame.kind == FORGET:
                continue
            answer = run(frame, functions, packer)
            # Nothing of the task is kept while waiting for the next one.
            del frame
            channel.send(answer)
            del answer
            done += 1
    except (EOFError, OSError):
        pass  # the pool is closed, or its process has gone


def run(frame: Frame, functions: dict[int, Callable[..., Any]], packer: Packer) -> Frame:
    """Do a task; what it raises is an answer as well."""
    try:
        result = call(frame, functions, packer.lane)
    except Exception as error:
        return Frame(
            RAISED,
            job=frame.job,
            index=frame.index,
            message=packed(packer, Raised(error), error),
        )
    try:
        message = packer.pack(result, answering(frame.mode, current_policy.get(None)))
    except Exception as error:
        failed = MaybeEncodingError(error, result)
        return Frame(RAISED, job=frame.job, index=frame.index, message=packer.pack(failed))
    return Frame(DONE, job=frame.job, index=frame.index, message=message)


def call(frame: Frame, functions: dict[int, Callable[..., Any]], lane: Lane) -> Any:
    """The result of a task."""
    if frame.function_message:
        functions[frame.function] = lane.unpack(frame.function_message)
    given = lane.unpack(frame.message)
    mode = frame.mode & ~ON_DEVICE
    if mode == APPLY:
        function, args, kwargs = given
        return function(*args, **kwargs)
    function = functions[frame.function]
    if mode == ONE:
        return function(given)
    if mode == MAP:
        return list(map(function, given))
    return list(starmap(function, given))


_answering: tuple[Policy | None, Policy] = (None, Policy(device="auto"))


def answering(mode: int, own: Policy | None) -> Policy | None:
    """The policy for the result of a task, where the worker's `own` is this."""
    global _answering
    if not mode & ON_DEVICE or (own is not None and own.device != "host"):
        return own
    known, made = _answering
    if known is not own:
        made = Policy(**{**(own or Policy())._choices(), "device": "auto"})
        _answering = own, made
    return made


def packed(packer: Packer, raised: Raised, error: BaseException) -> bytes:
    """The message of an exception, or of what says that it cannot be pickled."""
    try:
        return packer.pack(raised)
    except Exception as problem:
        return packer.pack(MaybeEncodingError(problem, error))
