"""The project's speed targets on CPython 3.11: time over C pickle's time, one thread, gc on."""

from __future__ import annotations

TARGETS: dict[str, tuple[float, float]] = {  # workload: (dumps, loads)
    "records": (0.14, 0.55),
    "instances": (0.08, 0.40),
    "dataclasses": (0.09, 0.40),
    "tuples_nested": (0.12, 0.65),
    "graph_cycles": (0.15, 0.50),
    "str_ascii_unique": (0.06, 0.75),
    "floats": (0.33, 0.65),
    "ints_mid": (0.40, 0.90),
    "ints_mixed": (0.40, 0.90),
    "datetimes": (0.05, 0.10),
    "small_message": (0.45, 0.70),
    "bytes_big": (0.30, 0.30),
}
# Cost per record from 100 to 100,000 records: the largest over the smallest of them.
FLAT = 1.5
