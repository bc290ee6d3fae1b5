"""The workloads of the Python benchmarks.

Every builder takes the size `n` (the unit is in `Payload.unit`), is seeded, and returns a fresh
object graph whose values nobody else refers to, as a program that has just parsed or computed
them would have it.
"""

from . import (  # noqa: F401  (importing them fills the table)
    arrays,
    callables,
    definitions,
    device,
    mixes,
    objects,
    plain,
)
from .table import PAYLOADS, Payload, Unavailable

__all__ = ["PAYLOADS", "Payload", "Unavailable"]
