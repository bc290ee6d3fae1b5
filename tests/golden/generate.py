"""Makes the golden streams beside this file, with the standard library alone.

The files are frozen: what they hold must be readable for ever. Run this to add
one, under CPython 3.10; a stream that exists and comes out different is an
error, not an update.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pickle
import sys
import uuid
from collections import Counter, OrderedDict, deque
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).resolve().parent


def plain() -> object:
    """Every plain value, at the edges of the opcodes that can hold it."""
    ints = [0, 1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**63, -(2**63), 2**2100]
    floats = [0.0, -0.0, 1.5, float("inf"), float("-inf"), 1e308]
    texts = ["", "ascii", "\xe9", "\u20ac", "\U0001f600", "\ud800", "line\nbreak\\u0041", "x" * 300]
    return [None, True, False, ints, floats, texts, b"", b"\x00\xff", b"y" * 300]


def containers() -> object:
    """Containers of each size class, with 1001 items for two batches."""
    tuples = [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]
    return {"tuples": tuples, "many": list(range(1001)), "dict": dict.fromkeys("abc", ()), 1: [[]]}


def shared() -> object:
    """One list met three times, in a cycle with a dict."""
    inner: list[object] = ["inner"]
    outer = {"a": inner, "b": inner}
    inner.append(outer)
    return [inner, outer]


def many_shared() -> object:
    """More objects in the memo than one byte can count."""
    lists: list[object] = [[] for _ in range(260)]
    return [lists, lists[0], lists[-1]]


def library() -> object:
    """Instances of the standard library, by reduce, newobj and state."""
    zone = datetime.timezone(datetime.timedelta(hours=2), "two")
    return [
        datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=zone),
        datetime.date(1970, 1, 1),
        decimal.Decimal("3.14"),
        fractions.Fraction(1, 3),
        uuid.UUID(int=1),
        OrderedDict(b=1, a=2),
        Counter("abracadabra"),
        deque([1, 2], maxlen=3),
        PurePosixPath("/tmp/x"),
        complex(1, -2),
        range(3),
    ]


def frames() -> object:
    """Large payloads: several frames, and bytes that stand outside of them."""
    return [["x" * 1000] * 2, b"z" * 70_000, [f"item {i}" for i in range(6000)]]


def out_of_band() -> object:
    """Two buffers that are not in the stream, one of them read-only."""
    return [pickle.PickleBuffer(bytearray(b"rw")), pickle.PickleBuffer(b"ro")]


def streams() -> dict[str, bytes]:
    """Each file's name and content."""
    made = {f"plain_{proto}": pickle.dumps(plain(), proto) for proto in range(6)}
    made |= {f"shared_{proto}": pickle.dumps(shared(), proto) for proto in (0, 2, 4)}
    made["many_shared_1"] = pickle.dumps(many_shared(), 1)
    made["containers_0"] = pickle.dumps(containers(), 0)
    made["containers_4"] = pickle.dumps(containers(), 4)
    made["sets_4"] = pickle.dumps([{1}, frozenset(), frozenset([(2, 3)])], 4)
    made["bytearray_5"] = pickle.dumps([bytearray(b"abc"), bytearray()], 5)
    made["library_2"] = pickle.dumps(library(), 2)
    made["library_5"] = pickle.dumps(library(), 5)
    made["frames_4"] = pickle.dumps(frames(), 4)
    kept: list[pickle.PickleBuffer] = []
    made["out_of_band_5"] = pickle.dumps(out_of_band(), 5, buffer_callback=kept.append)
    return made


def main() -> None:
    if sys.version_info[:2] != (3, 10):
        sys.exit("golden streams are made by CPython 3.10")
    for name, stream in streams().items():
        path = FOLDER / f"{name}.pkl"
        if not path.exists():
            path.write_bytes(stream)
            print(f"{path.name}: {len(stream)} bytes")
        elif path.read_bytes() != stream:
            sys.exit(f"{path.name} exists and came out different; golden streams do not change")


if __name__ == "__main__":
    main()
