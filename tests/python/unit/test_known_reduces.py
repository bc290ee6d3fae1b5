"""Types of the standard library whose reduce values are known, and a user's changes to them.

What belongs here: dates and times, UUID, Decimal, Fraction, paths, enums. Whoever changes how such
a type is reduced (``copyreg``, a dispatch table, a subclass, a patched method) is obeyed.
NumPy: test_numpy.py.
"""

import copyreg
import datetime as dt
import decimal
import enum
import fractions
import io
import ipaddress
import pathlib
import pickle
import struct
import sys
import uuid
import zoneinfo
from decimal import Decimal

import pytest

import ferropickle as fp
from ferropickle.compat import pickle as compat
from helpers.crossing import assert_fails_alike, cross, cross_as_stdlib
from helpers.shapes import Access, Color, Level

UTC = dt.timezone.utc
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
TIMES = [
    dt.date(1, 1, 1),
    dt.date.max,
    dt.datetime(2024, 2, 29, 23, 59, 59, 999999),
    dt.datetime(2024, 10, 27, 2, 30, fold=1),
    dt.datetime(2024, 1, 1, tzinfo=UTC),
    dt.datetime(2024, 1, 1, 1, 2, 3, 4, INDIA, fold=1),
    dt.time(),
    dt.time(1, 2, 3, 4, fold=1),
    dt.time(1, tzinfo=UTC),
    dt.timedelta(),
    dt.timedelta(-999999999),
    dt.timedelta(1, 2, 3),
    dt.timedelta(microseconds=-1),
    UTC,
    INDIA,
    dt.timezone(dt.timedelta(seconds=-1)),
    dt.timezone(dt.timedelta(0)),
    dt.timezone(dt.timedelta(0), "zero"),
]


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_dates_and_times(value, protocol):
    back = cross_as_stdlib([value, value], protocol)  # fold is lost below protocol 4
    assert back[0] is back[1]
    assert type(back[0]) is type(value)
    assert back[0] == value
    if protocol >= 4:
        assert back[0].__reduce_ex__(4) == value.__reduce_ex__(4)


def test_shared_time_zones_stay_shared(protocol):
    own = dt.timezone(dt.timedelta(hours=1), "own")
    values = [dt.datetime(2024, 1, i, tzinfo=own) for i in range(1, 4)] + [own]
    back = cross(values, protocol)
    assert back[0].tzinfo is back[1].tzinfo is back[3]


def test_zoneinfo(protocol):
    try:
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no time zone data on this machine")
    value = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
    back = fp.loads(fp.dumps([value, zone], protocol))
    assert back[0].tzinfo is zone
    assert back[1] is zone
    assert back[0].fold == (protocol >= 4)
    assert pickle.loads(fp.dumps(value, protocol)).utcoffset() == back[0].utcoffset()


class Zone(dt.tzinfo):
    def __init__(self, hours=0):
        self.hours = hours

    def utcoffset(self, moment):
        return dt.timedelta(hours=self.hours)

    def dst(self, moment):
        return None

    def tzname(self, moment):
        return f"+{self.hours}"


def test_tzinfo_of_ones_own(protocol):
    zone = Zone(3)
    back = cross([dt.datetime(2024, 1, 1, tzinfo=zone), dt.time(1, tzinfo=zone), zone], protocol)
    assert back[0].tzinfo is back[1].tzinfo is back[2]
    assert back[2].hours == 3


class Day(dt.date):
    pass


class Moment(dt.datetime):
    label = None


class Span(dt.timedelta):
    pass


@pytest.mark.parametrize(
    "value", [Day(2024, 1, 2), Moment(2024, 1, 2, 3, tzinfo=UTC), Span(1, 2, 3)], ids=repr
)
def test_subclasses_of_dates(value, protocol):
    value.label = "kept?"
    back = cross_as_stdlib(value, protocol)
    assert type(back) is type(value)
    assert back == value


IDS = [
    uuid.UUID(int=0),
    uuid.UUID("12345678123456781234567812345678"),
    uuid.UUID(int=2**128 - 1, is_safe=uuid.SafeUUID.safe),
    uuid.UUID(int=5, is_safe=uuid.SafeUUID.unsafe),
    uuid.UUID(int=6, is_safe=uuid.SafeUUID.unknown),
]


@pytest.mark.parametrize("value", IDS, ids=repr)
def test_uuids(value, protocol):
    back = cross([value, value], protocol)
    assert back[0] is back[1]
    assert back[0].is_safe is value.is_safe
    assert hash(back[0]) == hash(value)


class OwnUUID(uuid.UUID):
    pass


def test_uuid_subclass(protocol):
    back = cross_as_stdlib(OwnUUID(int=7), protocol)
    assert type(back) is OwnUUID
    assert back.int == 7


DECIMALS = ["0", "-0", "0E+3", "1.10", "-123456789012345678901234567890.000", "1E-999999"]
DECIMALS += ["NaN", "-NaN123", "sNaN", "-sNaN45", "Infinity", "-Infinity"]


