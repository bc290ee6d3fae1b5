"""Loads damaged streams with both engines, in an interpreter with little memory.

Run as ``python -m helpers.hostile_child MODE SEED COUNT``. Prints how many streams were tried and
exits with 0 if each gave a result or an exception that is allowed:

- where the standard library gives a result, ours gives the same;
- where it raises, ours raises UnpicklingError, EOFError or the same type, or gives a result;
- nothing else: no SystemError, no panic, no crash, no memory beyond the limit.
"""

import datetime
import faulthandler
import io
import pickle
import random
import resource
import sys
import warnings
from collections import OrderedDict

import ferropickle as fp
from helpers import shapes
from helpers.graph import Different, assert_same_graph

MEMORY = 600 << 20
ALLOWED = (pickle.UnpicklingError, EOFError, MemoryError)
SAFE = {
    ("collections", "OrderedDict"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("builtins", "complex"),
    ("builtins", "bytearray"),
    ("builtins", "set"),
    ("_codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("builtins", "object"),
    ("__builtin__", "object"),
    *((shapes.__name__, name) for name in ("Plain", "Slotted", "Reduced", "Point", "Keyed")),
}


class Restricted:
    def find_class(self, module, name):
        if (module, name) not in SAFE:
            raise pickle.UnpicklingError(f"{module}.{name} is not for this test")
        return super().find_class(module, name)

    def persistent_load(self, pid):
        return ("persistent", pid)


class Ours(Restricted, fp.Unpickler):
    pass


class Theirs(Restricted, pickle.Unpickler):
    pass


def corpus():
    shared = [1, "text", 2.5, None, True, b"bytes", 10**30]
    cyclic = {"shared": shared, "tuple": (shared, (), (1, 2, 3, 4))}
    cyclic["self"] = cyclic
    graph = [
        cyclic,
        {1, "x"},
        frozenset([2]),
        bytearray(b"abc"),
        shapes.Plain(a=shared, b=[cyclic]),
        shapes.Slotted(1, shared),
        shapes.Reduced("label"),
        OrderedDict(a=1),
        datetime.datetime(2024, 1, 2),
        shapes.Point(1, 2),
        "long text " * 30,
        "é漢\U0001f600",
        list(range(300)),
        1j,
    ]
    for protocol in range(6):
        usable = graph if protocol >= 2 else [x for x in graph if type(x) is not shapes.Slotted]
        yield pickle.dumps(usable, protocol)
        yield fp.dumps(usable, protocol)
    yield pickle.dumps(shared, 0)
    yield pickle.dumps(pickle.PickleBuffer(b"x"), 5, buffer_callback=lambda buffer: None)


def load(make, data, from_file):
    """The result or the exception of one load."""
    if from_file:
        data = io.BufferedReader(io.BytesIO(data), 64)
    else:
        data = io.BytesIO(data)
    try:
        return make(data, buffers=iter([b"one", bytearray(b"two")])).load(), None
    except Exception as exc:
        return None, exc


def compare(data, from_file):
    expected, theirs = load(Theirs, data, from_file)
    got, ours = load(Ours, data, from_file)
    if "end of frame" in str(ours):
        return  # of a frame cut short the C code drops bytes; the Python code refuses, as we do
    if theirs is None:
        if ours is not None:
            complain(data, f"ours raises {ours!r}; the standard library gives {expected!r:.200}")
        try:
            assert_same_graph(expected, got)
        except Different as exc:
            complain(data, str(exc))
    elif isinstance(theirs, MemoryError):
        if isinstance(ours, SystemError):
            complain(data, f"ours raises {ours!r}")
    elif ours is not None and not isinstance(ours, (*ALLOWED, type(theirs))):
        complain(data, f"ours raises {ours!r}, the standard library {theirs!r}")


def complain(data, text):
    print(f"{data[:2000]!r}\n{text}", flush=True)
    sys.exit(1)


def truncated(seed, count):
    for data in corpus():
        step = max(1, len(data) * 2 // count)
        for length in range(len(data) if step == 1 else 0):
            yield data[:length]
        for length in range(seed % step, len(data), step):
            yield data[:length]


def flipped(seed, count):
    chance = random.Random(seed)
    streams = list(corpus())
    for _ in range(count):
        data = bytearray(chance.choice(streams))
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        yield bytes(data)


def spliced(seed, count):
    chance = random.Random(seed)
    streams = list(corpus())
    for _ in range(count):
        one, two = chance.choice(streams), chance.choice(streams)
        cut = chance.randrange(len(one))
        data = one[:cut] + two[chance.randrange(len(two)) :]
        if chance.random() < 0.5:
            at = chance.randrange(len(data))
            data = data[:at] + data[at + chance.randrange(1, 9) :]
        yield data


def opcodes(seed, count):
    """Random sequences of opcodes, most with a fitting argument."""
    chance = random.Random(seed)
    plain = (
        b"NNNN)]}\x8f(((((ttdlsaue01.2\x85\x86\x87\x88\x89\x90\x91\x93\x94\x94\x81\x92bRQ\x97\x98o"
    )
    arguments = [b"K\x01", b"\x8c\x01a", b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"I1\n", b"F1.5\n"]
    arguments += [b"C\x01x", b"U\x01y", b"\x8a\x01\x05", b"G@\x00\x00\x00\x00\x00\x00\x00", b"g0\n"]
    arguments += [b"ccollections\nOrderedDict\n", b"p1\n", b"j\x02\x00\x00\x00", b"\x96" + bytes(8)]
    for _ in range(count):
        parts = [b"\x80\x05"] if chance.random() < 0.7 else []
        for _ in range(chance.randrange(1, 25)):
            if chance.random() < 0.5:
                parts.append(bytes([chance.choice(plain)]))
            else:
                parts.append(chance.choice(arguments))
        yield b"".join([*parts, b"."])


def noise(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.randbytes(chance.randrange(1, 60))


def main():
    faulthandler.enable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    mode, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tried = 0
    for data in globals()[mode](seed, count):
        compare(data, from_file=tried % 2)
        tried += 1
    print(tried)


if __name__ == "__main__":
    main()
