"""Measure one workload in this process; `run.py` starts one such process for each.

Argument: a JSON object, the fields of `Spec`. Output: lines `@NAME` as each contender is tried
(so that the parent knows who crashed the process), then one JSON object.

Method: contenders take turns, sample by sample, in rounds; the order turns with the round. A
sample repeats the call until it took about `sample_ms`, after a `gc.collect()`. The figure is the
median, over rounds, of a contender's time over the base's time in the same round.
"""

from __future__ import annotations

import gc
import importlib
import json
import pickle
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from adapters import Skip
from contenders import CONTENDERS, Contender
from memory import peak_memory
from payloads import PAYLOADS, Payload, Unavailable
from same import same

Clock = Callable[[], int]
CLOCKS: dict[str, Clock] = {  # all in nanoseconds
    "thread": time.thread_time_ns,
    "process": time.process_time_ns,
    "wall": time.perf_counter_ns,
}
ONE_BY_ONE_NS = 100_000  # from here on calls are timed singly and the result's end is not timed
MOST_COMPARED = 1_000  # elements of the copies that are compared, where there are very many
FEW_ROUNDS = 5  # for a contender that takes more than `SLOW` times as long as the base
SLOW = 5
RECURSION_LIMIT = 3_000  # stdlib's pickle is recursive: `nested_lists` needs more than 1,000


@dataclass(frozen=True)
class Spec:
    """What to measure."""

    workload: str
    contenders: list[str]
    n: int = 0  # 0: the workload's default size
    rounds: int = 15
    sample_ms: float = 5.0
    gc: str = "on"  # on | off | counted (gc.collect(1) timed with loads) | counted-full
    clock: str = ""  # "": the workload's own
    base: str = ""  # "": the workload's own
    ops: tuple[str, ...] = ("dumps", "loads")
    memory: bool = False  # peak memory in place of time


@dataclass
class Subject:
    """One contender at work on one payload."""

    contender: Contender
    dumps: Callable[..., Any]
    loads: Callable[[Any], Any]
    data: Any = None
    copy: str = ""  # "", "x" or "i", as `same` says
    reps: dict[str, int] = field(default_factory=dict)
    ns: dict[str, list[float]] = field(default_factory=lambda: {"dumps": [], "loads": []})

    @property
    def args(self) -> tuple[int, ...]:
        return () if self.contender.protocol is None else (self.contender.protocol,)


def main() -> None:
    """Measure as told by the JSON in the first argument."""
    sys.setrecursionlimit(RECURSION_LIMIT)
    warnings.simplefilter("ignore")  # some peers warn of what the copy shows as well
    spec = Spec(**json.loads(sys.argv[1]))
    payload = PAYLOADS[spec.workload]
    n = spec.n or payload.n
    result: dict[str, Any] = {"workload": spec.workload, "n": n, "unit": payload.unit}
    result["base"] = base = spec.base or payload.base
    for module in payload.needs:
        try:
            importlib.import_module(module)
        except ImportError:
            print(json.dumps({**result, "skipped": f"needs {module}"}))
            return
    try:
        obj = payload.build(n)
    except Unavailable as reason:
        print(json.dumps({**result, "skipped": str(reason)}))
        return
    if spec.memory:
        rows, failed = peak_memory(payload, obj, spec.contenders)
    else:
        # Walking a large graph in Python takes longer than all that is timed.
        compared = payload.build(min(payload.n, MOST_COMPARED)) if n > payload.n else None
        subjects, failed = prepare(payload, obj, spec.contenders, compared)
        rows = time_all(spec, payload, base, n, obj, subjects)
    print(json.dumps({**result, "rows": rows, "failed": failed}))


def prepare(
    payload: Payload, obj: Any, names: list[str], compared: Any = None
) -> tuple[dict[str, Subject], dict[str, str]]:
    """Try each contender once and check its copy; the second part says who cannot and why.

    compared: a smaller object of the same kind, of which the copy is checked in place of `obj`'s.
    """
    subjects: dict[str, Subject] = {}
    failed: dict[str, str] = {}
    for name in names:
        print(f"@{name}", flush=True)
        contender = CONTENDERS[name]
        try:
            subject = Subject(contender, *contender.functions(payload.oob))
            if contender.reads:
                subject.data = subjects[contender.reads].data
            else:
                subject.data = subject.dumps(obj, *subject.args)
            original, data = obj, subject.data
            if compared is not None and not contender.reads:
                original, data = compared, subject.dumps(compared, *subject.args)
            if compared is None or not contender.reads:
                subject.copy = same(original, subject.loads(data))
            if contender.stock and not subject.copy:
                stock_reads(payload, original, data)
        except Skip as reason:
            failed[name] = f"skipped: {reason}"
        except Exception as error:  # whatever a peer raises is its result
            failed[name] = f"{type(error).__name__}: {error}"[:200]
        else:
            subjects[name] = subject
    return subjects, failed


