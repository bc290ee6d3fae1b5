"""A record as one HTML file that needs nothing else: charts, and under each the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import imports
import pages
import report
import svg
from contenders import BASE, CONTENDERS, ONE_THREAD, OURS, TWO_THREADS
from environment import describe
from payloads import PAYLOADS
from report import OPS, Result
from shown import DARK, LIGHT, Theme, colour, escaped, growing, machine, ratios

LEAST, MOST = 0.02, 60.0
WIDTH = 290
GROUPS = {
    "plain": "Built-in types",
    "objects": "Library types, instances, graphs",
    "mixes": "What libraries make",
    "arrays": "Arrays and tables",
    "callables": "Functions and classes by value",
    "definitions": "One function or class of each kind",
    "device": "Device memory",
}
STYLE = """
:root { color-scheme: light dark; %(light)s }
@media (prefers-color-scheme: dark) { :root { %(dark)s } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 74rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.25rem; margin-top: 2.4rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; }
.faint, summary, thead th { color: var(--faint); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .1rem .55rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { overflow: hidden; text-align: left; text-overflow: ellipsis;
  width: 21rem; max-width: 21rem; }
td:has(svg) { padding-bottom: 0; padding-top: 0; }
thead th { border-bottom: 1px solid var(--grid); font-weight: 600; }
.full { overflow-x: auto; font-size: 12.5px; }
.strip { display: block; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
svg text.title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg .grid { stroke: var(--grid); }
svg .one { stroke: var(--ink); stroke-width: 1.4; }
svg .dot { stroke: var(--paper); }
.key span { display: inline-block; margin-right: 1.1rem; }
.key i { border-radius: 50%%; display: inline-block; height: .75em; margin-right: .35em;
  width: .75em; }
.ours { color: var(--ours); font-weight: 600; }
details { margin: .5rem 0 1rem; }
summary { cursor: pointer; }
"""


def page(record: dict[str, Any]) -> str:
    """The whole page."""
    sections = record["sections"]
    style = STYLE % {t.name: _variables(t) for t in (LIGHT, DARK)}
    title = "ferropickle beside other serializers"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{style}</style></head><body>",
        f"<h1>{title}</h1>",
        f"<p>{escaped(machine(record))}</p>",
        f'<p class="faint">{escaped(describe(record["environment"]))}</p>',
        *_means(record),
        *_times(sections),
        *_growth(sections),
        *_threads(sections),
        *_imports(sections),
    ]
    for name, results in sections.items():
        kind, _, how = name.partition(", ")
        if name not in ("times", "growth", "threads", "import"):
            heading = pages.TITLES[kind] + (f", {how}" if how else "")
            parts += [f"<h2>{escaped(heading)}</h2>", _all_of(name, results, kind != "times")]
    return "\n".join([*parts, "</body></html>", ""])


def _means(record: dict[str, Any]) -> Iterator[str]:
    sections = record["sections"]
    on, off = sections.get("times", []), sections.get("times, gc off", [])
    table = report.means_table(on)
    if len(table) == 1:
        return
    yield "<h2>All object graphs together</h2>"
    yield "<p>Geometric mean of time over C pickle's, of the graphs that each can do.</p>"
    rows = []
    for name, *cells in table[1:]:
        strips = [
            svg.strip([], (float(cell), _var(name), f"{name}: {cell}"), LEAST, MOST, WIDTH)
            if cell != "-"
            else ""
            for cell in cells[:2]
        ]
        rows.append([_name(name), cells[0], strips[0], cells[1], strips[1], cells[2]])
    yield _table(["", "dumps", "", "loads", "", "graphs"], rows, raw=True)
    lines = report.means_targets(on, off, record["environment"]["python"])
    yield "".join(f"<p>{escaped(line)}</p>" for line in lines)


def _times(sections: dict[str, list[Result]]) -> Iterator[str]:
    results = [r for r in sections.get("times", []) if r.get("rows")]
    if not results:
        return
    yield "<h2>Time of each workload</h2>"
    yield (
        "<p>Over that of the base: C pickle, for functions and classes by value cloudpickle. The "
        "bar is ferropickle, a point a peer; left of the line is faster. Point at a mark to read "
        "it.</p>"
    )
    used = [n for n in CONTENDERS if any(n in r["rows"] for r in results) and n != OURS]
    key = "".join(f'<span><i style="background:{_var(n)}"></i>{escaped(n)}</span>' for n in used)
    first = f'<span><i style="background:var(--ours)"></i><b>{OURS}</b></span>'
    yield f'<p class="key">{first}{key}</p>'
    axis = svg.scale(LEAST, MOST, WIDTH)
    for group, heading in GROUPS.items():
        rows = [
            [escaped(report.label(r)), *(cell for op in OPS for cell in _strip(r, op))]
            for r in results
            if r["workload"] in PAYLOADS and PAYLOADS[r["workload"]].group == group
        ]
        if rows:
            yield f"<h3>{heading}</h3>"
            yield _table(["", "dumps", axis, "loads", axis], rows, raw=True)
    yield _all_of("times", sections["times"], False)


def _strip(result: Result, op: str) -> tuple[str, str]:
    """Our ratio, and the row of marks."""
    found = ratios(result, op)
    bar = (found[OURS], "var(--ours)", f"{OURS}: {found[OURS]:.2f}") if OURS in found else None
    marks = [
        (value, _var(name), f"{name}: {value:.2f}")
        for name, value in found.items()
        if name not in (OURS, result["base"])
    ]
    text = f'<span class="ours">{found[OURS]:.2f}</span>' if bar else "-"
    return text, svg.strip(marks, bar, LEAST, MOST, WIDTH)


def _growth(sections: dict[str, list[Result]]) -> Iterator[str]:
    found = growing(sections)
    if not found:
        return
    yield "<h2>How cost grows</h2><p>Nanoseconds for each of n elements; "
    yield f'<span class="ours">{OURS}</span> and {BASE}; dumps drawn through, loads dashed.</p>'
    yield '<div class="charts">'
    for workload, named in found.items():
        drawn = {
            name: (_var(name.rpartition(" ")[0]), "" if name.endswith("dumps") else "5 4", points)
            for name, points in named.items()
        }
        yield svg.lines(drawn, workload)
    yield "</div>"
    yield _all_of("growth", sections["growth"], False)


def _threads(sections: dict[str, list[Result]]) -> Iterator[str]:
    rows = []
    for result in sections.get("threads", []):
        both = result.get("rows", {})
        if ONE_THREAD in both and TWO_THREADS in both:
            ratio = both[TWO_THREADS]["dumps"]["ratio"]
            bar = (ratio, "var(--ours)", f"{ratio:.2f}")
            rows.append(
                [escaped(report.label(result)), f"{ratio:.2f}", svg.strip([], bar, 0.3, 1.7, WIDTH)]
            )
    if rows:
        yield "<h2>Two threads over one</h2><p><code>dumps</code>, by the wall.</p>"
        yield _table(["", "", svg.scale(0.3, 1.7, WIDTH)], rows, raw=True)
        yield _all_of("threads", sections["threads"], False)


def _imports(sections: dict[str, list[Result]]) -> Iterator[str]:
    results = sections.get("import", [])
    if results:
        yield "<h2>First import</h2>"
        table = imports.table(results)
        yield _table(table[0], table[1:])


def _all_of(name: str, results: list[Result], is_open: bool) -> str:
    """The text of a section, to be opened."""
    text = escaped(pages.section_text(name, results, False))
    opened = " open" if is_open else ""
    return (
        f"<details{opened}><summary>all figures</summary>"
        f'<div class="full"><pre>{text}</pre></div></details>'
    )


def _table(head: list[str], rows: list[list[str]], raw: bool = False) -> str:
    clean = (lambda text: text) if raw else escaped
    top = "".join(f"<th>{clean(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{clean(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _name(name: str) -> str:
    return f'<span class="ours">{name}</span>' if name == OURS else escaped(name)


def _var(name: str) -> str:
    """The CSS variable of a contender's colour."""
    if name == OURS:
        return "var(--ours)"
    if name == BASE:
        return "var(--faint)"
    return f"var(--c{list(CONTENDERS).index(name)})"


def _variables(theme: Theme) -> str:
    own = {key: getattr(theme, key) for key in ("paper", "ink", "faint", "grid", "ours")}
    own |= {f"c{place}": colour(theme, name) for place, name in enumerate(CONTENDERS)}
    return " ".join(f"--{key}: {value};" for key, value in own.items())
