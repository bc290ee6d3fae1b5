"""What `guard.py` runs under callgrind: every case, warmed up and then counted between two marks.

A mark is a call of `os.getppid`: callgrind writes what it has counted so far whenever that function
of the C library is entered, and begins again. Prints the names of the cases, in order, each with
the number of calls that were counted.

Where objects lie decides how often their addresses collide in hash tables, and a longer path or
another environment moves them all. So each case is counted on copies that lie in different places.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable
from typing import Any

import ferropickle
from payloads import PAYLOADS

mark = os.getppid
WARM_UP = 2
LAYOUTS = 8  # copies of each graph
CASES = {  # workload: its size, and how often each copy is dumped and loaded
    "records": (200, 1),
    "instances": (300, 1),
    "dataclasses": (200, 1),
    "slots_instances": (200, 1),
    "graph_cycles": (200, 1),
    "tuples_nested": (8, 1),
    "str_ascii_unique": (1_000, 1),
    "str_nonascii_unique": (500, 1),
    "ints_mid": (2_000, 1),
    "floats": (2_000, 1),
    "set_str": (500, 1),
    "datetimes": (500, 1),
    "small_message": (1, 20),
    "call_functions": (20, 1),
}


def main() -> None:
    """Count each case."""
    gc.disable()
    for name, (n, times) in CASES.items():
        obj = PAYLOADS[name].build(n)
        data = ferropickle.dumps(obj, 5)
        graphs, spacers = [obj], []
        for layout in range(LAYOUTS if name != "call_functions" else 0):  # these have one home
            spacers.append([bytes(40 * place) for place in range(layout * 3)])
            graphs.append(pickle.loads(data))
        streams = [bytes(bytearray(data)) for _ in graphs]
        count(f"{name} dumps", ferropickle.dumps, graphs, times)
        count(f"{name} loads", ferropickle.loads, streams, times)


def count(name: str, call: Callable[[Any], Any], args: list[Any], times: int) -> None:
    """The calls between two marks, after as many as it takes for caches to be full."""
    for _ in range(WARM_UP):
        call(args[0])
    rounds = range(times)
    mark()
    for arg in args:
        for _ in rounds:
            call(arg)
    mark()
    print(name, times * len(args), flush=True)


if __name__ == "__main__":
    main()