def stock_reads(payload: Payload, obj: Any, data: Any) -> None:
    """Our stream must give the same graph through stdlib's `pickle.loads`."""
    copy = pickle.loads(data[0], buffers=data[1]) if payload.oob else pickle.loads(data)
    if same(obj, copy):
        raise AssertionError("stdlib pickle.loads of this stream gives something else")


# -- time ----------------------------------------------------------------------------------------


def time_all(
    spec: Spec, payload: Payload, base: str, n: int, obj: Any, subjects: dict[str, Subject]
) -> dict[str, Any]:
    """Interleaved rounds; for each contender the ratios to the base and its own median time."""
    if base not in subjects:
        return {}
    clock = CLOCKS[spec.clock or payload.clock]
    fresh = (lambda: payload.build(n)) if payload.first else None
    after = {"counted": lambda: gc.collect(1), "counted-full": gc.collect}.get(spec.gc)
    if spec.gc == "off":
        gc.disable()
    gc.collect()
    if after:
        gc.freeze()  # count what the load made, not what was there before
    order = list(subjects.values())
    singly: dict[str, bool] = {}
    for op in spec.ops:
        one = min(_sample(order[0], op, obj, 1, True, clock, fresh, after) for _ in range(3))
        singly[op] = one >= ONE_BY_ONE_NS or bool(fresh)
        for subject in order:
            subject.reps[op] = _calibrate(
                spec.sample_ms,
                lambda reps, s=subject, op=op: _sample(
                    s, op, obj, reps, singly[op], clock, fresh, after
                ),
            )
    for number in range(spec.rounds):
        turned = order[number % len(order) :] + order[: number % len(order)]
        for op in spec.ops:
            for s in turned:
                if number >= FEW_ROUNDS and _is_slow(s, subjects[base], op):
                    continue
                gc.collect()
                total = _sample(s, op, obj, s.reps[op], singly[op], clock, fresh, after)
                s.ns[op].append(total / s.reps[op])
    return {name: _row(s, subjects[base].ns) for name, s in subjects.items()}


def _is_slow(subject: Subject, base: Subject, op: str) -> bool:
    firsts = (sum(s.ns[op][:FEW_ROUNDS]) for s in (subject, base))
    return next(firsts) > SLOW * next(firsts)


def _sample(
    subject: Subject,
    op: str,
    obj: Any,
    reps: int,
    singly: bool,
    clock: Clock,
    fresh: Callable[[], Any] | None,
    after: Callable[[], Any] | None,
) -> int:
    """Nanoseconds of `reps` calls."""
    if op == "loads":
        return _batch(subject.loads, subject.data, (), reps, singly, clock, None, after)
    if subject.contender.reads:
        return 1
    return _batch(subject.dumps, obj, subject.args, reps, singly, clock, fresh, None)


def _batch(
    call: Callable[..., Any],
    arg: Any,
    args: tuple[int, ...],
    reps: int,
    singly: bool,
    clock: Clock,
    fresh: Callable[[], Any] | None,
    after: Callable[[], Any] | None,
) -> int:
    if singly or after:
        total = 0
        for _ in range(reps):
            if fresh:
                arg = fresh()
            start = clock()
            result = call(arg, *args)
            if after:
                after()
            total += clock() - start
            del result
        return total
    if args:
        second = args[0]
        start = clock()
        for _ in repeat(None, reps):
            call(arg, second)
        return clock() - start
    start = clock()
    for _ in repeat(None, reps):
        call(arg)
    return clock() - start


def _calibrate(sample_ms: float, run: Callable[[int], int]) -> int:
    """How many calls make a sample of about `sample_ms`."""
    reps = 1
    while True:
        took = run(reps)
        if took >= sample_ms * 0.5e6 or reps >= 1_000_000 or (reps == 1 and took == 1):
            return max(1, min(1_000_000, round(reps * sample_ms * 1e6 / max(took, 1))))
        reps = max(reps * 2, min(reps * 100, round(reps * sample_ms * 0.6e6 / max(took, 1))))


def _row(subject: Subject, base: dict[str, list[float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"copy": subject.copy, "bytes": _size(subject.data)}
    for op in ("dumps", "loads"):
        if not subject.ns[op] or (op == "dumps" and subject.contender.reads):
            continue
        rounds = zip(subject.ns[op], base[op], strict=False)  # a slow one has fewer
        ratios = [mine / theirs for mine, theirs in rounds]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        row[op] = {
            "ns": round(statistics.median(subject.ns[op]), 1),
            "ratio": round(statistics.median(ratios), 4),
            "spread": round((quartiles[2] - quartiles[0]) / statistics.median(ratios), 3),
        }
    return row


def _size(data: Any) -> int:
    return len(data[0]) if isinstance(data, tuple) else len(data)


if __name__ == "__main__":
    main()
