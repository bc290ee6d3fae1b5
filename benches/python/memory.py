"""Peak memory of single calls, for `run.py --memory`."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, Dumps, Loads, Skip
from payloads import Payload


def peak_memory(
    payload: Payload, obj: Any, names: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Peak resident memory above what was there before the call, in KiB (Linux).

    Every call has a forked process of its own, so that none finds memory that another has left.
    """
    rows: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in names:
        contender = CONTENDERS[name]
        if contender.reads:
            continue
        try:
            dumps, loads = contender.functions(payload.oob)
        except Skip as reason:
            failed[name] = f"skipped: {reason}"
            continue
        peaks = _peaks(obj, dumps, loads, contender.protocol)
        if None in peaks.values():
            failed[name] = "cannot"
        else:
            rows[name] = peaks
    return rows, failed


def _peaks(obj: Any, dumps: Dumps, loads: Loads, protocol: int | None) -> dict[str, int | None]:
    args = () if protocol is None else (protocol,)
    return {
        "dumps_kib": _peak_in_fork(lambda: obj, lambda obj: dumps(obj, *args)),
        "loads_kib": _peak_in_fork(lambda: dumps(obj, *args), loads),
    }


def _peak_in_fork(prepare: Callable[[], Any], call: Callable[[Any], Any]) -> int | None:
    """KiB of `call` on what `prepare` returns, or None if either failed."""
    read, write = os.pipe()
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
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    result = call(arg)
    peak = _status("VmHWM") - before
    del result
    return max(peak, 0)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise OSError(f"no {key} in /proc/self/status")
