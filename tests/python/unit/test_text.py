"""Text: every plane, surrogates, the escapes of protocol 0, and Python 2's strings on load.

What belongs here: ``str`` on the way out, all string opcodes on the way in.
"""

import pickle

import pytest

import ferropickle as fp
from helpers.crossing import assert_loads_fail_alike, cross
from helpers.shapes import StrChild
from helpers.streams import opcodes

SAMPLES = [
    "",
    "a",
    "é",
    "\x00",
    "plain ascii",
    "latin \xe9\xff\x80\x7f",
    "greek λόγος",
    "cjk 漢字",
    "astral \U0001f600\U0010ffff",
    "lone \ud800 and \udfff",
    "pair \ud83d\ude00 of surrogates",
    "back\\slash \\u0041 \\U00000041 \\N{DASH}",
    "line\nfeed\rreturn\x1aend",
    "\n",
    "quotes ' \" and \t tab",
    "nul\x00inside",
    "\x85\u2028\u2029",
    "mixed a\xe9漢\U0001f600\udc80z",
    "\ufeffbom",
]


@pytest.mark.parametrize("value", SAMPLES, ids=ascii)
def test_samples(value, protocol):
    cross(value, protocol)
    cross({value: [value]}, protocol)


@pytest.mark.parametrize("unit", ["a", "é", "漢", "\U0001f600", "\udc80"], ids=ascii)
@pytest.mark.parametrize("length", [63, 64, 65, 127, 128, 255, 256, 257, 65535, 65536])
def test_lengths_around_the_change_of_opcode(unit, length):
    value = unit * (length // len(unit.encode("utf-8", "surrogatepass"))) + "x"
    for number in (0, 2, 4, 5):
        assert fp.loads(fp.dumps(value, number)) == value
        assert pickle.loads(fp.dumps(value, number)) == value
        assert fp.loads(pickle.dumps(value, number)) == value


def test_a_wide_character_at_every_place():
    for place in range(70):
        value = "a" * place + "é" + "b" * (69 - place)
        other = "a" * place + "\U0001f600\ud800"
        assert pickle.loads(fp.dumps([value, other])) == [value, other]
        assert fp.loads(pickle.dumps([value, other])) == [value, other]


def test_shared_text_is_written_once():
    value = "x" * 1000
    assert len(fp.dumps([value, value])) < 1100
    back = fp.loads(fp.dumps([value, value]))
    assert back[0] is back[1]


def test_equal_texts_that_are_different_objects_come_back_equal(protocol):
    one, two = "".join(["sa", "me"]), "".join(["sam", "e"])
    cross([one, two, {one: two}], protocol)


def test_short_text_is_short():
    assert "SHORT_BINUNICODE" in opcodes(fp.dumps("abc", 4))
    assert "BINUNICODE" in opcodes(fp.dumps("a" * 256, 4))
    assert "BINUNICODE" in opcodes(fp.dumps("abc", 3))


def test_subclass_keeps_type_and_attributes(protocol):
    value = StrChild("text")
    value.note = [value]
    back = cross([value, value], protocol)
    assert type(back[0]) is StrChild
    assert back[0].note[0] is back[1]


def test_attribute_names_are_interned():
    class_name = "helpers.shapes"
    data = b"\x80\x04\x8c" + bytes([len(class_name)]) + class_name.encode()
    data += b"\x8c\x05Plain\x93)\x81}\x8c\x0fan_attribute_xyK\x01sb."
    (name,) = vars(fp.loads(data))
    (again,) = vars(fp.loads(data))
    assert name is again


PYTHON2 = [b"S'abc'\np0\n.", b"U\x03abcq\x00.", b"T\x03\x00\x00\x00abcq\x00."]


@pytest.mark.parametrize("data", PYTHON2, ids=["STRING", "SHORT_BINSTRING", "BINSTRING"])
def test_python2_strings_follow_the_encoding(data):
    assert fp.loads(data) == "abc"
    assert fp.loads(data, encoding="bytes") == b"abc"
    assert fp.loads(data, encoding="latin-1", errors="strict") == "abc"


@pytest.mark.parametrize(
    "data", [b"S'\\xe9\\n\\''\n.", b"U\x03\xe9\n'.", b"T\x03\x00\x00\x00\xe9\n'."]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoding": "latin-1"},
        {"encoding": "bytes"},
        {"encoding": "ASCII", "errors": "replace"},
        {"encoding": "ASCII", "errors": "ignore"},
        {"encoding": "ASCII", "errors": "surrogateescape"},
        {"encoding": "utf-8", "errors": "backslashreplace"},
        {"encoding": "no-such-codec"},
        {"encoding": "ASCII", "errors": "no-such-handler"},
    ],
    ids=str,
)
def test_python2_strings_beyond_ascii_as_the_standard_library(data, options):
    try:
        expected = pickle.loads(data, **options)
    except Exception:
        assert_loads_fail_alike(data, **options)
    else:
        got = fp.loads(data, **options)
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.parametrize(
    "data",
    [b"S'abc' \n."]
    + [b"S\n.", b"S'\n.", b"Sabc\n.", b"S'abc\"\n.", b"S'abc'x\n.", b"S'\\x'\n.", b"V\\u12\n."],
)
def test_malformed_text_lines_fail(data):
    assert_loads_fail_alike(data)


@pytest.mark.parametrize("data", [b'S"abc"\n.', b"S'a\\\\b\\t\\101'\n."])
def test_text_lines_as_the_standard_library(data):
    assert fp.loads(data) == pickle.loads(data)


@pytest.mark.parametrize(
    "data",
    [b"\x8c\x02\xff\xfe.", b"X\x02\x00\x00\x00\xc3(.", b"\x8c\x02\xc0\x80.", b"\x8c\x01\xed."],
)
def test_text_that_is_not_utf8_fails(data):
    assert_loads_fail_alike(data)


def test_surrogates_in_the_stream_load():
    assert fp.loads(b"\x8c\x03\xed\xa0\x80.") == "\ud800"
