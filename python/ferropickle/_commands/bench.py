"""`python -m ferropickle bench`: serializers side by side on an object of the user's."""

from __future__ import annotations

import argparse
import gc
import os
import pickle
import platform
import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import ferropickle

from ._memory import peak_in_fork
from ._rounds import Time, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OURS = "ferropickle"
SERIALIZERS = ("pickle", OURS, "cloudpickle", "dill")  # the first that can is the base
EPILOG = """\
Loading a pickle file runs whatever code it asks for: give only files that you trust.

examples:
  python -m ferropickle bench data.pkl
  python -m ferropickle bench 'mypackage.samples:make_orders(1000)'
  python -m ferropickle bench 'json:decoder' --only pickle,ferropickle
"""


@dataclass
class Serializer:
    """A serializer that could take the object, and what it made of it.

    beside: how many buffers `buffer_callback` is given, and their bytes; None where it has none.
    """

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]
    stream: bytes
    beside: tuple[int, int] | None = None
    peaks: tuple[int | None, int | None] = (None, None)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; returns 0, or 1 if ferropickle could not take the object."""
    args = _parse(arguments)
    try:
        obj, what = find(args.object)
    except Exception as error:
        print(f"{args.object}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    names = [name for name in SERIALIZERS if name in args.only]
    able, unable = _try(obj, names)
    print(
        f"{what}: {_describe(obj)}\n{platform.python_implementation()} "
        f"{platform.python_version()}, {os.cpu_count()} cores\n"
    )
    if able:
        if not args.no_memory:
            for each in able.values():
                each.peaks = (
                    peak_in_fork(partial(_same, obj), each.dumps),
                    peak_in_fork(partial(each.dumps, obj), each.loads),
                )
        was_on = gc.isenabled()
        if args.gc == "off":
            gc.disable()
        try:
            dumps = side_by_side({n: (s.dumps, obj) for n, s in able.items()}, args.seconds / 2)
            loads = side_by_side(
                {n: (s.loads, s.stream) for n, s in able.items()}, args.seconds / 2
            )
        finally:
            if was_on:
                gc.enable()
        print(_table(able, dumps, loads))
    for name, reason in unable.items():
        print(f"{name}: {reason}")
    if OURS in able:
        print(_stock(able[OURS].stream))
    return 1 if OURS in names and OURS not in able else 0


def find(text: str) -> tuple[Any, str]:
    """The object that `text` names, and a name for it.

    text: a pickle, a file that `ferropickle.save` wrote, or `module:expression`, where the
    expression is evaluated with the names of the module.

    Raises whatever loading, importing or evaluating raises, and ValueError for a text that is
    neither.
    """
    if os.path.isfile(text):
        with open(text, "rb") as file:
            if file.read(2) == b"PK":
                return ferropickle.load_file(text), text
            file.seek(0)
            return ferropickle.load(file), text
    module, colon, expression = text.partition(":")
    if not colon or not expression:
        raise ValueError("neither a file nor module:expression")
    return eval(expression, vars(import_module(module))), text


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ferropickle bench",
        description="Times, sizes and peak memory of serializers on one object, side by side.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("object", help="a pickle file, or module:expression")
    parser.add_argument(
        "--only", default=",".join(SERIALIZERS), metavar="A,B", help="of " + ", ".join(SERIALIZERS)
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="about how long to time (default: 10)"
    )
    parser.add_argument(
        "--gc", choices=("on", "off"), default="on", help="the cyclic collector (default: on)"
    )
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    args = parser.parse_args(arguments)
    args.only = [name.strip() for name in args.only.split(",")]
    for name in args.only:
        if name not in SERIALIZERS:
            parser.error(f"unknown serializer {name!r}; there are: {', '.join(SERIALIZERS)}")
    return args


def _try(obj: Any, names: list[str]) -> tuple[dict[str, Serializer], dict[str, str]]:
    """Each serializer once: those that can, and of the others the reason."""
    able: dict[str, Serializer] = {}
    unable: dict[str, str] = {}
    for name in names:
        try:
            module = import_module(name)
        except ImportError:
            unable[name] = "not installed"
            continue
        dumps = partial(module.dumps, protocol=5)
        try:
            stream = dumps(obj)
            module.loads(stream)
        except Exception as error:  # whatever a serializer raises is its answer
            first_line = str(error).strip().partition("\n")[0]
            unable[name] = f"{type(error).__name__}: {first_line}"
            continue
        able[name] = Serializer(dumps, module.loads, stream, _beside(dumps, obj))
    return able, unable


def _beside(dumps: Callable[..., bytes], obj: Any) -> tuple[int, int] | None:
    buffers: list[pickle.PickleBuffer] = []
    try:
        dumps(obj, buffer_callback=buffers.append)
        return len(buffers), sum(buffer.raw().nbytes for buffer in buffers)
    except Exception:  # it does not know the argument, or a buffer is not one block
        return None


def _same(obj: Any) -> Any:
    return obj


def _stock(stream: bytes) -> str:
    """Whether the standard library reads our stream."""
    try:
        pickle.loads(stream)
    except Exception as error:
        return f"The standard library does not load ferropickle's stream: {error}"
    return "The standard library's pickle.loads reads ferropickle's stream."


def _describe(obj: Any) -> str:
    kind = type(obj)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        return f"{name} of {len(obj):,}"
    except Exception:  # no length, or one that cannot be had
        return name


def _table(able: dict[str, Serializer], dumps: dict[str, Time], loads: dict[str, Time]) -> str:
    base = next(iter(able))
    buffers = any(each.beside and each.beside[0] for each in able.values())
    memory = any(peak is not None for each in able.values() for peak in each.peaks)
    rows = [["", "dumps", "loads", "bytes"]]
    rows[0] += ["buffers out of band"] * buffers + ["peak memory, dumps / loads"] * memory
    for name, each in able.items():
        row = [name, _time(dumps[name]), _time(loads[name]), f"{len(each.stream):,}"]
        if buffers:
            row.append(f"{each.beside[0]:,} of {each.beside[1]:,} B" if each.beside else "-")
        if memory:
            row.append(" / ".join("-" if p is None else f"{p / 1024:.1f} MiB" for p in each.peaks))
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * len(max(lines, key=len)))
    lines.append(
        f"\nIn brackets: time over that of {base}, under 1 is faster, ± half the width between "
        "the quartiles of its rounds."
    )
    return "\n".join(lines)


def _time(time: Time) -> str:
    return f"{_duration(time.seconds)} ({time.ratio:.2f} ±{50 * time.spread:.0f} %)"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"
