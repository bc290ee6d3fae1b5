"""Functions and modules of a `__main__`, pickled: run as a script by test_fresh.py."""

# ruff: noqa: F821
import functools
import math
import os.path
import sys
import types
import xml.etree.ElementTree

from helpers import cases

FACTOR = 10
SHARED = []


def plain(a, b=2, *args, c, d=[4], **kwargs):
    """The docstring."""
    return a, b, args, c, d, kwargs


def annotated(a: int, b: "str" = "s") -> list[int]:
    return [a] * FACTOR


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def is_even(n):
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    return False if n == 0 else is_even(n - 1)


def uses_modules():
    return math.sqrt(16), os.path.basename("a/b"), xml.etree.ElementTree.fromstring("<t/>").tag


def push(item):
    SHARED.append(item)
    return len(SHARED)


def count():
    return len(SHARED)


def set_global(value):
    global FACTOR
    FACTOR = value


def get_global():
    return FACTOR


def nested():
    class Inner:
        factor = FACTOR

        def get(self):
            return [self.factor for _ in range(2)]

    return Inner().get()


def make_counter():
    n = 0

    def up():
        nonlocal n
        n += 1
        return n

    def get():
        return n

    return up, get


def make_recursive():
    def inner(n):
        return 0 if n == 0 else 1 + inner(n - 1)

    return inner


def make_returns_itself():
    def inner():
        return inner

    return inner


def make_empty_cell():
    def inner():
        return later

    if FACTOR < 0:
        later = 1
    return inner


def generator(n):
    for i in range(n):
        got = yield i
        if got:
            yield got


async def coroutine(x):
    return x * FACTOR


async def agenerator(n):
    for i in range(n):
        yield i


async def collect():
    return [i async for i in agenerator(3)]


def decorator(function):
    @functools.wraps(function)
    def wrapper(*args):
        return "wrapped", function(*args)

    return wrapper


@decorator
def decorated(x):
    """Doc of decorated."""
    return x


def renamed():
    return 1


renamed.__name__, renamed.__qualname__ = "other", "some.other"
renamed.attribute = {"k": renamed}


def tries(x):
    try:
        return 1 / x
    except ZeroDivisionError as exc:
        return type(exc).__name__
    finally:
        x = None


def constants():
    return (
        1j,
        ...,
        (1, (2, 3)),
        {1, 2} == {2, 1},
        2 in {1, 2},
        b"b",
        -0.0,
        10**30,
        "ü\ud800",
        None,
        True,
    )


module = types.ModuleType("dynamic_module", "A module.")
exec(
    "value = 3\ndef get():\n    return value\ndef put(v):\n    global value\n    value = v",
    module.__dict__,
)

run = "__import__('asyncio').run"

CASES = {
    "lambda": (lambda a: a + 1, "x(1)"),
    "plain": (
        plain,
        "(x(1, c=3), x.__doc__, x.__name__, x.__qualname__, x.__module__, x.__defaults__)",
    ),
    "annotated": (annotated, "(x(2), str(x.__annotations__))"),
    "recursion": (factorial, "x(5)"),
    "mutual recursion": (is_even, "(x(4), x(3))"),
    "modules": (uses_modules, "x()"),
    "shared globals": ((push, count), "(x[0](1), x[1](), x[0].__globals__ is x[1].__globals__)"),
    "global written": ((set_global, get_global), "(x[0](7), x[1](), x[0](10))"),
    "nested class": (nested, "x()"),
    "nonlocal": (make_counter(), "(x[1](), x[0](), x[0](), x[1]())[1:]"),
    "recursive closure": (make_recursive(), "x(4)"),
    "closure over itself": (make_returns_itself(), "x() is x"),
    "large constant": (eval("lambda: '" + "x" * 70_000 + "'"), "len(x())"),
    "empty cell": (make_empty_cell(), "len(x.__closure__)"),
    "generator function": (generator, "list(x(3))"),
    "coroutine function": (coroutine, f"{run}(x(2))"),
    "asynchronous generator function": (collect, f"{run}(x())"),
    "decorated": (decorated, "(x(1), x.__doc__, x.__name__, x.__wrapped__(2))"),
    "renamed": (renamed, "(x.__name__, x.__qualname__, x.attribute['k'] is x)"),
    "exceptions": (tries, "(x(0), x(2))"),
    "constants": (constants, "x()"),
    "list of lambdas": ([lambda i=i: i for i in range(3)], "[f() for f in x]"),
    "same code": (
        [make_recursive() for _ in range(2)],
        "(x[0].__code__ is x[1].__code__, x[1](2))",
    ),
    "code": (factorial.__code__, "(x.co_name, x.co_argcount)"),
    "cells": (make_counter()[0].__closure__, "[c.cell_contents for c in x]"),
    "partial": (functools.partial(plain, 1, c=5), "x(2)"),
    "partialmethod": (functools.partialmethod(plain, c=5), "x.keywords"),
    "bound lambda": (types.MethodType(lambda self: self, 5), "x()"),
    "module by name": (math, "x.sqrt(4)"),
    "dynamic module": (module, "(x.get(), x.put(5), x.value, x.get(), x.put(3), x.__doc__)"),
    "built-in types": (
        [type(plain), type(None), types.CodeType, type(...)],
        "[t.__name__ for t in x]",
    ),
}

if sys.version_info >= (3, 12):
    exec("""
def pep695[W](w: W) -> W:
    return w
""")
    CASES["PEP 695 function"] = (pep695, "(x(1), str(x.__type_params__))")


if __name__ == "__main__":
    cases.write(CASES)
