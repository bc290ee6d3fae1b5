"""`PAYLOADS`: the one table of workloads, and the helpers that fill it."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SEED = 20_240_229
Build = Callable[[int], Any]


class Unavailable(Exception):
    """What a workload needs is not here; the message says what."""


@dataclass(frozen=True)
class Payload:
    """One workload."""

    name: str
    group: str  # the file it is written in
    build: Build
    n: int  # the default size
    unit: str  # what `n` counts
    needs: tuple[str, ...] = ()  # modules without which the workload is skipped
    oob: bool = False  # buffers go out of band (`buffer_callback`)
    first: bool = False  # every dump sees a freshly built object
    clock: str = "process"  # CPU time of all threads; "wall" where waiting is part of it
    base: str = "pickle"  # the contender that the ratios are over
    contenders: tuple[str, ...] = ()  # who else takes part, if not all
    also: tuple[str, ...] = ()  # takes part besides all


PAYLOADS: dict[str, Payload] = {}


def payload(n: int, unit: str, name: str | None = None, **options: Any) -> Callable[[Build], Build]:
    """Enter a builder into `PAYLOADS`, under its own name if `name` is not given."""

    def enter(build: Build) -> Build:
        key = name or build.__name__
        group = build.__module__.rsplit(".", 1)[-1]
        PAYLOADS[key] = Payload(key, group, build, n, unit, **options)
        return build

    return enter


def rng_of() -> random.Random:
    """A generator with the seed that all payloads share."""
    return random.Random(SEED)


def word(rng: random.Random, length: int = 12) -> str:
    """A new lower-case ASCII string of `length` characters."""
    return "".join(rng.choices(string.ascii_lowercase, k=length))
