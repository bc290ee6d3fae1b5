"""Many rounds of everything, errors too: nothing is left behind.

What belongs here: one line per way through the engine, counted by helpers/leaks.py.
"""

import datetime
import decimal
import io
import pathlib
import pickle
import uuid

import pytest

import ferropickle as fp
from helpers import shapes
from helpers.leaks import assert_no_growth, assert_resident_stays, resident_bytes
from helpers.shapes import Color, FailsInSetstate, Plain, Raises, Returns


def graph():
    shared = [1, "text", 2.5, b"bytes", 10**30]
    cyclic = {"shared": shared, "tuple": (shared, 1)}
    cyclic["self"] = cyclic
    recursive = []
    recursive.append((recursive,))
    return [
        cyclic,
        recursive,
        {1, "x"},
        frozenset([2]),
        bytearray(b"abc"),
        Plain(a=shared),
        shapes.Slotted(shared),
        shapes.SlottedChild(1, 2, 3, x=shared),
        shapes.Reduced("r"),
        shapes.WithState(shared),
        shapes.Record("r", shared),
        shapes.NewArgsEx(1, key=2),
        shapes.SetterState(),
        shapes.Point(1, shared),
        shapes.DictChild(a=1),
        shapes.ListChild([1]),
        shapes.StrChild("x"),
        Color.RED,
        datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
        datetime.timedelta(1),
        decimal.Decimal("1.5"),
        uuid.UUID(int=5),
        pathlib.Path("a/b"),
        len,
        Plain,
        shapes.Outer.Inner.Core,
        1j,
        range(3),
    ]


GRAPH = graph()


def fails(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception:
        return
    raise AssertionError("nothing raised")


def everything_once(protocol):
    usable = [item for item in GRAPH if protocol >= 2 or not hasattr(type(item), "__slots__")]
    usable = [item for item in usable if protocol >= 2 or type(item) is not shapes.NewArgsEx]
    data = fp.dumps(usable, protocol)
    fp.loads(data)
    fp.loads(pickle.dumps(usable, protocol))
    out = io.BytesIO()
    fp.dump(usable, out, protocol)
    fp.load(io.BytesIO(data))


@pytest.mark.parametrize("number", [0, 2, 5])
def test_round_trips(number):
    assert_no_growth(lambda: everything_once(number), rounds=60)


def test_pickler_and_unpickler_objects():
    class Own(fp.Pickler):
        dispatch_table = {Plain: lambda obj: (dict, ())}

        def persistent_id(self, obj):
            return "pid" if obj is len else None

        def reducer_override(self, obj):
            return (list, ()) if type(obj) is shapes.Reduced else NotImplemented

    class OwnUnpickler(fp.Unpickler):
        def persistent_load(self, pid):
            return len

        def find_class(self, module, name):
            return super().find_class(module, name)

    def call():
        out = io.BytesIO()
        pickler = Own(out)
        pickler.dump(GRAPH)
        pickler.dump(GRAPH[0])
        pickler.memo = pickler.memo.copy()
        pickler.clear_memo()
        unpickler = OwnUnpickler(io.BytesIO(out.getvalue()))
        unpickler.load()
        unpickler.load()
        unpickler.memo = unpickler.memo.copy()

    assert_no_growth(call, rounds=60)


def test_buffers_out_of_band():
    def call():
        buffers = []
        value = [pickle.PickleBuffer(b"x" * 100), pickle.PickleBuffer(bytearray(100))]
        data = fp.dumps(value, buffer_callback=buffers.append)
        fp.loads(data, buffers=buffers)
        fails(fp.loads, data, buffers=buffers[:1])
        fails(fp.loads, data)
        fails(fp.dumps, value, buffer_callback=lambda buffer: 1 / 0)
        fp.loads(fp.dumps(value))

    assert_no_growth(call)


def test_dumps_that_fail():
    refused = iter(memoryview(b""))

    def call():
        fails(fp.dumps, [GRAPH, refused])
        fails(fp.dumps, {"a": [Plain(x=(1, [refused]))]})
        fails(fp.dumps, [GRAPH, Raises(ZeroDivisionError("x"))])
        fails(fp.dumps, [[1], Returns(5)])
        fails(fp.dumps, [[1], Returns((Plain, []))])
        fails(fp.dumps, [[1], Returns("nowhere")])
        fails(fp.dumps, [[1], Returns(lambda: (dict, (), None, None, iter([1])))])
        fails(fp.dumps, {frozenset([refused]): 1})
        fails(fp.dumps, [], 99)
        fails(fp.dumps, [], "x")
        fails(fp.dump, GRAPH, FailsOnWrite())
        fails(fp.dump, GRAPH, 5)

    assert_no_growth(call)


class FailsOnWrite:
    def write(self, chunk):
        raise OSError("no")


STREAM = fp.dumps(GRAPH)


def test_loads_that_fail():
    setstate = fp.dumps([GRAPH, FailsInSetstate()])
    rebuild = fp.dumps([GRAPH, Returns((shapes.fail_when_loaded, (1,)))])

    def call():
        fails(fp.loads, setstate)
        fails(fp.loads, rebuild)
        fails(fp.loads, b"\x80\x05]\x94(K\x01}\x94\xff.")
        fails(fp.loads, b"cno_such_module_anywhere\nname\n.")
        fails(fp.loads, b"\x80\x05}\x94(]Nu.")
        fails(fp.loads, b"\x80\x05" + b"(]" * 50 + b"K\x01K\x02\x93.")
        fails(fp.loads, "text")
        fails(fp.load, io.BytesIO(b""))
        fails(fp.load, io.BytesIO(STREAM[:-3]))
        for length in range(0, len(STREAM), 37):
            fails(fp.loads, STREAM[:length])

    assert_no_growth(call, rounds=60)


def test_damaged_streams_leave_nothing():
    damaged = []
    for place in range(2, len(STREAM), 11):
        data = bytearray(STREAM)
        data[place] ^= 0x41
        try:
            fp.loads(bytes(data))
        except Exception:
            damaged.append(bytes(data))

    def call():
        for data in damaged:
            fails(fp.loads, data)

    assert damaged
    assert_no_growth(call, rounds=40)


def test_policies():
    def call():
        policy = fp.Policy(gc="keep")
        fp.loads(fp.dumps([1], policy=policy), policy=policy)
        with fp.policy(gc="pause"):
            fp.dumps([1])
        fails(fp.Policy, gc="never")
        fails(fp.dumps, [], policy=5)

    assert_no_growth(call)


def test_classes_that_come_and_go():
    """What is remembered about a class must not keep it alive."""

    def call():
        made = type("Made", (), {"__module__": __name__})
        globals()["Made"] = made
        value = made()
        value.x = 1
        fp.loads(fp.dumps([value, made]))
        del globals()["Made"]

    assert_no_growth(call, rounds=300)


def test_large_data_and_files(tmp_path):
    if resource_unknown():
        pytest.skip("this system does not tell resident memory")
    value = [["x" * 1000, b"y" * 100_000, bytearray(100_000)] for _ in range(20)]
    broken = fp.dumps(value)[:-50]

    def call():
        fp.loads(fp.dumps(value))
        with open(tmp_path / "file", "wb") as file:
            fp.dump(value, file)
        with open(tmp_path / "file", "rb") as file:
            fp.load(file)
        fails(fp.loads, broken)
        fails(fp.dumps, [value, iter(memoryview(b""))])

    assert_resident_stays(call, rounds=40, allowance=24 << 20)


def resource_unknown():
    return resident_bytes() is None
