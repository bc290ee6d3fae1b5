"""The project's speed targets on CPython 3.11: time over the base's time, one thread, gc on."""

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
    "arrays_1k_oob": (0.20, 0.50),
    "array_inband": (0.25, 1.00),
    "array_strided": (0.40, 1.00),
    "array_object": (0.30, 0.75),
    # over cloudpickle's time, and over that of C pickle's `loads` of its stream
    "call_lambda": (0.15, 0.60),
    "call_closures": (0.04, 0.10),
    "call_functions": (0.10, 0.60),
    "call_functions_first": (0.10, 0.60),
    "call_globals": (0.15, 0.60),
    "call_class": (0.15, 0.50),
    "call_instances": (0.10, 0.50),
    "call_instances_few": (0.10, 0.50),
    # over our own with nothing by value: the same, but for noise
    "call_none": (1.05, 1.05),
}
# Cost per record from 100 to 100,000 records: the largest over the smallest of them.
FLAT = 1.5
# Geometric means over the object graphs: dumps and loads with the collector on, loads with it off.
MEANS: dict[str, tuple[float, float, float]] = {
    "3.11": (0.20, 0.50, 0.70),
    "3.13": (0.22, 0.50, 0.75),
}
# Objects with nothing to walk: not counted as graphs.
SINGLE = ("bytes_big", "one_int")
# `dumps` on two threads over one: (workload, size) and the ratio; for all others, `NEVER_SLOWER`.
THREADS: dict[tuple[str, int], float] = {
    ("records", 100_000): 0.58,
    ("records", 1_000_000): 0.54,
    ("instances", 100_000): 0.60,
    ("instances", 1_000_000): 0.60,
}
NEVER_SLOWER = 1.03
# `import ferropickle` over `import pickle`.
IMPORT = 1.5
# `dumps`: time per record at 10^6 over that at 10^3.
GROWTH = 1.3
# Of the groups that have a method of their own: whose wall time, over whose, at most.
OVER: dict[str, tuple[str, str, float]] = {
    "array of 256 MiB": ("Channel", "memcpy", 1.5),
    "1,000 arrays of 64 KiB": ("Channel", "memcpy", 2.0),
    "10,000 arrays of 1 KiB": ("Channel", "Pipe", 0.15),
    "64 MiB compressed (zstd)": ("ferropickle", "ferropickle, one processor", 1 / 1.8),
}
# What opening a file of 10 GiB may take more than opening one of 10 MiB.
OPEN_MS = 1.0
