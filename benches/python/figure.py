"""The overview as a PNG: ratios beside the peers, and growth. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contenders import BASE, OURS
from report import OPS, Result
from shown import PEERS, Theme, colour, growing, machine, overview, ratios

matplotlib.use("Agg")
GROWN = "records"  # the workload whose growth is shown
LEAST, MOST = 0.012, 60  # the axis of ratios


def draw(record: dict[str, Any], theme: Theme, path: Path) -> None:
    """Write the overview of a record to `path`."""
    rows = overview(record["sections"])
    lines = growing(record["sections"]).get(GROWN, {})
    figure = Figure(figsize=(14, 1.9 + 0.36 * len(rows)), dpi=110, facecolor=theme.paper)
    widths = [1, 1, 0.95] if lines else [1, 1]
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    for axis, op in zip(axes, OPS, strict=False):
        _ratios(axis, rows, op, theme)
    axes[1].set_yticklabels([])
    if lines:
        _growth(axes[2], lines, theme)
    handles = {
        label: handle
        for axis in axes[:2]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(0.01, 0.0),
        ncols=len(handles), frameon=False, labelcolor=theme.ink, fontsize=11, handletextpad=0.2,
    )  # fmt: skip
    figure.text(0.99, 0.017, machine(record), ha="right", color=theme.faint, fontsize=9)
    figure.suptitle(
        "Time over that of C pickle: left of the line is faster",
        x=0.012, ha="left", color=theme.ink, fontsize=15, fontweight="bold",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.045, 1, 1), w_pad=1.6)
    figure.savefig(path, facecolor=theme.paper)


def _ratios(axis: Axes, rows: list[tuple[str, Result]], op: str, theme: Theme) -> None:
    _plain(axis, theme)
    axis.set_title(op, loc="left", color=theme.ink, fontsize=13)
    axis.set_xscale("log")
    axis.set_xlim(LEAST, MOST)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_yticks(range(len(rows)), [text for text, _ in rows])
    axis.set_xticks([0.03, 0.1, 0.3, 1, 3, 10, 30])
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.grid(axis="x", color=theme.grid, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.axvline(1, color=theme.ink, linewidth=1.3)
    for place, (_, result) in enumerate(rows):
        found = ratios(result, op)
        ours = found.get(OURS)
        if ours:
            axis.barh(
                place, ours - 1, left=1, height=0.52, color=theme.ours, alpha=0.85, label=OURS
            )
            axis.annotate(
                f"{ours:.2f}", (LEAST, place), textcoords="offset points", xytext=(4, 0),
                va="center", color=theme.ours, fontsize=10.5, fontweight="bold",
            )  # fmt: skip
    marks = "osD^vP"
    for name, mark in zip(PEERS, marks, strict=True):
        points = [
            (found[name], place)
            for place, (_, result) in enumerate(rows)
            if name in (found := ratios(result, op)) and LEAST <= found[name] <= MOST
        ]
        if points:
            axis.scatter(
                *zip(*points, strict=True), s=38, marker=mark, color=colour(theme, name),
                edgecolors=theme.paper, linewidths=0.7, zorder=3, label=name,
            )  # fmt: skip


def _growth(axis: Axes, lines: dict[str, list[tuple[int, float]]], theme: Theme) -> None:
    _plain(axis, theme)
    axis.set_title(f"nanoseconds for each of n {GROWN}", loc="left", color=theme.ink, fontsize=13)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(color=theme.grid, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axis.yaxis.set_minor_locator(ticker.NullLocator())
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    ends = []
    for name in (BASE, OURS):
        for op, style in zip(OPS, ("-", "--"), strict=True):
            points = lines.get(f"{name} {op}")
            if points:
                shade = colour(theme, name)
                axis.plot(
                    *zip(*points, strict=True), style, color=shade, marker="o", markersize=4.5,
                    linewidth=2.2 if name == OURS else 1.6,
                )  # fmt: skip
                ends.append((points[-1], f"{name} {op}", shade))
    lowest = -1e9
    for point, text, shade in sorted(ends, key=lambda end: end[0][1]):
        at = axis.transData.transform(point)[1]
        lowest = max(at, lowest + 18)  # names do not touch
        axis.annotate(
            text, point, xytext=(8, (lowest - at) * 72 / axis.figure.dpi),
            textcoords="offset points", color=shade, fontsize=10, va="center",
        )  # fmt: skip
    least, most = axis.get_xlim()
    axis.set_xlim(least, most * 30)  # room for the names
    axis.set_xlabel("n", color=theme.faint)


def _plain(axis: Axes, theme: Theme) -> None:
    axis.set_facecolor(theme.paper)
    axis.tick_params(colors=theme.ink, length=0, labelsize=10.5)
    for spine in axis.spines.values():
        spine.set_visible(False)