class Money(Decimal):
    def __new__(cls, value, currency="EUR"):
        self = super().__new__(cls, value)
        self.currency = currency
        return self


@pytest.mark.parametrize("text", DECIMALS)
def test_decimals(text, protocol):
    value = Decimal(text)
    back = cross([value, value], protocol)
    assert back[0] is back[1]
    assert back[0].as_tuple() == value.as_tuple()
    assert type(cross_as_stdlib(Money(text), protocol)) is Money


def test_decimals_that_are_shared_and_long_ones_to_a_file(protocol):
    shared, long = Decimal("1.50"), Decimal("7" * 70_000)
    back = cross([shared, long, [shared], Decimal("-0"), shared, long], protocol)
    assert back[0] is back[2][0] is back[4]
    assert back[1] is back[5]
    out = io.BytesIO()
    fp.dump([shared, long, shared], out, protocol)
    assert pickle.loads(out.getvalue()) == [shared, long, shared]


def test_decimal_context_plays_no_part(protocol):
    with decimal.localcontext() as context:
        context.prec = 2
        context.traps[decimal.Inexact] = True
        cross(Decimal("3.14159265358979"), protocol)


def assert_equal(left, right):
    assert left == right
    assert right[0] is right[1]


@pytest.mark.parametrize(
    "value",
    [fractions.Fraction(-1, 3), ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8")],
    ids=repr,
)
def test_other_numbers_and_addresses(value, protocol):
    assert cross([value, value], protocol, same=assert_equal) == [value] * 2


PATHS = ["", ".", "/", "//", "relative/path", "/absolute/../path", "naïve/漢字", "a//b/./c/"]


@pytest.mark.parametrize("kind", ["Path", "PurePath", "PurePosixPath", "PureWindowsPath"])
@pytest.mark.parametrize("text", [*PATHS, "c:\\dir\\file", "bad\udcff"])
def test_paths(kind, text, protocol):
    value = getattr(pathlib, kind)(text)
    str(value)
    back = cross([value, value], protocol)
    assert back[0] is back[1]
    assert back[0].parts == value.parts
    assert str(back[0]) == str(value)


class OwnPath(type(pathlib.Path())):
    pass


def test_path_subclass(protocol):
    assert type(cross(OwnPath("a/b"), protocol)) is OwnPath


class Planet(enum.Enum):
    MERCURY = (3.303e23, 2.4397e6)
    EARTH = (5.976e24, 6.37814e6)

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius


class Word(str, enum.Enum):
    HELLO = "hello"


class ByName(enum.Enum):
    ONE = object()

    def __reduce_ex__(self, protocol):
        return getattr, (ByName, self.name)


@pytest.mark.parametrize(
    "member", [*Color, *Level, *Planet, Word.HELLO, ByName.ONE, Access.READ], ids=repr
)
def test_enum_members_are_themselves(member, protocol):
    back = cross([member, member, {member: 1}], protocol)
    assert back[0] is member


def test_flags(protocol):
    for value in (Access(0), Access.READ | Access.RUN, ~Access.READ):
        assert fp.loads(fp.dumps(value, protocol)) is value
        assert pickle.loads(fp.dumps(value, protocol)) is value
        assert fp.loads(pickle.dumps(value, protocol)) is value


# A user's changes


def replaced(value):
    return str.upper, (f"{type(value).__name__} replaced",)


CHANGEABLE = [
    dt.date(2024, 1, 2),
    dt.datetime(2024, 1, 2),
    dt.time(1),
    dt.timedelta(1),
    UTC,
    uuid.UUID(int=1),
    Decimal(1),
    pathlib.PurePosixPath("a"),
    pathlib.Path("a"),
    Color.RED,
    Level.LOW,
    object(),
]


@pytest.mark.parametrize("value", CHANGEABLE, ids=lambda v: type(v).__name__)
def test_copyreg_is_obeyed(value, protocol):
    before = fp.dumps(value, protocol)
    copyreg.pickle(type(value), replaced)
    try:
        theirs = pickle.loads(pickle.dumps([value], protocol))
        assert theirs == [f"{type(value).__name__} replaced".upper()]
        assert fp.loads(fp.dumps([value], protocol)) == theirs
    finally:
        del copyreg.dispatch_table[type(value)]
    assert fp.dumps(value, protocol) == before


@pytest.mark.parametrize("value", CHANGEABLE, ids=lambda v: type(v).__name__)
def test_dispatch_table_is_obeyed(value):
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    pickler.dispatch_table = {type(value): replaced}
    pickler.dump([value])
    assert fp.loads(out.getvalue()) == [f"{type(value).__name__} replaced".upper()]


@pytest.mark.parametrize("value", CHANGEABLE, ids=lambda v: type(v).__name__)
def test_reducer_override_is_obeyed(value):
    class Overriding(fp.Pickler):
        def reducer_override(self, obj):
            return replaced(obj) if obj is value else NotImplemented

    out = io.BytesIO()
    Overriding(out).dump([value])
    assert fp.loads(out.getvalue()) == [f"{type(value).__name__} replaced".upper()]


@pytest.mark.parametrize("hook", ["__reduce__", "__reduce_ex__"])
@pytest.mark.parametrize(
    ("base", "args"),
    [
        (dt.date, (2024, 1, 2)),
        (dt.datetime, (2024, 1, 2)),
        (dt.time, (1,)),
        (dt.timedelta, (1,)),
        (uuid.UUID, ("12345678123456781234567812345678",)),
        (Decimal, ("1.5",)),
        (pathlib.PurePosixPath, ("a",)),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_subclass_that_overrides_is_obeyed(base, args, hook, protocol):
    def reduce(self, *protocol):
        return str.upper, ("subclass",)

    def reduce_plain(self):
        return str.upper, ("subclass",)

    made = type("Made", (base,), {hook: reduce if hook == "__reduce_ex__" else reduce_plain})
    value = made(*args)
    if base in (dt.datetime, dt.time) and hook == "__reduce__":
        assert_fails_alike(lambda: value, protocol)  # __reduce_ex__ of the base goes first
    else:
        assert pickle.loads(pickle.dumps(value, protocol)) == "SUBCLASS"
        assert fp.loads(fp.dumps(value, protocol)) == "SUBCLASS"


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (uuid.UUID, "__getstate__", uuid.UUID(int=1)),
        (uuid.UUID, "__reduce__", uuid.UUID(int=1)),
        (uuid.UUID, "__reduce_ex__", uuid.UUID(int=1)),
        (pathlib.PurePath, "__reduce__", pathlib.PurePosixPath("a")),
        (pathlib.PurePath, "__reduce_ex__", pathlib.PurePosixPath("a")),
        (enum.Enum, "__reduce_ex__", Color.RED),
        (Color, "__reduce_ex__", Color.RED),
        (fractions.Fraction, "__reduce__", fractions.Fraction(1, 2)),
    ],
    ids=lambda v: getattr(v, "__name__", v if isinstance(v, str) else ""),
)
def test_a_patched_class_is_obeyed(owner, name, value, protocol, monkeypatch):
    fp.dumps(value, protocol)  # whatever is remembered about the class must be forgotten
    calls = []

    def patched(self, *args):
        calls.append(name)
        return {"patched": True} if name == "__getstate__" else (str.upper, ("patched",))

    monkeypatch.setattr(owner, name, patched, raising=False)
    expected = pickle.dumps(value, protocol)
    if not calls:
        pytest.fail("the patch does not reach the standard library either")
    calls.clear()
    ours = fp.dumps(value, protocol)
    assert calls == [name]
    if name != "__getstate__":
        assert fp.loads(ours) == pickle.loads(expected) == "PATCHED"
    monkeypatch.undo()
    assert fp.loads(fp.dumps(value, protocol)) == value


def test_a_patched_reconstructor_name_is_noticed(protocol, monkeypatch):
    """`Color` no longer names the class: a class is written by name only if it is found there."""
    monkeypatch.setattr(sys.modules[Color.__module__], "Color", None)
    with pytest.raises(pickle.PicklingError):
        compat.dumps(Color.RED, protocol)


def states_of_datetimes():
    for year in (0, 1, 1900, 2000, 2023, 2024, 9999, 10_000):
        for month in (0, 1, 2, 4, 12, 13, 0x80 | 2, 0x80 | 11):
            for day in (0, 1, 28, 29, 30, 31, 32):
                yield struct.pack(">HBBBBB", year, month, day, 23, 59, 59) + b"\x0f\x42\x3f"
    for last in ([24, 0, 0, 0, 0, 0], [0, 60, 0, 0, 0, 0], [0, 0, 60, 0, 0, 0]):
        yield struct.pack(">HBB", 2024, 1, 1) + bytes(last)
    yield struct.pack(">HBB", 2024, 1, 1) + b"\x01\x02\x03\x0f\x42\x40"
    yield struct.pack(">HBB", 2024, 1, 1)
    yield b""


@pytest.mark.parametrize("call", [b"h\x00C%bx\x85R.", b"h\x00(C%bxtR.", b"h\x00C%bxh\x01\x86R."])
def test_datetimes_of_any_state_are_as_the_class_makes_them(call):
    """Out of range, too: the class looks at the month alone."""
    head = b"\x80\x04cdatetime\ndatetime\nq\x000"
    head += b"cdatetime\ntimezone\ncdatetime\ntimedelta\nK\x01\x85R\x85Rq\x010"
    for state in states_of_datetimes():
        data = head + call.replace(b"%bx", bytes([len(state)]) + state)
        outcomes = []
        for module in (fp, pickle):
            try:
                made = module.loads(data)
                outcomes.append((type(made), made.__reduce_ex__(4)[1], made.utcoffset(), made.fold))
            except Exception as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1], state
