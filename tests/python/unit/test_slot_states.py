"""BUILD with the state of slots: set where they lie, to the same end as by ``setattr``."""

import gc
import io
import pickle
import weakref

import pytest

import ferropickle as fp
from helpers.crossing import assert_fails_alike, assert_loads_fail_alike


class Slotted:
    __slots__ = ("a", "b")


class More(Slotted):
    __slots__ = ("c",)


class WithDict(Slotted):
    pass


class Setting(Slotted):
    __slots__ = ()

    def __setattr__(self, name, value):
        object.__setattr__(self, name, ("set", value))


class Shadowing(Slotted):
    __slots__ = ("seen",)

    @property
    def a(self):
        return "a property"

    @a.setter
    def a(self, value):
        self.seen = value


class Stateful(Slotted):
    __slots__ = ()

    def __setstate__(self, state):
        self.a, self.b = "state", state


class Filled(Slotted):
    __slots__ = ()

    def __new__(cls):
        self = object.__new__(cls)
        self.a = Filled.before
        return self


class Before:
    def __init__(self):
        Filled.before = self


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def stream(cls, *pairs, rest=b"N"):
    """A stream of an instance with the state ``(rest, {pairs})``; a pair is two opcodes."""
    module = cls.__module__
    head = b"\x80\x04" + text(module) + text(cls.__name__) + b"\x93)\x81"
    return head + rest + b"}(" + b"".join(pairs) + b"u\x86b."


def slots(obj):
    """What is set, slots and dict."""
    names = ("a", "b", "c", "seen")
    found = {name: getattr(obj, name) for name in names if hasattr(obj, name)}
    return type(obj), found, getattr(obj, "__dict__", None)


A, B, C = (text("a"), b"K\x01"), (text("b"), b"K\x02"), (text("c"), b"K\x03")


@pytest.mark.parametrize("cls", [Slotted, WithDict, Setting, Shadowing, Stateful])
@pytest.mark.parametrize("pairs", [A, B, A + B, B + A, A + B + A, ()], ids=str)
def test_states_of_slots(cls, pairs):
    data = stream(cls, *pairs)
    expected = slots(pickle.loads(data))
    assert slots(fp.loads(data)) == expected
    assert slots(fp.load(io.BytesIO(data))) == expected


def test_instances_by_turns():
    """Others set more, fewer, other slots, in another order."""
    states = [A + B, B + A, A + B + C, C, A, (), C + A, A + B]
    body = b"".join(stream(More, *pairs)[2:-1] for pairs in states)
    data = b"\x80\x04](" + body + b"e."
    assert list(map(slots, fp.loads(data))) == list(map(slots, pickle.loads(data)))


@pytest.mark.parametrize("rest", [b"N", b"}", b"}(" + text("d") + b"K\x04u"])
def test_the_rest_of_the_state(rest):
    data = stream(WithDict, *A, rest=rest)
    assert slots(fp.loads(data)) == slots(pickle.loads(data))


@pytest.mark.parametrize(
    "pairs", [(text("no_slot"), b"K\x01"), (*A, b"K\x01", b"K\x02"), (b"C\x01a", b"K\x01")]
)
def test_what_is_no_slot_fails_as_ever(pairs):
    assert_loads_fail_alike(stream(Slotted, *pairs))


def test_a_name_that_is_no_slot_goes_to_the_dict():
    data = stream(WithDict, *A, text("no_slot"), b"K\x05")
    assert slots(fp.loads(data)) == slots(pickle.loads(data))


def test_what_was_in_the_slot_is_let_go():
    gone = weakref.ref(Before())
    back = fp.loads(stream(Filled, *A))
    del Filled.before
    gc.collect()
    assert (back.a, gone()) == (1, None)


def test_references_are_kept_right():
    made = [Slotted() for _ in range(3)]
    shared = [1]
    for one in made:
        one.a, one.b = shared, one
    back = fp.loads(fp.dumps(made))
    assert all(one.a is back[0].a and one.b is one for one in back)
    gone = weakref.ref(WithDict())
    assert gone() is None
    holder = WithDict()
    holder.a = holder
    gone = weakref.ref(fp.loads(fp.dumps(holder)))
    gc.collect()
    assert gone() is None


def test_a_class_that_changes_between_loads(monkeypatch):
    data = stream(Slotted, *A)
    assert fp.loads(data).a == 1
    monkeypatch.setattr(
        Slotted, "__setattr__", lambda self, name, value: object.__setattr__(self, name, [value])
    )
    assert fp.loads(data).a == pickle.loads(data).a == [1]


class Large:
    __slots__ = ("a", "b", "c", "d", "e", "f", "g", "h")


class Borrowing:
    """Has a name for a place that its instances do not have."""

    __slots__ = ("own",)
    far = Large.h


class Replaced:
    __slots__ = ("own",)


def test_a_slot_of_another_class_is_refused():
    assert_loads_fail_alike(stream(Borrowing, text("far"), b"K\x01"))


def test_a_slot_of_another_class_is_not_read(monkeypatch):
    obj = Replaced()
    monkeypatch.setattr(Replaced, "own", Large.h)
    assert_fails_alike(lambda: obj)


def test_an_object_below_a_mark_is_not_built():
    """BUILD right after SETITEM, whose dict lies above the mark and whose object below."""
    head = b"\x80\x04" + text(Attributed.__module__) + text("Attributed") + b"\x93)\x81"
    assert_loads_fail_alike(head + b"(}" + text("x") + b"K\x01sb0.")


class Attributed:
    pass
