"""Turn measurements into tables, and say on what machine they were taken."""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, OURS
from targets import FLAT, TARGETS

Result = dict[str, Any]
Table = list[list[str]]


def environment(packages: bool = True) -> dict[str, Any]:
    """CPU, cores, Python and its build flags, package versions, the commit measured."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    env: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "python_build": " ".join(
            flag for flag in ("--enable-optimizations", "--with-lto") if flag in options
        )
        or "no PGO, no LTO",
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }
    if packages:
        env["packages"] = {
            c.package: c.version() for c in CONTENDERS.values() if c.package and c.version()
        }
        for extra in ("numpy",):
            try:
                module = __import__(extra)
            except ImportError:
                continue
            env["packages"][extra] = module.__version__
    return env


def describe(env: dict[str, Any]) -> str:
    """`environment()` in two lines."""
    packages = ", ".join(f"{k} {v}" for k, v in env.get("packages", {}).items())
    return (
        f"{env['cpu']}, {env['cores']} cores, {env['system']}; "
        f"CPython {env['python']} ({env['python_build']})\n{packages}"
    )


def times_table(results: list[Result], base_name: str) -> Table:
    """One row a workload: the base's own time, then each contender's ratio, `dumps / loads`."""
    used = [n for n in CONTENDERS if any(n in r.get("rows", {}) for r in results)]
    table = [["workload", base_name, *[n for n in used if n != base_name], "target", ""]]
    for result in results:
        label = f"{result['workload']} ({result['n']:,} {result['unit']})"
        if "rows" not in result:
            table.append([label, result.get("skipped", "failed")] + [""] * (len(table[0]) - 2))
            continue
        rows = result["rows"]
        base = rows.get(base_name)
        cells = [label]
        cells.append(
            f"{duration(base['dumps']['ns'])} / {duration(base['loads']['ns'])}" if base else "-"
        )
        cells += [_ratios(rows.get(n)) for n in used if n != base_name]
        target = TARGETS.get(result["workload"])
        cells.append(f"{target[0]:.2f} / {target[1]:.2f}" if target else "")
        cells.append(_marks(rows.get(OURS), target))
        table.append(cells)
    return table


def growth_table(results: list[Result], names: list[str]) -> Table:
    """Cost per element (ns) as the size grows, and the largest over the smallest of them."""
    table = [["workload", "n"]]
    for name in names:
        table[0] += [f"{name} dumps", f"{name} loads"]
    seen: dict[str, dict[str, list[float]]] = {}
    for result in results:
        row = [result["workload"], f"{result['n']:,}"]
        for name in names:
            cell = result.get("rows", {}).get(name)
            for op in ("dumps", "loads"):
                if not cell or op not in cell:
                    row.append("-")
                    continue
                per_element = cell[op]["ns"] / result["n"]
                seen.setdefault(result["workload"], {}).setdefault(f"{name} {op}", []).append(
                    per_element
                )
                row.append(f"{per_element:,.0f} ns")
        table.append(row)
    for workload, columns in seen.items():
        row = [workload, "max/min"]
        for head in table[0][2:]:
            values = columns.get(head)
            flat = max(values) / min(values) if values else 0
            mark = ""
            if values and head.startswith(OURS + " "):
                mark = " flat" if flat <= FLAT else " not flat"
            row.append(f"{flat:.1f}{mark}" if values else "-")
        table.append(row)
    return table


def memory_table(results: list[Result], names: list[str]) -> Table:
    """Peak memory above what was there before the call, in MiB, `dumps / loads`."""
    used = [n for n in names if any(n in r.get("rows", {}) for r in results)]
    table = [["workload", *used]]
    for result in results:
        rows = result.get("rows", {})
        cells = [f"{result['workload']} ({result['n']:,} {result['unit']})"]
        for name in used:
            row = rows.get(name)
            parts = (row.get("dumps_kib"), row.get("loads_kib")) if row else ()
            cells.append(" / ".join("-" if p is None else f"{p / 1024:.1f}" for p in parts) or "-")
        table.append(cells)
    return table


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
            for op, limit in zip(("dumps", "loads"), target, strict=True):
                total += 1
                met += row[op]["ratio"] <= limit
    return f"targets met: {met} of {total}" if total else ""


def duration(ns: float) -> str:
    """Nanoseconds in the unit that suits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"


def _ratios(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    text = " / ".join(f"{row[op]['ratio']:.2f}" if op in row else "" for op in ("dumps", "loads"))
    return f"({row['copy']}) {text}" if row["copy"] else text


def _marks(row: dict[str, Any] | None, target: tuple[float, float] | None) -> str:
    if row is None or target is None:
        return ""
    return " / ".join(
        "met" if row[op]["ratio"] <= limit else "short"
        for op, limit in zip(("dumps", "loads"), target, strict=True)
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(*args: str) -> str:
    command = ["git", "-C", str(Path(__file__).resolve().parent), *args]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a checkout: the record will not name its commit
