"""Known types are made without the calls that a stream names, and are what plain pickle makes.

What belongs here: streams written by hand and classes that somebody changed, on the way in.
The way out: test_known_reduces.py; slots of any class: test_instances.py.
"""

import collections
import io
import pathlib
import pickle
import sys
import typing
import uuid

import pytest

import ferropickle as fp
from helpers.crossing import assert_loads_fail_alike

Posix = pathlib.PurePosixPath
Pair = collections.namedtuple("Pair", "a b")
Nothing = collections.namedtuple("Nothing", "")
Defaults = collections.namedtuple("Defaults", "a b", defaults=[7])


class Typed(typing.NamedTuple):
    a: int
    b: str = "b"


class WithDict(Pair):
    pass


class Doubles(Pair):
    __slots__ = ()

    def __new__(cls, a, b):
        return super().__new__(cls, a * 2, b * 2)


def name(function):
    """Opcodes that push what is found by name."""
    module, qualname = function.__module__.encode(), function.__qualname__.encode()
    return (
        b"\x8c"
        + bytes([len(module)])
        + module
        + b"\x8c"
        + bytes([len(qualname)])
        + qualname
        + b"\x93"
    )


def text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data


def call(function, *args, op=b"R"):
    """A stream of one call, with no memo entries: NEWOBJ with op b"\\x81"."""
    ends = {1: b"\x85", 2: b"\x86", 3: b"\x87"}
    items = b"".join(args)
    made = items + ends[len(args)] if len(args) in ends else b"(" + items + b"t"
    return b"\x80\x04" + name(function) + made + op + b"."


def both(stream):
    """What ferropickle makes of a stream, and what plain pickle does; read from a file as well."""
    found = [fp.loads(stream), fp.load(io.BytesIO(stream)), pickle.loads(stream)]
    assert type(found[0]) is type(found[1]) is type(found[2])
    return found[0], found[2]


@pytest.mark.parametrize(
    "value",
    [Pair(1, [2]), Nothing(), Defaults(1), Typed(1), Typed(2, "c"), WithDict(1, 2), Doubles(1, 2)],
    ids=repr,
)
def test_named_tuples(value):
    for back in both(fp.dumps([value, [value]])):
        assert back[0] is back[1][0] or not value
    back = both(fp.dumps(value))
    assert back[0] == back[1]
    assert hash(fp.loads(fp.dumps(Pair(1, 2)))) == hash((1, 2))


@pytest.mark.parametrize(
    "stream",
    [
        call(Pair, b"K\x01", op=b"\x81"),
        call(Pair, b"K\x01", b"K\x02", b"K\x03", op=b"\x81"),
        call(Typed, b"K\x01", b"K\x02", b"K\x03", op=b"\x81"),
    ],
)
def test_named_tuples_with_other_arguments_fail_as_ever(stream):
    assert_loads_fail_alike(stream)


@pytest.mark.parametrize(
    "stream",
    [
        call(Defaults, b"K\x01", op=b"\x81"),
        call(Typed, b"K\x01", op=b"\x81"),
        call(Pair, b"K\x01", b"K\x02", op=b"R"),
        call(Doubles, b"K\x01", b"K\x02", op=b"\x81"),
    ],
)
def test_named_tuples_made_in_other_ways(stream):
    ours, stock = both(stream)
    assert ours == stock


def test_the_new_of_a_named_tuple_may_be_another(monkeypatch):
    stream = call(Pair, b"K\x01", b"K\x02", op=b"\x81")
    assert fp.loads(stream) == (1, 2)
    monkeypatch.setattr(Pair, "__new__", lambda cls, a, b: ("other", a, b))
    assert fp.loads(stream) == pickle.loads(stream) == ("other", 1, 2)


def test_code_of_the_new_of_a_named_tuple_may_be_another():
    other = collections.namedtuple("Changed", "a b")
    other.__qualname__ = "Changed"
    changed = sys.modules[__name__].__dict__
    changed["Changed"] = other
    try:
        other.__new__.__code__ = (lambda _cls, a, b: _tuple_new(_cls, (b, a))).__code__  # noqa: F821
        stream = call(other, b"K\x01", b"K\x02", op=b"\x81")
        assert fp.loads(stream) == pickle.loads(stream) == (2, 1)
    finally:
        del changed["Changed"]


UUIDS = [uuid.UUID(int=7), uuid.uuid4(), uuid.UUID(int=9, is_safe=uuid.SafeUUID.safe)]


