"""Functions and classes by value: what no import leads to travels with its code."""

import json
import math
import pathlib
import pickle
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass

import ferropickle as fp

GREETING = "hello"


def greet(name: str) -> str:
    """A function of `__main__`: it goes by value, with the globals that it uses and no others."""
    return json.dumps([GREETING, name])


def make_area(scale: float):
    """A closure: its cell goes along."""
    return lambda radius: scale * math.pi * radius**2


@dataclass
class Point:
    """A class of `__main__`, methods and all."""

    x: float
    y: float

    def norm(self) -> float:
        return math.hypot(self.x, self.y)


# What another machine runs: plain pickle in an interpreter with nothing installed (-I: no paths of
# ours, -S: no site-packages).
FRESH = "import pickle, sys; print(repr(eval(sys.argv[1], {'x': pickle.load(sys.stdin.buffer)})))"


def in_fresh_interpreter(data: bytes, expression: str) -> str:
    """What `expression` is over there, where `x` is the object of the stream."""
    command = [sys.executable, "-I", "-S", "-c", FRESH, expression]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()


def main() -> None:
    # A function, a closure, a class with an instance of it.
    assert in_fresh_interpreter(fp.dumps(greet), "x('you')") == '\'["hello", "you"]\'\n'
    assert in_fresh_interpreter(fp.dumps(make_area(2.0)), "round(x(1), 3)") == "6.283\n"
    assert in_fresh_interpreter(fp.dumps(Point(3, 4)), "x, x.norm()") == "(Point(x=3, y=4), 5.0)\n"

    # Loaded where the class is known by its contents, it is that class: no second one is made.
    data = fp.dumps([Point, Point(1, 2)])
    first, second = fp.loads(data), fp.loads(data)
    assert first[0] is second[0]
    assert first[1] == second[1]
    another = fp.dumps(Point, policy=fp.Policy(identity="new"))
    assert fp.loads(another) is not fp.loads(another)

    # What `__main__` holds by name, where the other side has the same program.
    assert fp.loads(fp.dumps(greet, policy=fp.Policy(main="ref"))) is greet

    # Modules of your own that the other side has not: by value too. "project" means all that is
    # neither the standard library nor installed; a module, a name or a predicate says less.
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "my_project.py").write_text("def double(x): return 2 * x\n")
        sys.path.insert(0, folder)
        import my_project  # type: ignore[import-not-found]

        sys.path.remove(folder)
    for by_value in ("project", my_project, "my_project"):
        data = fp.dumps(my_project.double, policy=fp.Policy(by_value=by_value))
        assert in_fresh_interpreter(data, "x(21)") == "42\n"

    # Bytecode is for one version of Python. With its source beside it a function runs on others.
    data = fp.dumps(greet, policy=fp.Policy(sources="auto"))
    assert b"return json.dumps" in data
    tag, sys.implementation.cache_tag = sys.implementation.cache_tag, "cpython-399"  # as if
    assert fp.loads(data)("you") == greet("you")
    message = ""
    try:
        fp.loads(fp.dumps(greet))
    except KeyError as error:  # with no source beside it
        message = str(error)
    assert "that version only" in message
    sys.implementation.cache_tag = tag

    # Who captures much by mistake hears of it.
    table = list(range(100_000))
    captures = lambda: len(table)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fp.dumps(captures, policy=fp.Policy(max_captured=10_000))
    assert "captures" in str(caught[0].message)
    try:
        fp.dumps(captures, policy=fp.Policy(max_captured=10_000, captured="refuse"))
    except pickle.PicklingError as error:
        print(error)
    else:
        raise AssertionError("a large variable was taken")

    print("functions, closures and classes ran in interpreters that have nothing of ours")


if __name__ == "__main__":
    main()
