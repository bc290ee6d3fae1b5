"""Dicts on load: those whose keys were met before are copies of one, which nothing may tell."""

import collections
import gc
import io
import pickle
import sys

import pytest

import ferropickle as fp

LOADERS = {"bytes": fp.loads, "a file": lambda stream: fp.load(io.BytesIO(stream))}


class Text(str):
    """No exact str."""


KEYS = [f"key {n}" for n in range(80)]
ROWS = 20

SHAPES = {
    "three": lambda n: {"a": n, "b": None, "c": str(n)},
    "two": lambda n: {"a": n, "b": None},
    "containers": lambda n: {"a": [n], "b": {"x": n, "y": (n, []), "z": {}}, "c": (n,)},
    "none": lambda n: dict.fromkeys("abcdef"),
    "sixty-four": lambda n: dict.fromkeys(KEYS[:64], n),
    "eighty": lambda n: dict.fromkeys(KEYS, n),
    "one key of another type": lambda n: {"a": n, "b": n, 3: n, "d": n},
    "numbers": lambda n: {1: n, 2: n, 3: n, 4: n, 5: n, 6: n, 7: n},
    "a str of a subclass": lambda n: {"a": n, Text("b"): n, "c": n},
    "the same first key": lambda n: {"a": n, f"b{n % 2}": n, "c": n},
    "the same first key, never again": lambda n: {"a": n, f"b{n}": n, "c": n},
    "another order": lambda n: dict.fromkeys("abcd" if n % 3 else "acbd", n),
    "now one, now another": lambda n: dict.fromkeys("abcd" if n % 2 else "efgh", n),
    "subclasses": lambda n: collections.OrderedDict(a=n, b=n, c=n),
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("name", SHAPES)
def test_rows_of_one_shape(name, load):
    rows = [SHAPES[name](n) for n in range(ROWS)]
    for dump in (fp.dumps, pickle.dumps):
        back = load(dump(rows))
        assert back == rows
        assert [list(row) for row in back] == [list(row) for row in rows]
        assert [list(map(type, row)) for row in back] == [list(map(type, row)) for row in rows]


@pytest.mark.parametrize("name", SHAPES)
def test_they_are_the_size_that_stock_makes_them(name):
    stream = pickle.dumps([SHAPES[name](n) for n in range(ROWS)])
    sizes = [[sys.getsizeof(row) for row in loads(stream)] for loads in (fp.loads, pickle.loads)]
    if name == "numbers":
        assert max(sizes[0]) <= max(sizes[1])
    else:
        assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", ["three", "containers", "none", "sixty-four"])
def test_each_is_a_dict_of_its_own(name):
    make = SHAPES[name]
    back = fp.loads(fp.dumps([make(n) for n in range(ROWS)]))
    back[5]["new"] = 1
    first = next(iter(back[6]))
    del back[6][first]
    back[7].clear()
    back[8].update(dict.fromkeys(KEYS, 0))
    back[9][first] = "other"
    for n in (*range(5), *range(10, ROWS)):
        assert back[n] == make(n)
    expected = {**make(6)}
    del expected[first]
    assert back[5] == {**make(5), "new": 1}
    assert back[6] == expected
    assert back[7] == {}


class Counted:
    alive = 0

    def __init__(self):
        Counted.alive += 1

    def __reduce__(self):
        return Counted, ()

    def __del__(self):
        Counted.alive -= 1


def test_no_reference_is_lost():
    rows = [{"a": Counted(), "b": None, "c": None} for _ in range(ROWS)]
    stream = fp.dumps(rows)
    del rows
    for _ in range(50):
        back = fp.loads(stream)
        assert Counted.alive == ROWS
        del back
        assert Counted.alive == 0
    stream = fp.dumps([{"a": [], "b": None, "c": None} for _ in range(ROWS)])
    nones = sys.getrefcount(None)
    for _ in range(50):
        fp.loads(stream)
    assert abs(sys.getrefcount(None) - nones) < ROWS


def test_cycles_through_them_are_collected():
    rows = []
    for n in range(ROWS):
        row = {"n": n, "self": None, "text": str(n)}
        row["self"] = [row]
        rows.append(row)
    back = fp.loads(fp.dumps(rows))
    assert all(row["self"][0] is row for row in back)
    assert all(map(gc.is_tracked, back))
    gc.collect()
    del back
    # A dict and a list each, and what the interpreter counts besides.
    assert gc.collect() >= 2 * ROWS


def test_keys_twice():
    # A stream may say a key twice: the last value holds.
    row = b"}(\x8c\x01aK\x01\x8c\x01bK\x02\x8c\x01aK\x03u"
    memoized = b"}(h\x01K\x01h\x02K\x02h\x01K\x03u"
    stream = b"\x80\x04]\x94(\x8c\x01a\x94\x8c\x01b\x9400" + row + memoized * 5 + b"e."
    expected = pickle.loads(stream)
    assert expected[-1] == {"a": 3, "b": 2}
    assert fp.loads(stream) == expected


def test_an_unpickler_that_goes_on():
    rows = [{"a": n, "b": [n], "c": str(n)} for n in range(ROWS)]
    file = io.BytesIO()
    pickler = fp.Pickler(file)
    for row in rows:
        pickler.dump(row)
    unpickler = fp.Unpickler(io.BytesIO(file.getvalue()))
    assert [unpickler.load() for _ in rows] == rows
