"""A closure mapped over arrays by two pools: ferropickle's and the standard library's."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import ferropickle.multiprocessing
from demo_parts import columns

PROCESSES = 2
STEPS = 8  # rows of the table
Pools = dict[str, tuple[Any, Callable[[Any], Any]]]  # by name: a pool, and what it maps


def throughput(total: int, block: int) -> None:
    """Send `total` bytes in arrays of `block` bytes to workers and back, and print how fast.

    There are never more than a few of the arrays at a time.
    """
    factor = 3
    closure = lambda array: scale(array, factor)
    print(
        f"\npool      a closure mapped over {total >> 20:,} MiB in arrays of {block >> 20} MiB by "
        f"{PROCESSES} processes, each changed there and sent back;\n"
        "          multiprocessing cannot send a closure, so it maps a function of a module\n"
        f"{'sent':>14}{'ferropickle':>16}{'multiprocessing':>18}{'times':>8}"
    )
    ours = ferropickle.multiprocessing.get_context("spawn").Pool(PROCESSES)
    theirs = multiprocessing.get_context("spawn").Pool(PROCESSES)
    with ours, theirs:
        pools: Pools = {
            "ferropickle": (ours, closure),
            "multiprocessing": (theirs, functools.partial(scale, factor=factor)),
        }
        run(pools, total, block, factor)


def run(pools: Pools, total: int, block: int, factor: int) -> None:
    """The rows: each pool is given its share of each step, in turn."""
    expected = scale(make(block), factor)
    arrays = [make(block) for _ in range(4)]
    for pool, function in pools.values():  # workers are up, memory has been touched
        list(pool.imap(function, feed(arrays, 2 * PROCESSES)))
    seconds = dict.fromkeys(pools, 0.0)
    count = max(total // block // STEPS, 1)
    for step in range(1, STEPS + 1):
        for name, (pool, function) in pools.items():
            start = perf_counter()
            for done, array in enumerate(pool.imap(function, feed(arrays, count)), 1):
                if done == count and not columns.equal(array, expected):
                    raise AssertionError(f"{name}: an array came back wrong")
                del array
                show(step, done / count, name)
            seconds[name] += perf_counter() - start
        sent = step * count * block
        rates = [2 * sent / seconds[name] / 2**30 for name in pools]  # there and back
        clear()
        print(
            f"{sent >> 20:>10,} MiB{rates[0]:>10.2f} GiB/s{rates[1]:>12.2f} GiB/s"
            f"{rates[0] / rates[1]:>8.1f}"
        )


def feed(arrays: list[Any], count: int) -> Iterator[Any]:
    """So many arrays, one after another: those given, again and again."""
    return itertools.islice(itertools.cycle(arrays), count)


def make(nbytes: int) -> Any:
    """An array of so many bytes."""
    if columns.np is None:
        return bytearray(nbytes)
    return columns.np.arange(nbytes // 8, dtype="f8")


def scale(array: Any, factor: int) -> Any:
    """The array, changed where it lies."""
    if columns.np is None:
        array[::4096] = bytes([factor]) * len(array[::4096])
    else:
        array *= factor
    return array


def show(step: int, part: float, name: str) -> None:
    """How far it is, on a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{step:>8}/{STEPS}  {name} {part:>4.0%}", end="", flush=True)


def clear() -> None:
    """Take the line of `show` away."""
    if sys.stdout.isatty():
        print("\r\033[K", end="")
