"""Single functions and classes that go by value, of every kind that programs define."""

from __future__ import annotations

from typing import Any

from .callables import PEERS, define
from .table import payload

# Kind: the source that defines `it`.
_SOURCES = {
    "closure_ints": """
def make(a, b):
    def add(x):
        return x + a * b
    return add
it = make(3, 4)
""",
    "recursive": """
def it(n):
    return 1 if n < 2 else n * it(n - 1)
""",
    "dataclass": """
from dataclasses import dataclass, field

@dataclass(order=True)
class it:
    ident: int
    name: str
    tags: list = field(default_factory=list)
""",
    "decorated": """
import functools

def logged(function):
    @functools.wraps(function)
    def run(*args, **kwargs):
        return function(*args, **kwargs)
    return run

@logged
def it(x, *, scale=2):
    '''Scale.'''
    return x * scale
""",
    "local_class": """
def make(offset):
    class Inner:
        def shift(self, x):
            return x + offset
    return Inner
it = make(5)
""",
    "partial_chain": """
import functools

def power(base, exponent, scale):
    return base ** exponent * scale
it = functools.partial(functools.partial(power, exponent=2), scale=3)
""",
    "bound_method": """
class Counter:
    def __init__(self):
        self.count = 0
    def add(self, n):
        self.count += n
        return self.count
it = Counter().add
""",
    "async_generator": """
async def it(n):
    for i in range(n):
        yield i
""",
    "enum": """
import enum

class it(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3
""",
}


def _enter(kind: str, source: str) -> None:
    @payload(1, kind.replace("_", " "), name=f"def_{kind}", **PEERS)
    def build(n: int) -> Any:
        del n
        return define(source)["it"]


for _kind, _source in _SOURCES.items():
    _enter(_kind, _source)


@payload(
    1_000,
    "float64 in a closure",
    name="def_closure_array",
    **{**PEERS, "needs": ("numpy", "cloudpickle")},
)
def _closure_array(n: int) -> Any:
    import numpy as np

    make = define("def make(table):\n def pick(i):\n  return table[i]\n return pick")["make"]
    return make(np.arange(n, dtype=np.float64))
