"""Peak memory of one call."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def peak_in_fork(prepare: Callable[[], Any], call: Callable[[Any], Any]) -> int | None:
    """The peak of resident memory while `call` works on what `prepare` returns, above what there
    was before, in KiB. None where either raised, or the system is not Linux.

    It happens in a forked process, and what earlier calls have left is given back first, so that no
    call finds memory that another has left. What is read of the program's own code for the first
    time counts as well: below a MiB or two the figures say little.
    """
    if not sys.platform.startswith("linux"):
        return None
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads here: the child starts none
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(_peak(call, prepare())).encode())
        finally:
            os._exit(0)  # a failure has written nothing
    os.close(write)
    with open(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return int(answer) if answer else None


def _peak(call: Callable[[Any], Any], arg: Any) -> int:
    gc.collect()
    _give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    result = call(arg)
    peak = _status("VmHWM") - before
    del result
    return max(peak, 0)


def _give_back() -> None:
    """Let the C library return free memory to the system, if it is one that can."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise OSError(f"no {key} in /proc/self/status")
