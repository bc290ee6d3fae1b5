"""Timing calls side by side.

The subjects take turns, sample by sample, in rounds, and the order turns with the round. A ratio is
taken within its round, so a slow moment of the machine hits both sides.
"""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_SECONDS = 0.005  # a sample repeats the call until it takes about so long
LEAST_ROUNDS = 3
MOST_ROUNDS = 25


@dataclass(frozen=True)
class Time:
    """What was found about one call.

    seconds: the median. ratio: the median, over rounds, of its time over the first subject's in
    the same round. spread: the width between the quartiles of these ratios over their median.
    """

    seconds: float
    ratio: float
    spread: float


def side_by_side(
    calls: dict[str, tuple[Callable[[Any], Any], Any]], seconds: float
) -> dict[str, Time]:
    """Time every call (a function and its argument) over that of the first, by the wall.

    seconds: how long all of it may take, as long as there is time for three rounds.
    """
    end = perf_counter() + seconds
    repeats = {name: _calibrate(*call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    rounds = 0
    while rounds < LEAST_ROUNDS or (rounds < MOST_ROUNDS and perf_counter() < end):
        first = rounds % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            times[name].append(_sample(*calls[name], repeats[name]) / repeats[name])
        rounds += 1
    base = times[names[0]]
    return {name: _time(own, base) for name, own in times.items()}


def _time(own: list[float], base: list[float]) -> Time:
    ratios = [mine / theirs for mine, theirs in zip(own, base, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return Time(statistics.median(own), ratio, (high - low) / ratio)


def _calibrate(call: Callable[[Any], Any], arg: Any) -> int:
    """How many calls make a sample."""
    number = 1
    while True:
        took = _sample(call, arg, number)
        if took >= SAMPLE_SECONDS / 2:
            return max(1, round(number * SAMPLE_SECONDS / took))
        number *= 2


def _sample(call: Callable[[Any], Any], arg: Any, number: int) -> float:
    """Seconds of so many calls. The end of a single call's result is not timed."""
    if number == 1:
        start = perf_counter()
        result = call(arg)
        took = perf_counter() - start
        del result
        return took
    start = perf_counter()
    for _ in repeat(None, number):
        call(arg)
    return perf_counter() - start
