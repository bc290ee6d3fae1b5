"""Matches, structs, tables, digests, caches: what the standard library has compiled or wrapped."""

import collections
import csv
import functools
import hashlib
import io
import os.path
import pickle
import random
import re
import struct

import pytest

from helpers.stock import arrives, copy, dumps

MATCHES = {
    "match": re.match(r"(a)(b)?", "ac"),
    "search": re.search(r"(?P<x>b+)", "aabbaabb"),
    "fullmatch": re.fullmatch(r"a|ab", "ab"),
    "within": re.compile("b").search("abab", 2, 4),
    "bytes": re.search(rb"\d+", b"ab12"),
    "third": list(re.finditer(r"\d", "a1b2c3"))[2],
    "empty": list(re.finditer("x*", "axb"))[3],
    "lookbehind": list(re.finditer("(?<=a).", "abac"))[1],
}


@pytest.mark.parametrize("name", MATCHES)
def test_matches(name):
    match = MATCHES[name]
    arrives(
        [
            match,
            match.regs,
            match.groupdict(),
            (match.pos, match.endpos, match.lastindex),
            match.re,
        ],
        """
        match, regs, groups, rest, pattern = obj
        assert match.regs == regs and match.groupdict() == groups and match.re is pattern
        assert (match.pos, match.endpos, match.lastindex) == rest
        """,
    )


def test_a_match_that_cannot_be_found_again():
    scanner = re.compile("(?=(a*))").scanner("aaa")
    text = bytearray(b"abc")
    match = re.search(b"c", text)
    text[:] = b"xyz"
    with pytest.raises(pickle.PicklingError, match="does not find it again"):
        dumps(match)
    assert copy(scanner.search()).regs == ((0, 0), (0, 3))


def test_structs():
    arrives(struct.Struct("<i4x"), "assert obj.format == '<i4x' and obj.size == 8")


def test_csv():
    dialect = csv.reader([], delimiter=";", quoting=csv.QUOTE_NONNUMERIC, escapechar="\\").dialect
    reader = csv.reader(iter(['1;"a"', '"b;c";2', '"d";3']), dialect)
    next(reader)
    out = io.StringIO()
    writer = csv.writer(out, dialect)
    writer.writerow([1, "x"])
    arrives(
        [dialect, reader, writer, out],
        """
        dialect, reader, writer, out = obj
        assert (dialect.delimiter, dialect.quoting, dialect.escapechar) == (";", 2, "\\\\")
        assert list(reader) == [["b;c", 2.0], ["d", 3.0]]
        writer.writerow(["y", 2])
        assert out.getvalue() == '1;"x"\\r\\n"y";2\\r\\n'
        """,
    )
    lines = []
    Sink = collections.namedtuple("Sink", "write")
    arrives(
        [csv.writer(Sink(lines.append)), lines],
        "obj[0].writerow([1]); assert obj[1] == ['1\\r\\n']",
    )
    records = csv.DictReader(iter(["a,b", "1,2", "3,4"]))
    next(records)
    arrives(records, "assert list(obj) == [{'a': '3', 'b': '4'}]")


@pytest.mark.parametrize("name", ["md5", "sha256", "sha3_256", "blake2b", "shake_128"])
def test_digests(name):
    digest = hashlib.new(name)
    arrives([digest, name], "assert obj[0].name == obj[1]; obj[0].update(b'x')")
    digest.update(b"x")
    with pytest.raises(pickle.PicklingError, match="its state cannot be read"):
        dumps(digest)


def test_digests_with_parameters():
    arrives(
        hashlib.blake2s(digest_size=8), "assert obj.digest_size == 8 and len(obj.digest()) == 8"
    )
    with pytest.raises(pickle.PicklingError, match="its state cannot be read"):
        dumps(hashlib.blake2b(key=b"k"))


def test_caches():
    cached = functools.lru_cache(maxsize=7, typed=True)(os.path.join)
    cached.note = [1]
    cached("a", "b")
    arrives(
        [cached, cached],
        """
        import os.path
        cached, again = obj
        assert cached is again and cached.__wrapped__ is os.path.join
        assert cached.cache_parameters() == {"maxsize": 7, "typed": True}
        assert cached.cache_info()[:2] == (0, 0) and cached.note == [1]
        assert cached("a", "b") == "a/b" and cached("a", "b") and cached.cache_info().hits == 1
        assert cached.__name__ == "join" and cached.__doc__ == os.path.join.__doc__
        """,
    )
    arrives(functools.lru_cache(None)(len), "assert obj.cache_info().maxsize is None")
    assert copy(re._compile_template if hasattr(re, "_compile_template") else re._compile_repl)


def test_a_cached_function_with_a_name_goes_by_it():
    import fnmatch

    arrives(
        fnmatch._compile_pattern,
        "import fnmatch; assert obj is fnmatch._compile_pattern",
    )


def test_sorting_keys():
    make = functools.cmp_to_key(os.path.commonpath)
    by_length = functools.cmp_to_key(pow)
    arrives(
        [by_length, by_length(2)],
        "assert type(obj[0]) is type(obj[1]) and obj[1].obj == 2 and obj[0](3).obj == 3",
    )
    assert copy(make)


def test_random_generators():
    generator = random.Random(1)
    generator.random()
    arrives(
        [generator, generator.getstate(), random.SystemRandom()],
        "assert obj[0].getstate() == obj[1] and 0 <= obj[2].random() < 1",
    )