@pytest.mark.parametrize("value", UUIDS, ids=lambda value: value.is_safe.name)
def test_uuids(value):
    for back in both(fp.dumps([value, [value]])):
        assert back[0] is back[1][0]
        assert (back[0], back[0].is_safe) == (value, value.is_safe)
        assert hash(back[0]) == hash(value)
        with pytest.raises(TypeError, match="immutable"):
            back[0].int = 1


def state(*pairs):
    """A stream of a UUID whose state has these pairs, each two opcodes."""
    return b"\x80\x04" + name(uuid.UUID) + b")\x81}(" + b"".join(pairs) + b"ub."


@pytest.mark.parametrize(
    "stream",
    [
        state(text("int"), b"K\x07", text("is_safe"), b"K\x00"),
        state(text("int"), b"K\x07", text("more"), b"K\x00"),
        state(text("int"), b"K\x07", text("int"), b"K\x08"),
        state(text("int"), text("no number")),
        state(text("int"), b"K\x07")[:-1] + b"}(" + text("int") + b"K\x08ub.",
    ],
)
def test_uuids_of_any_state(stream):
    ours, stock = both(stream)
    assert (ours.int, ours.is_safe) == (stock.int, stock.is_safe)


@pytest.mark.parametrize(
    "stream", [state(text("other"), b"K\x07"), state(b"K\x01", b"K\x07"), state()]
)
def test_uuids_without_a_number_fail_as_ever(stream):
    assert_loads_fail_alike(stream)


def test_a_patched_setstate_of_uuids_is_called(monkeypatch):
    stream = fp.dumps(UUIDS[0])
    assert fp.loads(stream) == UUIDS[0]
    seen = []
    monkeypatch.setattr(uuid.UUID, "__setstate__", lambda self, state: seen.append(state))
    fp.loads(stream)
    assert seen == [{"int": 7}]


PARTS = [
    ["/", "usr", "lib"],
    ["/"],
    ["a"],
    ["a", "b", "c", "d"],
    ["//", "a"],
    ["a/b", "c"],
    ["a", "/", "b"],
    ["a", "/b"],
    ["a", "", "b"],
    [".", "a"],
    ["a", ".", "b"],
    ["..", "a"],
    ["\xe9", "\u65e5", "\udc80"],
    ["\xe9/\u65e5", "a"],
    ["a\x00b"],
]


@pytest.mark.parametrize("parts", PARTS, ids=repr)
@pytest.mark.parametrize(
    "kind", [pathlib.PurePosixPath, pathlib.PureWindowsPath, type(pathlib.Path())]
)
def test_paths_of_any_parts(kind, parts):
    ours, stock = both(call(kind, *map(text, parts)))
    assert ours == stock == kind(*parts)
    assert hash(ours) == hash(stock)
    for about in ("drive", "root", "parts", "name", "parent"):
        assert getattr(ours, about) == getattr(stock, about)
    assert ours / "more" == stock / "more"
    assert repr(ours) == repr(stock)
    if sys.version_info < (3, 12):
        assert all(sys.intern(part) is part for part in ours.parts if part != ours.anchor)


@pytest.mark.parametrize("argument", [b"K\x01", b"N", b"C\x01a"])
def test_paths_of_what_is_no_text_fail_as_ever(argument):
    assert_loads_fail_alike(call(Posix, text("a"), argument))


@pytest.mark.parametrize("method", ["_from_parts", "_parse_args"])
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="paths have other methods from 3.12 on")
def test_patched_paths_are_made_as_the_patch_says(method, monkeypatch):
    stream = call(Posix, text("a"), text("b"))
    assert fp.loads(stream) == Posix("a/b")
    seen = []
    real = getattr(Posix, method).__func__

    def patched(cls, args):
        seen.append(list(args))
        return real(cls, args)

    monkeypatch.setattr(Posix, method, classmethod(patched))
    fp.loads(stream)
    assert seen == [["a", "b"]]


def test_many_classes_in_turn():
    classes = [collections.namedtuple(f"C{i}", "a b") for i in range(100)]
    here = sys.modules[__name__].__dict__
    for i, cls in enumerate(classes):
        cls.__qualname__ = f"C{i}"
        here[f"C{i}"] = cls
    try:
        values = [cls(i, [i]) for i in range(3) for cls in classes] + UUIDS
        back = fp.loads(fp.dumps(values))
        assert back == values
        assert [type(value) for value in back] == [type(value) for value in values]
    finally:
        for i in range(100):
            del here[f"C{i}"]
