"""What a first import costs: `python benches/python/run.py --group import`.

Each sample is an interpreter of its own, which times the import alone, by the wall. The modules
take turns in rounds; the figure is the median, over rounds, of a module's time over that of
`import pickle` in the same round. The files have been read before, so the disk has no part in it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import report
from targets import IMPORT

BASE = "pickle"
MODULES = (BASE, "ferropickle", "cloudpickle", "dill", "msgspec", "pyfory", "joblib")
CODE = """
from time import perf_counter_ns as now
start = now()
try:
    import {0}
except ImportError:
    print(0)
else:
    print(now() - start)
"""


def sample(module: str) -> int:
    """Nanoseconds of one import in a fresh interpreter; 0 if it is not installed."""
    command = [sys.executable, "-c", CODE.format(module)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def measure(rounds: int) -> list[report.Result]:
    """Each module that is installed."""
    modules = [module for module in MODULES if sample(module)]
    times: dict[str, list[int]] = {module: [] for module in modules}
    for number in range(rounds):
        turn = number % len(modules)
        for module in modules[turn:] + modules[:turn]:
            times[module].append(sample(module))
    results = []
    for module, own in times.items():
        ratios = [mine / base for mine, base in zip(own, times[BASE], strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        results.append(
            {
                "workload": f"import {module}",
                "ns": statistics.median(own),
                "ratio": round(ratio, 4),
                "spread": round((high - low) / ratio, 3),
            }
        )
    return results


def main(rounds: int, markdown: bool) -> list[report.Result]:
    """Measure, print the table, return the results."""
    results = measure(rounds)
    print(report.render(table(results), markdown))
    print(f"\n{rounds} rounds, medians of wall time over that of `import {BASE}`.")
    return results


def table(results: list[report.Result]) -> report.Table:
    """A row a module."""
    rows = [["", "time", "ratio", "spread", "at most", ""]]
    for result in results:
        row = [result["workload"], report.duration(result["ns"]), f"{result['ratio']:.2f}"]
        row.append(f"{100 * result['spread']:.0f} %")
        if result["workload"] == "import ferropickle":
            row += [f"{IMPORT:.2f}", "met" if result["ratio"] <= IMPORT else "short"]
        else:
            row += ["", ""]
        rows.append(row)
    return rows
