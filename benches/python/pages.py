"""Sections of a record as text: their tables, and what there is to say about them."""

from __future__ import annotations

from typing import Any

import checks
import imports
import report
from targets import FLAT, GROWTH

TITLES = {  # a section's kind: its heading
    "times": "Time",
    "growth": "Growth",
    "memory": "Peak memory",
    "threads": "Threads",
    "import": "First import",
    "files": "Files and parcels",
    "processes": "Pools of processes",
    "channel": "Process to process",
}
NOTES = {
    "times": "Ratio: time over the first column's, same round; under 1 is faster. "
    "(x) the copy differs, (i) shared identity is lost, - cannot.",
    "growth": f"Nanoseconds an element; flat: the largest is at most {FLAT} times the smallest. "
    f"At 10^6 elements dumps may take {GROWTH} times what it takes at 10^3.",
    "memory": "MiB above what was there before the call, dumps / loads; below 2 they say little.",
    "threads": "dumps by the wall; graphs too small for threads must cost what they cost on one.",
    "import": "By the wall, over `import pickle`.",
    "files": "Wall time over that of the first column.",
    "processes": "Wall time over that of multiprocessing.",
    "channel": "Wall time over that of multiprocessing.Pipe, one way and a small answer.",
}


def section_text(name: str, results: list[report.Result], markdown: bool) -> str:
    """The text of one section. name: as in a record, "KIND" or "KIND, how"."""
    kind = name.partition(",")[0]
    lines = [
        part for table in _tables(kind, results) for part in (report.render(table, markdown), "")
    ]
    if kind in ("times", "growth", "memory", "threads"):
        lines += [f"* {line}" if markdown else line for line in report.reasons(results)] + [""]
    lines.append(NOTES[kind])
    if kind in ("files", "processes", "channel"):
        lines += checks.lines(results).splitlines()
    if kind == "times":
        lines += [*filter(None, [report.spread(results), report.summary(results)])]
    return "\n".join(lines)


def page(record: dict[str, Any], markdown: bool) -> str:
    """All sections of a record, with headings, the means and targets in front."""
    sections = record["sections"]
    lines = _means(sections, record["environment"]["python"], markdown)
    for name, results in sections.items():
        kind, _, how = name.partition(", ")
        title = TITLES[kind] + (f", {how}" if how else "")
        rounds = record["how"].get("rounds", {}).get(name)
        lines += ["", f"## {title}" if markdown else f"== {title}"]
        lines += ["", section_text(name, results, markdown)]
        if rounds:
            lines.append(f"{rounds} rounds, medians.")
    return "\n".join(lines).strip()


def _means(sections: dict[str, list[report.Result]], python: str, markdown: bool) -> list[str]:
    on, off = sections.get("times", []), sections.get("times, gc off", [])
    lines = []
    table = report.means_table(on)
    if len(table) > 1:
        lines += [report.render(table, markdown), ""]
    lines += [f"* {line}" if markdown else line for line in report.means_targets(on, off, python)]
    return lines


def _tables(kind: str, results: list[report.Result]) -> list[report.Table]:
    if kind == "times":
        by_base = {
            base: [r for r in results if r["base"] == base]
            for base in dict.fromkeys(r["base"] for r in results)
        }
        times = [report.times_table(some, base) for base, some in by_base.items()]
        return [*times, report.sizes_table(results)]
    tables = {
        "growth": report.growth_table,
        "memory": report.memory_table,
        "threads": report.threads_table,
        "import": imports.table,
    }
    return [tables.get(kind, report.together_table)(results)]
