"""What the pictures and the web page show of a record, in which words and colours."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from contenders import BASE, CONTENDERS, OURS
from report import OPS, Result

WORKLOADS = {  # for the overview: workload and what a reader would call it
    "records": "JSON-like records",
    "instances": "instances",
    "dataclasses": "dataclasses",
    "graph_cycles": "graph with cycles",
    "tuples_nested": "nested tuples",
    "str_ascii_unique": "strings",
    "ints_mid": "ints",
    "floats": "floats",
    "datetimes": "datetimes",
    "small_message": "one small message",
    "ast": "syntax trees",
    "pandas_mixed": "mixed DataFrame",
    "array_inband": "256 MiB array, in band",
    "arrays_1k_oob": "10,000 small arrays, out of band",
    "bytes_big": "256 MiB of bytes",
}
PEERS = ("cloudpickle", "dill", "pyfory", "quickle", "larch", "msgspec")  # in the overview


@dataclass(frozen=True)
class Theme:
    """Colours that can be read on one kind of background."""

    name: str
    paper: str
    ink: str
    faint: str
    grid: str
    ours: str
    others: tuple[str, ...]


LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#59636e", "#d8dee4", "#d1480b",
    ("#0b62c4", "#8a6d00", "#17803d", "#8a3ffc", "#c2185b", "#0e7c86", "#6b4f3a", "#3b4cc0",
     "#5c7a00", "#a3195b", "#70632a", "#7a4a9c", "#9c5a00", "#4a5568", "#2f6f4f"),
)  # fmt: skip
DARK = Theme(
    "dark", "#0d1117", "#e6edf3", "#9198a1", "#30363d", "#ff8c42",
    ("#58a6ff", "#e3b341", "#56d364", "#bc8cff", "#ff7ab6", "#39c5cf", "#c9a27e", "#8ea2ff",
     "#b3d34a", "#f48fb1", "#e8e3a8", "#ce93d8", "#ffb74d", "#a0aec0", "#81c995"),
)  # fmt: skip
THEMES = (LIGHT, DARK)


def colour(theme: Theme, name: str) -> str:
    """A contender's own colour, the same in every picture."""
    if name == OURS:
        return theme.ours
    if name == BASE:
        return theme.faint
    peers = [n for n in CONTENDERS if n not in (BASE, OURS)]
    return theme.others[peers.index(name) % len(theme.others)]


def ratios(result: Result, op: str) -> dict[str, float]:
    """Each contender's time over the base's; only those whose copy is the same."""
    rows = result.get("rows", {})
    return {n: r[op]["ratio"] for n, r in rows.items() if op in r and not r.get("copy")}


def overview(sections: dict[str, list[Result]]) -> list[tuple[str, Result]]:
    """The workloads of the overview that the record has: label and result."""
    times = {r["workload"]: r for r in sections.get("times", []) if r.get("rows")}
    return [(text, times[name]) for name, text in WORKLOADS.items() if name in times]


def growing(sections: dict[str, list[Result]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Workload -> "contender op" -> (size, nanoseconds an element)."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for result in sections.get("growth", []):
        for name, row in result.get("rows", {}).items():
            for op in OPS:
                if op in row:
                    lines = found.setdefault(result["workload"], {})
                    point = (result["n"], row[op]["ns"] / result["n"])
                    lines.setdefault(f"{name} {op}", []).append(point)
    return found


def machine(record: dict[str, Any]) -> str:
    """One line: where the record is from."""
    env = record["environment"]
    return f"CPython {env['python']}, {env['cpu']}, {env['cores']} cores, {record['when'][:10]}"


def escaped(text: str) -> str:
    """For HTML."""
    return html.escape(text, quote=True)
