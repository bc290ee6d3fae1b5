"""Process to process, side by side: `python benches/python/run.py --group channel`.

A message goes one way, a small answer comes back: the receiver has the objects and has looked at
the last element of each array. The contenders take turns in rounds, and a warm copy of the same
bytes by `memcpy` takes its turn with them; figures are medians, over rounds, of a contender's time
over that of `multiprocessing.Pipe`, and over that of the copy, in the same round. Wall time, as two
processes work.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import byhand
import checks
import report

BASE = "Pipe"
COPY = "memcpy"
OURS = "Channel"
MIB = 1 << 20


def pipe() -> tuple[Any, Any]:
    """Both ends of the standard library's pipe."""
    return multiprocessing.Pipe()


def channel() -> tuple[Any, Any]:
    """Both ends of a channel with shared memory."""
    return importlib.import_module("ferropickle").Channel.pair()


def channel_alone() -> tuple[Any, Any]:
    """Both ends of a channel over the socket alone, as over TCP."""
    return importlib.import_module("ferropickle").Channel.pair(capacity=0)


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    BASE: pipe,
    OURS: channel,
    "Channel, socket alone": channel_alone,
    "pickle, shared memory by hand": byhand.pair,
}


def answer(end: Any) -> None:
    """Receive, look at each array, answer; None ends it."""
    while True:
        value = end.recv()
        if value is None:
            return
        arrays = value if isinstance(value, list) else [value]
        seen = [array[-1] for array in arrays if hasattr(array, "dtype")]
        del value, arrays
        end.send(len(seen))


def workloads(np: Any) -> dict[str, Any]:
    """By name: what is sent."""
    return {
        "int": 5,
        "array of 1 KiB": np.ones(1 << 10, np.uint8),
        "array of 64 KiB": np.ones(64 << 10, np.uint8),
        "array of 1 MiB": np.ones(MIB, np.uint8),
        "array of 16 MiB": np.ones(16 * MIB, np.uint8),
        "array of 256 MiB": np.ones(256 * MIB, np.uint8),
        "1,000 arrays of 64 KiB": [np.full(64 << 10, i % 256, np.uint8) for i in range(1_000)],
        "10,000 arrays of 1 KiB": [np.full(1 << 10, i % 256, np.uint8) for i in range(10_000)],
        "100,000 strings": [f"string {i}" for i in range(100_000)],
    }


def copier(np: Any, value: Any) -> Callable[[], None]:
    """A warm copy of the arrays' bytes, one after another; of nothing where there are none."""
    arrays = [a for a in (value if isinstance(value, list) else [value]) if hasattr(a, "dtype")]
    if not arrays:
        return lambda: None
    source = np.concatenate(arrays)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)


def main(rounds: int, markdown: bool) -> list[report.Result]:
    """Measure, print the table, return the results."""
    try:
        np = importlib.import_module("numpy")
    except ImportError:
        print("needs numpy")
        return []
    context = multiprocessing.get_context("fork")
    ends: dict[str, Any] = {}
    children = []
    for name, make in MAKERS.items():
        here, there = make()
        child = context.Process(target=answer, args=(there,), daemon=True)
        child.start()
        there.close()
        ends[name] = here
        children.append(child)
    results: list[report.Result] = []
    try:
        for label, value in workloads(np).items():
            copy = copier(np, value)

            def exchange(name: str, value: Any = value) -> None:
                ends[name].send(value)
                ends[name].recv()

            calls: dict[str, Callable[[], None]] = {COPY: copy}
            calls |= {name: (lambda name=name: exchange(name)) for name in ends}
            results.append({"workload": label, **measure(label, calls, rounds)})
    finally:
        for end in ends.values():
            end.send(None)
            end.close()
        for child in children:
            child.join(10)
    rest = [name for name in MAKERS if name != BASE]
    head = ["workload", BASE, *rest, f"{OURS} / {COPY}"]
    table = [head]
    for result in results:
        ratios = [f"{result['ratios'][name]:.2f}" for name in rest]
        over = result["over_copy"]
        table.append(
            [
                result["workload"],
                report.duration(result["base_ns"]),
                *ratios,
                f"{over:.2f}" if over else "",
            ]
        )
    print(report.render(table, markdown))
    print(f"\n{rounds} rounds, medians of wall time over that of {BASE}; under 1 is faster.")
    print(checks.lines(results), end="")
    return results


def measure(label: str, calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, Any]:
    """Interleaved samples of each call."""
    repeats = {}
    for name, call in calls.items():
        call()  # memory is warm, peers are awake
        start = perf_counter()
        call()
        repeats[name] = max(1, min(200, round(0.01 / max(perf_counter() - start, 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    gc.collect()
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            call = calls[name]
            start = perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((perf_counter() - start) / repeats[name])

    def over(name: str, base: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))

    copied = statistics.median(times[COPY]) > 1e-6
    return {
        "base_ns": statistics.median(times[BASE]) * 1e9,
        "ratios": {name: over(name, BASE) for name in calls},
        "over_copy": over(OURS, COPY) if copied else None,
        "checks": checks.of(label, times),
    }
