"""Measurements of one workload, each in a process of its own (`measure.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contenders import BASE, CONTENDERS
from payloads import PAYLOADS

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 900  # for one workload
GROWING = (  # the workloads whose cost is measured by size
    "records", "instances", "dataclasses", "str_ascii_unique", "graph_cycles", "floats", "ints_mid",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to measure; `measure.Spec` says what each means."""

    rounds: int = 15
    sample_ms: float = 5.0
    gc: str = "on"
    clock: str = ""
    base: str = ""
    ops: tuple[str, ...] = ("dumps", "loads")
    memory: bool = False


@dataclass(frozen=True)
class Job:
    """One workload and who takes part in it."""

    workload: str
    contenders: tuple[str, ...]
    n: int = 0  # 0: the workload's own size


def installed() -> list[str]:
    """The contenders that take part where nobody is named, the base first."""
    return [name for name, c in CONTENDERS.items() if not c.named_only]


def chosen(wanted: str | None) -> list[str]:
    """The base and those wanted (`a,b`; None: all); an unknown name ends the program."""
    if wanted is None:
        return installed()
    names = [n.strip() for n in wanted.split(",")]
    for name in names:
        if name not in CONTENDERS:
            raise SystemExit(f"no contender {name!r}; there are: {', '.join(CONTENDERS)}")
    return [BASE, *[n for n in CONTENDERS if n in names and n != BASE]]


def taking_part(workload: str, names: list[str], given: bool = False) -> tuple[str, ...]:
    """The workload's base, then those of `names` that it is for, and whom it names itself.

    given: the names are a user's choice, and nobody is added.
    """
    payload = PAYLOADS[workload]
    if payload.contenders:
        rest = [n for n in payload.contenders if n in names or not given]
    else:
        rest = [*names, *([] if given else payload.also)]
    return (payload.base, *[n for n in rest if n != payload.base])


def growing(workloads: list[str], names: list[str], largest: int) -> list[Job]:
    """Each workload at every power of ten from 100 to `10**largest`."""
    sizes = [10**power for power in range(2, largest + 1)]
    return [Job(w, tuple(names), n) for w in workloads for n in sizes]


def measure(job: Job, options: Options) -> dict[str, Any]:
    """One workload in a process of its own; who crashes it is left out and it runs again."""
    payload = PAYLOADS[job.workload]
    base = options.base or payload.base
    names = list(job.contenders)
    crashed: dict[str, str] = {}
    while True:
        spec = {
            "workload": job.workload, "contenders": names, "n": job.n, **asdict(options),
        }  # fmt: skip
        command = [sys.executable, str(HERE / "measure.py"), json.dumps(spec)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False
            )
            output, status = done.stdout, str(done.returncode)
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode()  # bytes even where text was asked for
            status = "a timeout"
        lines = output.splitlines()
        if status == "0":
            result: dict[str, Any] = json.loads(lines[-1])
            if crashed:
                result["failed"] = {**result.get("failed", {}), **crashed}
            return result
        tried = [line[1:] for line in lines if line.startswith("@")]
        culprit = tried[-1] if tried else base
        if culprit == base or culprit not in names:
            return {"workload": job.workload, "n": job.n or payload.n, "unit": payload.unit,
                    "base": base, "skipped": f"the process ended with {status}"}  # fmt: skip
        crashed[culprit] = f"crashed the process (status {status})"
        names.remove(culprit)


def measure_all(jobs: list[Job], options: Options, title: str = "") -> list[dict[str, Any]]:
    """Each job in turn; how far it is goes to a terminal."""
    results = []
    for number, job in enumerate(jobs, 1):
        if sys.stderr.isatty():
            where = f"{title}[{number}/{len(jobs)}] {job.workload}"
            print(f"\r\033[K{where}", end="", file=sys.stderr, flush=True)
        results.append(measure(job, options))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return results
