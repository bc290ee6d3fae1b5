"""Tables of measurements: one function for each kind of section, and `render`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

from contenders import BASE, CONTENDERS, ONE_THREAD, OURS, TWO_THREADS
from payloads import PAYLOADS
from targets import FLAT, GROWTH, MEANS, NEVER_SLOWER, SINGLE, TARGETS, THREADS

Result = dict[str, Any]
Table = list[list[str]]
OPS = ("dumps", "loads")


# -- tables --------------------------------------------------------------------------------------


def times_table(results: list[Result], base_name: str) -> Table:
    """One row a workload: the base's own time, then each contender's ratio, `dumps / loads`."""
    used = [n for n in CONTENDERS if any(n in r.get("rows", {}) for r in results)]
    table = [["workload", base_name, *[n for n in used if n != base_name]]]
    table[0] += ["our spread", "target", ""]
    for result in results:
        cells = [label(result)]
        if "rows" not in result:
            table.append([*cells, result.get("skipped", "failed")] + [""] * (len(table[0]) - 2))
            continue
        rows = result["rows"]
        base, ours = rows.get(base_name), rows.get(OURS)
        cells.append(
            f"{duration(base['dumps']['ns'])} / {duration(base['loads']['ns'])}" if base else "-"
        )
        cells += [_ratios(rows.get(n)) for n in used if n != base_name]
        cells.append(" / ".join(f"{100 * ours[op]['spread']:.0f} %" for op in OPS) if ours else "")
        target = TARGETS.get(result["workload"])
        cells.append(f"{target[0]:.2f} / {target[1]:.2f}" if target else "")
        cells.append(_marks(ours, target))
        table.append(cells)
    return table


def sizes_table(results: list[Result]) -> Table:
    """Bytes of the base's stream, and of the others' over it."""
    used = [n for n in CONTENDERS if any(_size(r, n) for r in results) and n in _writers()]
    table = [["workload", "base", "bytes", *used]]
    for result in results:
        base = _size(result, result["base"])
        if base:
            cells = [f"{size / base:.2f}" if (size := _size(result, n)) else "-" for n in used]
            table.append([label(result), result["base"], f"{base:,}", *cells])
    return table


def growth_table(results: list[Result]) -> Table:
    """Cost per element (ns) as the size grows, and the largest over the smallest of them."""
    names = [n for n in CONTENDERS if any(n in r.get("rows", {}) for r in results)]
    table = [["workload", "n", *[f"{name} {op}" for name in names for op in OPS]]]
    seen: dict[str, dict[str, dict[int, float]]] = {}
    for result in results:
        row = [result["workload"], f"{result['n']:,}"]
        for name in names:
            cell = result.get("rows", {}).get(name)
            for op in OPS:
                if not cell or op not in cell:
                    row.append("-")
                    continue
                cost = cell[op]["ns"] / result["n"]
                columns = seen.setdefault(result["workload"], {})
                columns.setdefault(f"{name} {op}", {})[result["n"]] = cost
                row.append(f"{cost:,.0f} ns")
        table.append(row)
    for workload, columns in seen.items():
        most, large = [workload, "max/min"], [workload, "10^6 / 10^3"]
        for head in table[0][2:]:
            costs = columns.get(head, {})
            most.append(f"{max(costs.values()) / min(costs.values()):.1f}" if costs else "-")
            large.append("-")
            if 10**3 in costs and 10**6 in costs:
                ratio = costs[10**6] / costs[10**3]
                target = head == f"{OURS} dumps"
                mark = (" met" if ratio <= GROWTH else " short") if target else ""
                large[-1] = f"{ratio:.1f}{mark}"
            if costs and head.startswith(OURS + " "):
                most[-1] += " flat" if float(most[-1]) <= FLAT else " not flat"
        table += [most, large] if set(large[2:]) != {"-"} else [most]
    return table


def memory_table(results: list[Result]) -> Table:
    """Peak memory above what was there before the call, in MiB, `dumps / loads`."""
    used = [n for n in CONTENDERS if any(n in r.get("rows", {}) for r in results)]
    table = [["workload", *used]]
    for result in results:
        if "rows" not in result:
            continue
        cells = [label(result)]
        for name in used:
            row = result["rows"].get(name)
            parts = (row.get("dumps_kib"), row.get("loads_kib")) if row else ()
            cells.append(" / ".join("-" if p is None else f"{p / 1024:.1f}" for p in parts) or "-")
        table.append(cells)
    return table


def threads_table(results: list[Result]) -> Table:
    """`dumps` on two threads over one, by the wall."""
    table = [["workload", "one thread", "two over one", "spread", "at most", ""]]
    for result in results:
        rows = result.get("rows", {})
        if ONE_THREAD not in rows or TWO_THREADS not in rows:
            continue
        two = rows[TWO_THREADS]["dumps"]
        most = THREADS.get((result["workload"], result["n"]), NEVER_SLOWER)
        table.append(
            [
                label(result),
                duration(rows[ONE_THREAD]["dumps"]["ns"]),
                f"{two['ratio']:.2f}",
                f"{100 * two['spread']:.0f} %",
                f"{most:.2f}",
                "met" if two["ratio"] <= most else "short",
            ]
        )
    return table


def together_table(results: list[Result]) -> Table:
    """Files, pools, channels: a time and ratios."""
    names = list(dict.fromkeys(name for r in results for name in r["ratios"]))
    table = [["case", "base", *names]]
    for result in results:
        ratios = result["ratios"]
        cells = [f"{ratios[n]:.2f}" if n in ratios else "" for n in names]
        table.append([result["workload"], duration(result["base_ns"]), *cells])
    return table


# -- what they say together ----------------------------------------------------------------------


def graphs(results: list[Result]) -> list[Result]:
    """Those that are of object graphs: built-in types, instances, what libraries make."""
    return [
        r
        for r in results
        if r["workload"] in PAYLOADS
        and PAYLOADS[r["workload"]].group in ("plain", "objects", "mixes")
        and not PAYLOADS[r["workload"]].first
        and r["base"] == BASE
        and r["workload"] not in SINGLE
    ]


def mean(results: list[Result], name: str, op: str) -> tuple[float, int]:
    """A contender's geometric mean over the graphs it copies without loss, and how many."""
    ratios = [
        row[op]["ratio"]
        for result in graphs(results)
        if (row := result.get("rows", {}).get(name)) and not row["copy"] and op in row
    ]
    return (math.exp(statistics.fmean(map(math.log, ratios))), len(ratios)) if ratios else (0.0, 0)


