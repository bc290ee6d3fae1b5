"""Pools of processes side by side: `python benches/python/run.py --group processes`.

Each contender has one pool of two workers, up before anything is timed. The pools take turns,
workload by workload, in rounds; the figure is the median, over rounds, of a contender's time over
that of `multiprocessing` in the same round. Wall time, as several processes work.
"""

from __future__ import annotations

import functools
import importlib
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import report

BASE = "multiprocessing"
WORKERS = 2
MIB = 1 << 20


def identity(x: Any) -> Any:
    """What comes goes back."""
    return x


def row_sum(table: Any, row: int) -> float:
    """A function of a large table: who cannot send a closure sends it as a partial."""
    return float(table[row].sum())


def like_multiprocessing(module: str) -> Callable[[], Any]:
    """A pool of a module with multiprocessing's names."""
    return lambda: importlib.import_module(module).get_context("fork").Pool(WORKERS)


class Loky:
    """loky's executor with the methods of a pool."""

    def __init__(self) -> None:
        self.executor = importlib.import_module("loky").get_reusable_executor(max_workers=WORKERS)

    def map(self, function: Any, items: Any, chunksize: int) -> list[Any]:
        return list(self.executor.map(function, items, chunksize=chunksize))

    def apply(self, function: Any, args: Any) -> Any:
        return self.executor.submit(function, *args).result()

    def terminate(self) -> None:
        self.executor.shutdown(kill_workers=True)


POOLS: dict[str, Callable[[], Any]] = {
    BASE: like_multiprocessing("multiprocessing"),
    "ferropickle": like_multiprocessing("ferropickle.multiprocessing"),
    "multiprocess": like_multiprocessing("multiprocess"),
    "loky": Loky,
}


def workloads(np: Any) -> dict[str, Callable[[str, Any], Any]]:
    """By name: what is done with the pool of a contender."""
    table = np.arange(MIB, dtype="f8").reshape(64, -1)  # 8 MiB
    closure = lambda row: float(table[row].sum())
    blocks = [np.arange(MIB // 8, dtype="f8") + i for i in range(32)]
    large = np.ones(256 * MIB // 8)

    def over_a_table(name: str, pool: Any) -> Any:
        function = functools.partial(row_sum, table) if name == BASE else closure
        return pool.map(function, range(64), chunksize=1)

    return {
        "1,000 tiny tasks, one a message": lambda name, pool: pool.map(
            identity, range(1000), chunksize=1
        ),
        "20,000 tiny tasks in 8 chunks": lambda name, pool: pool.map(
            identity, range(20_000), chunksize=2500
        ),
        "300 calls one after another": lambda name, pool: [
            pool.apply(identity, (i,)) for i in range(300)
        ],
        "function of an 8 MiB table, 64 chunks": over_a_table,
        "32 arrays of 1 MiB, there and back": lambda name, pool: pool.map(
            identity, blocks, chunksize=1
        ),
        "array of 256 MiB, there": lambda name, pool: pool.apply(len, (large,)),
        "array of 256 MiB, there and back": lambda name, pool: len(pool.apply(identity, (large,))),
    }


def main(rounds: int, markdown: bool) -> list[report.Result]:
    """Measure, print the table, return the results."""
    try:
        np = importlib.import_module("numpy")
    except ImportError:
        print("needs numpy")
        return []
    pools: dict[str, Any] = {}
    for name, make in POOLS.items():
        try:
            pools[name] = make()
        except ImportError:
            print(f"{name}: not installed")
    results: list[report.Result] = []
    try:
        for label, run in workloads(np).items():
            times: dict[str, list[float]] = {name: [] for name in pools}
            for number in range(-1, rounds):  # the first is not counted
                order = list(pools)
                turned = order[number % len(order) :] + order[: number % len(order)]
                for name in turned:
                    start = perf_counter()
                    run(name, pools[name])
                    if number >= 0:
                        times[name].append(perf_counter() - start)
            ratios = {
                name: statistics.median(a / b for a, b in zip(own, times[BASE], strict=True))
                for name, own in times.items()
            }
            base_ns = statistics.median(times[BASE]) * 1e9
            results.append({"workload": label, "base_ns": base_ns, "ratios": ratios})
    finally:
        for pool in pools.values():
            pool.terminate()
    table = [["workload", BASE, *[name for name in pools if name != BASE]]]
    for result in results:
        rest = [f"{ratio:.2f}" for name, ratio in result["ratios"].items() if name != BASE]
        table.append([result["workload"], report.duration(result["base_ns"]), *rest])
    print(report.render(table, markdown))
    print(f"\n{rounds} rounds, medians of wall time over that of {BASE}; under 1 is faster.")
    return results
