"""Numbers, None, booleans, bytes and bytearrays: every width, every protocol, both ways.

What belongs here: values that are leaves. Text has test_text.py.
"""

import math
import pickle
import pickletools
import struct

import pytest

import ferropickle as fp
from helpers.crossing import cross
from helpers.shapes import BytesChild, FloatChild, IntChild
from helpers.streams import opcodes


def edges():
    for bits in (0, 1, 7, 8, 15, 16, 31, 32, 53, 62, 63, 64, 65, 127, 128, 1000, 255 * 8):
        for near in (-1, 0, 1):
            yield (1 << bits) + near
            yield -(1 << bits) + near


@pytest.mark.parametrize("value", [None, True, False, ..., NotImplemented], ids=repr)
def test_singletons(value, protocol):
    assert cross(value, protocol) is value


def test_integers_of_every_width(protocol):
    values = sorted(set(edges()))
    cross(values, protocol)
    for value in values:
        back = fp.loads(fp.dumps(value, protocol))
        assert back == value
        assert type(back) is int


@pytest.mark.parametrize("around", [list, tuple, set, "values", "fields"])
def test_integers_are_written_as_the_standard_library_writes_them(around, protocol):
    values = [n + k for n in edges() for k in (0, 3)]
    if around == "values":
        values = {f"key{i}": n for i, n in enumerate(values)}
    elif around == "fields":
        values = [(n, [n], {"n": n}) for n in values]
    else:
        values = around(values)
    numbers = [
        [
            (op.name, argument)
            for op, argument, _ in pickletools.genops(data)
            if "INT" in op.name or "LONG" in op.name
        ]
        for data in (fp.dumps(values, protocol), pickle.dumps(values, protocol))
    ]
    memo = ("LONG_BINGET", "LONG_BINPUT")
    ours, theirs = ([pair for pair in each if pair[0] not in memo] for each in numbers)
    assert ours == theirs


@pytest.mark.parametrize("length", [254, 255, 256, 257, 70000])
def test_integers_around_the_change_of_opcode(length):
    for value in (1 << (8 * length - 1), -(1 << (8 * length - 1)), (1 << (8 * length - 2)) - 1):
        for number in (2, 5):
            assert fp.loads(fp.dumps(value, number)) == value
            assert pickle.loads(fp.dumps(value, number)) == value
            assert fp.loads(pickle.dumps(value, number)) == value


@pytest.mark.parametrize("digits", [1000, 4000])
def test_long_decimal_integers(digits):
    cross(10**digits + 7, 0)
    cross(-(10**digits) - 7, 1)


def test_integers_use_the_shortest_opcode():
    expected = {0: "BININT1", 255: "BININT1", 256: "BININT2", 65535: "BININT2", 65536: "BININT"}
    expected |= {-1: "BININT", 2**31 - 1: "BININT", -(2**31): "BININT"}
    expected |= {2**31: "LONG1", -(2**31) - 1: "LONG1", 1 << 2040: "LONG4"}
    for value, name in expected.items():
        assert name in opcodes(fp.dumps(value, 5)), value


def test_booleans_stay_booleans(protocol):
    back = cross([True, 1, False, 0, 1.0, {True: False}], protocol)
    assert [type(item) for item in back[:5]] == [bool, int, bool, int, float]


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 1.5, -1e300, 5e-324, 1.7976931348623157e308, 0.1, math.pi, 1e22, 123456789.125],
    ids=repr,
)
def test_floats(value, protocol):
    back = cross(value, protocol)
    assert struct.pack("d", back) == struct.pack("d", value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=repr)
def test_floats_that_are_no_numbers(value, protocol):
    back = cross(value, protocol)
    assert back == value or math.isnan(back) and math.isnan(value)


def test_a_nan_keeps_its_payload():
    quiet = struct.unpack(">d", bytes.fromhex("7ff8000000abcdef"))[0]
    assert struct.pack(">d", fp.loads(fp.dumps(quiet))).hex() == "7ff8000000abcdef"


@pytest.mark.parametrize("value", [0j, 1 - 2j, complex("nan-infj"), complex(-0.0, -0.0)], ids=repr)
def test_complex(value, protocol):
    cross(value, protocol)


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, 257, 65535, 65536, 65537, 200_001])
def test_bytes_of_every_length(length, protocol):
    value = bytes(i & 255 for i in range(length))
    cross(value, protocol)
    cross(bytearray(value), protocol)


def test_bytes_hold_every_value(protocol):
    cross([bytes([i]) for i in range(256)], protocol)
    cross(bytes(range(256)) * 3, protocol)


def test_bytearrays_are_objects_and_shared(protocol):
    value = bytearray(b"abc")
    back = cross([value, value, bytearray(b"abc"), bytearray()], protocol)
    assert back[0] is back[1]
    assert back[0] is not back[2]


def test_large_shared_bytes_are_written_once(protocol):
    if protocol == 0:
        return  # written as text, through a call
    value = bytes(100_000)
    assert len(fp.dumps([value, value], protocol)) < 250_000
    back = fp.loads(fp.dumps([value, value], protocol))
    assert back[0] is back[1]


@pytest.mark.parametrize(
    "value",
    [IntChild(0), IntChild(-5), IntChild(10**30), FloatChild(-0.0), FloatChild("nan")],
    ids=repr,
)
def test_subclasses_keep_type_and_attributes(value, protocol):
    value.note = "kept"
    back = cross(value, protocol)
    assert type(back) is type(value)
    assert back.note == "kept"


@pytest.mark.parametrize("number", range(3, 6))
def test_bytes_subclass(number):
    cross(BytesChild(b"abc\xff"), number)


def test_ranges_and_slices_follow_the_standard_library(protocol):
    cross([range(3), range(10**30, 0, -7)], protocol)
    cross(slice(1, None, [2]), protocol, same=lambda a, b: a == b or pytest.fail("differ"))
