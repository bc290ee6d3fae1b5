"""Functions and classes that go by value: plain pickle cannot write them, cloudpickle is the base.

Their namespace is not the module here but one that calls itself `__main__` and is not: neither
serializer finds them by name, as it is with the functions of a program or a notebook.
"""

from __future__ import annotations

import itertools
import sys
import types
from typing import Any

from . import objects, plain
from .table import payload

PEERS = {
    "base": "cloudpickle",
    "contenders": ("ferropickle", "dill", "dill, recurse", "pyfory", "compickle"),
    "needs": ("cloudpickle",),
}
# cloudpickle keeps what it found in a code object for all that are equal to it.
_unequal = itertools.count(1_000_000)


def define(source: str) -> dict[str, Any]:
    """Run `source` in a namespace of its own that calls itself `__main__`."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<program>", "exec"), namespace)
    return namespace


@payload(1, "lambda", **PEERS)
def call_lambda(n: int) -> Any:
    return define(f"f = lambda x: x + {n}")["f"]


@payload(1_000, "closures of one code object", **PEERS)
def call_closures(n: int) -> Any:
    make = define("def make(k):\n def add(x):\n  return x + k\n return add")["make"]
    return [make(i) for i in range(n)]


@payload(1_000, "functions, each its own code", **PEERS)
def call_functions(n: int) -> Any:
    source = "def f{0}(x, y=1):\n    total = [x, y, {1}]\n    return sum(total) + len('{1}')\n"
    namespace = define("".join(source.format(i, next(_unequal)) for i in range(n)))
    return [namespace[f"f{i}"] for i in range(n)]


@payload(1_000, "functions, code never seen", name="call_functions_first", first=True, **PEERS)
def _call_functions_first(n: int) -> Any:
    return call_functions(n)


_GLOBALS = """
import json, math, os.path

LIMITS = {"low": 1, "high": 100, "names": ["a", "b"]}

def clip(x):
    return max(LIMITS["low"], min(LIMITS["high"], x))

def report(x, indent=2):
    text = json.dumps({"x": clip(x), "root": math.sqrt(x)}, indent=indent)
    return os.path.join(text, *LIMITS["names"])
"""


@payload(1, "function: modules, a dict, a function", **PEERS)
def call_globals(n: int) -> Any:
    del n
    return define(_GLOBALS)["report"]


_CLASS = """
class Account:
    '''An account.'''

    rate = 0.02

    def __init__(self, name, balance):
        self.name = name
        self.balance = balance

    def pay(self, amount):
        self.balance += amount
        return self

    def __repr__(self):
        return f"{self.name}: {self.balance}"

    @property
    def interest(self):
        return self.balance * self.rate

    @classmethod
    def empty(cls, name):
        return cls(name, 0)

    @staticmethod
    def cents(amount):
        return int(amount * 100)
"""


@payload(1, "class", **PEERS)
def call_class(n: int) -> Any:
    del n
    return define(_CLASS)["Account"]


@payload(10_000, "instances of one class", **PEERS)
def call_instances(n: int) -> Any:
    account = define(_CLASS)["Account"]
    return [account(f"user-{i}", i * 0.5) for i in range(n)]


@payload(100, "instances of one class", name="call_instances_few", **PEERS)
def _call_instances_few(n: int) -> Any:
    return call_instances(n)


_PACKAGES = """
import concurrent.futures, email.message, importlib.util, json.decoder, logging.handlers, xml.dom

def use():
    return (concurrent.futures, email.message, importlib.util,
            json.decoder, logging.handlers, xml.dom)
"""


@payload(0, "more modules imported", **PEERS)
def call_packages(n: int) -> Any:
    """A function that names six packages, where `n` modules more are imported."""
    for i in range(n):
        name = f"imported_{i}"
        sys.modules[name] = types.ModuleType(name)
    return define(_PACKAGES)["use"]


@payload(3_000, "more modules imported", name="call_packages_3000", **PEERS)
def _call_packages_3000(n: int) -> Any:
    return call_packages(n)


@payload(
    10_000, "records and instances, no function",
    base="ferropickle, face of pickle", contenders=("ferropickle",),
)  # fmt: skip
def call_none(n: int) -> Any:
    """What the care for functions costs a graph that has none."""
    return [plain.records(n // 2), objects.instances(n // 2)]
