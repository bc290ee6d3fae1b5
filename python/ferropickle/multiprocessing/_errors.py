"""Errors of pools, and how exceptions come back."""

from __future__ import annotations

import signal
import traceback
from multiprocessing import ProcessError
from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]
from types import TracebackType


class WorkerLostError(ProcessError):
    """A worker process ended while it had a task, which is not run again.

    pid: the worker's; exitcode: as `Process.exitcode` has it, negative for a
    signal, None where it is not known.
    """

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode


def describe_end(pid: int | None, exitcode: int | None) -> str:
    """How a worker ended, in words."""
    if exitcode is None:
        how = "has gone"
    elif exitcode < 0:
        try:
            how = f"was killed by {signal.Signals(-exitcode).name}"
        except ValueError:
            how = f"was killed by signal {-exitcode}"
    else:
        how = f"exited with status {exitcode}"
    return f"worker process {pid} {how}"


def text_of(error: BaseException, tb: TracebackType | None) -> str:
    """The traceback as the worker would print it, causes and notes included."""
    return '\n"""\n' + "".join(traceback.format_exception(type(error), error, tb)) + '"""'


def rebuild_with_traceback(error: BaseException, text: str) -> BaseException:
    """The exception that a worker sent, with the text of its traceback as a cause.

    The text becomes the cause of the exception itself, as in the standard
    library, or, where it has causes of its own, of the first of these.
    """
    first = error
    seen = {id(error)}
    while first.__cause__ is not None and id(first.__cause__) not in seen:
        first = first.__cause__
        seen.add(id(first))
    first.__cause__ = RemoteTraceback(text)
    return error
