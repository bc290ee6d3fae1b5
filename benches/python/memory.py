"""Peak memory of single calls, for `run.py --memory`."""

from __future__ import annotations

from typing import Any

from adapters import Dumps, Loads, Skip
from contenders import CONTENDERS
from ferropickle._commands._memory import peak_in_fork
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
        "dumps_kib": peak_in_fork(lambda: obj, lambda obj: dumps(obj, *args)),
        "loads_kib": peak_in_fork(lambda: dumps(obj, *args), loads),
    }
