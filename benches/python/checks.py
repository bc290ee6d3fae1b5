"""Targets of the groups that have a method of their own: what was measured beside the limit."""

from __future__ import annotations

import statistics
from typing import Any

from targets import OVER

Check = dict[str, Any]


def of(workload: str, times: dict[str, list[float]]) -> list[Check]:
    """The target of a workload, if it has one: the median of the ratios, round by round."""
    name, base, limit = OVER.get(workload, ("", "", 0.0))
    if name not in times or base not in times:
        return []
    ratio = statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))
    return [check(f"{workload}: {name} / {base}", ratio, limit)]


def check(what: str, value: float, limit: float) -> Check:
    """One figure and its target."""
    return {"what": what, "value": value, "at_most": limit, "met": value <= limit}


def lines(results: list[dict[str, Any]]) -> str:
    """The figures of all results that have a target, a line each."""
    return "".join(
        f"target: {c['what']} {c['value']:.2f}, at most {c['at_most']:.2f}: "
        f"{'met' if c['met'] else 'short'}\n"
        for result in results
        for c in result.get("checks", ())
    )
