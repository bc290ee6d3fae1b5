"""Plain instances on load: attributes are put where instances keep them, which nothing may tell."""

import gc
import pickle
import sys

import pytest

import ferropickle as fp

COUNT = 20


class Three:
    def __init__(self, n):
        self.first = n
        self.second = str(n)
        self.third = [n]


class Many:
    """More attributes than instances hold without a dict."""

    def __init__(self, n):
        for at in range(40):
            setattr(self, f"attribute_{at}", n)


class Some:
    """Other attributes, in other orders."""

    def __init__(self, n):
        names = ["a", "b", "c", "d", "e"]
        for at in range(n % 6):
            setattr(self, names[(at * (n % 3 + 1)) % 5], n)


class Deleted:
    def __init__(self, n):
        self.a, self.b, self.c, self.d = n, n, n, n
        del self.b
        self.b = -n


class Base:
    __slots__ = ("slot",)


class Both(Base):
    def __init__(self, n):
        self.a = n
        self.b = n


class Weak:
    __slots__ = ("__dict__", "__weakref__")

    def __init__(self, n):
        self.a = n
        self.b = n


class Derived(Three):
    def __init__(self, n):
        super().__init__(n)
        self.fourth = Three(n)


class Shadowing:
    """A data descriptor takes no part in loading."""

    def __init__(self, n):
        self.__dict__.update(a=n, b=n, c=n)

    @property
    def b(self):
        return "property"


class Defaults:
    a = b = c = "of the class"

    def __init__(self, n):
        self.a = n
        self.c = n


CLASSES = [Three, Many, Some, Deleted, Both, Weak, Derived, Shadowing, Defaults]


def state(obj):
    if isinstance(obj, Three):
        return {**vars(obj), "fourth": vars(vars(obj).get("fourth", Some(0)))}
    return vars(obj)


@pytest.mark.parametrize("cls", CLASSES)
def test_attributes_and_their_order(cls):
    objects = [cls(n) for n in range(COUNT)]
    for dump in (fp.dumps, pickle.dumps):
        back = fp.loads(dump(objects))
        assert [type(obj) for obj in back] == [cls] * COUNT
        assert list(map(state, back)) == list(map(state, objects))
        assert [list(vars(obj)) for obj in back] == [list(vars(obj)) for obj in objects]
        # Once more, now that they have been looked at.
        assert list(map(state, fp.loads(fp.dumps(back)))) == list(map(state, objects))


def test_classes_by_turns():
    objects = [CLASSES[n % len(CLASSES)](n) for n in range(9 * COUNT)]
    back = fp.loads(fp.dumps(objects))
    assert [type(obj) for obj in back] == [type(obj) for obj in objects]
    assert list(map(state, back)) == list(map(state, objects))


def test_they_live_on():
    for obj in fp.loads(fp.dumps([Three(n) for n in range(COUNT)])):
        n = obj.first
        obj.first += 1
        obj.fourth = "new"
        del obj.second
        obj.second = "again"
        assert list(vars(obj).items()) == [
            ("first", n + 1),
            ("third", [n]),
            ("fourth", "new"),
            ("second", "again"),
        ]
        obj.__dict__ = {"other": 1}
        assert vars(obj) == {"other": 1}


def test_no_reference_is_lost():
    value = object()
    names = [sys.getrefcount(sys.intern(name)) for name in ("first", "second")]

    class Given(fp.Unpickler):
        def persistent_load(self, number):
            return value

    class Giving(fp.Pickler):
        def persistent_id(self, obj):
            return 1 if obj is value else None

    import io

    file = io.BytesIO()
    objects = [Three(n) for n in range(COUNT)]
    for obj in objects:
        obj.first = obj.second = value
    Giving(file).dump(objects)
    del objects, obj
    references = sys.getrefcount(value)
    for _ in range(50):
        back = Given(io.BytesIO(file.getvalue())).load()
        assert sys.getrefcount(value) == references + 2 * COUNT
        del back
    assert sys.getrefcount(value) == references
    after = [sys.getrefcount(sys.intern(name)) for name in ("first", "second")]
    assert all(abs(a - b) < COUNT for a, b in zip(names, after, strict=True))


def test_cycles_through_them_are_collected():
    objects = [Three(n) for n in range(COUNT)]
    for obj in objects:
        obj.third = [obj]
    back = fp.loads(fp.dumps(objects))
    assert all(obj.third[0] is obj for obj in back)
    gc.collect()
    del back
    assert gc.collect() >= COUNT


def test_a_name_twice():
    # A stream may say a name twice: the last value holds.
    stream = (
        b"\x80\x04]\x94(\x8c"
        + bytes([len(__name__)])
        + __name__.encode()
        + b"\x8c\x05Three\x93\x94"
        b")\x81}(\x8c\x05firstK\x01\x8c\x06secondK\x02\x8c\x05firstK\x03ub"
        b"h\x01)\x81}(\x8c\x05firstK\x01\x8c\x06secondK\x02\x8c\x05firstK\x03ube."
    )
    expected = [{"first": 3, "second": 2}] * 2
    assert [vars(obj) for obj in pickle.loads(stream)] == expected
    assert [vars(obj) for obj in fp.loads(stream)] == expected


def test_a_state_that_comes_in_parts():
    class_ = b"\x8c" + bytes([len(__name__)]) + __name__.encode() + b"\x8c\x05Three\x93"
    parts = b"}\x8c\x05firstK\x01sb}(\x8c\x06secondK\x02\x8c\x05thirdK\x03ub"
    stream = b"\x80\x04" + class_ + b")\x81" + parts + b"."
    assert vars(fp.loads(stream)) == {"first": 1, "second": 2, "third": 3}