def means_table(results: list[Result]) -> Table:
    """Geometric means over the object graphs, for each contender."""
    table = [["over C pickle, geometric mean", "dumps", "loads", "graphs"]]
    for name in CONTENDERS:
        (dumps, number), (loads, other) = (mean(results, name, op) for op in OPS)
        if name != BASE and (number or other):
            cells = [f"{dumps:.2f}" if number else "-", f"{loads:.2f}" if other else "-"]
            table.append([name, *cells, str(max(number, other))])
    return table


def means_targets(on: list[Result], off: list[Result], python: str) -> list[str]:
    """Ours against the targets. on, off: with the cyclic collector on and off."""
    target = MEANS.get(".".join(python.split(".")[:2]))
    if target is None:
        return []
    figures = (
        ("dumps", on, ""),
        ("loads", on, ", collector on"),
        ("loads", off, ", collector off"),
    )
    lines = []
    for (op, results, how), most in zip(figures, target, strict=True):
        found, number = mean(results, OURS, op)
        if number:
            mark = "met" if found <= most else "short"
            lines.append(f"{op}{how}: {found:.3f} over {number} graphs, at most {most:.2f}: {mark}")
    return lines


def reasons(results: list[Result]) -> list[str]:
    """Who could not do what, each reason once."""
    where: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, reason in result.get("failed", {}).items():
            where.setdefault((name, reason), []).append(result["workload"])
    return [
        f"{name}: {reason}"
        + (f" [{', '.join(works)}]" if len(works) < 4 else f" [{len(works)} workloads]")
        for (name, reason), works in where.items()
    ]


def summary(results: list[Result]) -> str:
    """How many targets are met."""
    met = total = 0
    for result in results:
        target = TARGETS.get(result["workload"])
        row = result.get("rows", {}).get(OURS)
        if target and row:
            for op, limit in zip(OPS, target, strict=True):
                total += 1
                met += row[op]["ratio"] <= limit
    return f"targets met: {met} of {total}" if total else ""


def spread(results: list[Result]) -> str:
    """How sure the ratios are, all of them together."""
    rows: Iterable[tuple[str, Any]] = (
        (r["base"], item) for r in results for item in r.get("rows", {}).items()
    )
    widths = [
        row[op]["spread"] for base, (name, row) in rows if name != base for op in OPS if op in row
    ]
    if len(widths) < 2:
        return ""
    median, tenth = statistics.median(widths), statistics.quantiles(widths, n=10)[8]
    return (
        "Spread of a ratio (width between its quartiles over the median): "
        f"{100 * median:.0f} % as a rule, {100 * tenth:.0f} % or more for one in ten."
    )


# -- text ----------------------------------------------------------------------------------------


def render(table: Table, markdown: bool) -> str:
    """The table as aligned text or as markdown."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    sep = " | " if markdown else "  "
    lines = []
    for number, row in enumerate(table):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {sep.join(cells)} |" if markdown else sep.join(cells).rstrip())
        if number == 0:
            rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
            lines.append(
                f"| {' | '.join(rule)} |" if markdown else "-" * (sum(widths) + 2 * len(widths) - 2)
            )
    return "\n".join(lines)


def label(result: Result) -> str:
    """The workload with its size."""
    return f"{result['workload']} ({result['n']:,} {result['unit']})"


def duration(ns: float) -> str:
    """Nanoseconds in the unit that suits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"


def _ratios(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    text = " / ".join(f"{row[op]['ratio']:.2f}" if op in row else "" for op in OPS)
    return f"({row['copy']}) {text}" if row["copy"] else text


def _marks(row: dict[str, Any] | None, target: tuple[float, float] | None) -> str:
    if row is None or target is None:
        return ""
    return " / ".join(
        "met" if row[op]["ratio"] <= limit else "short"
        for op, limit in zip(OPS, target, strict=True)
    )


def _writers() -> list[str]:
    return [name for name, c in CONTENDERS.items() if not c.reads and name != "pickle, gc paused"]


def _size(result: Result, name: str) -> int:
    row = result.get("rows", {}).get(name)
    return row.get("bytes", 0) if row else 0
