"""Files of gzip, bz2 and lzma go on where they were; those being written are refused."""

import bz2
import gzip
import io
import lzma
import os
import pickle

import pytest

from ferropickle import Policy
from helpers.stock import arrives, dumps

CONTENTS = Policy(files="contents")
FORMATS = {"gz": gzip, "bz2": bz2, "xz": lzma}
LINES = "".join(f"line {i} é\n" for i in range(5000))


@pytest.fixture(params=FORMATS)
def kind(request):
    return FORMATS[request.param]


@pytest.fixture
def path(kind, tmp_path):
    path = str(tmp_path / "data")
    with kind.open(path, "wt", encoding="utf-8") as file:
        file.write(LINES)
    return path


@pytest.mark.parametrize("policy", [None, CONTENTS])
def test_a_file_goes_on_where_it_was(kind, path, policy):
    with kind.open(path) as file:
        file.seek(20_000)
        expected = file.read(50)
        file.seek(20_000)
        stream = dumps((file, expected), policy=policy)
        assert file.read(50) == expected
    if policy:
        os.unlink(path)
    again, expected = pickle.loads(stream)
    with again:
        assert type(again) is type(file)
        assert again.read(50) == expected
        assert again.seek(3) == 3
        assert again.read(8) == LINES.encode()[3:11]


def test_text_over_it(kind, path):
    with kind.open(path, "rt", encoding="utf-8") as file:
        for _ in range(2000):
            file.readline()
        arrives(
            file,
            """
            assert obj.encoding == "utf-8" and type(obj.buffer).__name__.endswith("File")
            assert next(obj) == "line 2000 é\\n"
            obj.close()
            """,
        )


def test_closing_closes_the_file_below_if_it_was_opened_with_it(kind, path):
    with kind.open(path) as own, open(path, "rb") as below, kind.open(below) as over:
        over.read(10)
        arrives(
            [own, over, below],
            """
            own, over, below = obj
            hidden = own.fileobj if hasattr(own, "fileobj") else own._fp
            own.close()
            assert hidden.closed
            assert over.read(1) == b"l"
            over.close()
            assert not below.closed
            below.close()
            """,
        )


def test_of_a_file_in_memory(kind):
    data = io.BytesIO(kind.compress(b"0123456789"))
    with kind.open(data) as file:
        file.read(4)
        arrives([file, data], "assert obj[0].read() == b'456789' and type(obj[1]).__name__")


def test_a_format_without_a_header():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]
    data = lzma.compress(b"0123456789", format=lzma.FORMAT_RAW, filters=filters)
    with lzma.open(io.BytesIO(data), format=lzma.FORMAT_RAW, filters=filters) as file:
        file.read(4)
        arrives(file, "assert obj.read() == b'456789'")


def test_several_streams_in_one_file(kind, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(kind.compress(b"01234") + kind.compress(b"56789"))
    with kind.open(path) as file:
        file.read(7)
        arrives(file, "assert obj.read() == b'789'; obj.close()")


def test_one_that_is_being_written_is_refused(kind, path):
    with (
        kind.open(path, "wb") as file,
        pytest.raises(pickle.PicklingError, match="compressor cannot be read; close it"),
    ):
        dumps(file)


@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_a_closed_file_arrives_closed(kind, path, mode):
    file = kind.open(path, mode)
    file.close()
    arrives((file, type(file)), "assert type(obj[0]) is obj[1] and obj[0].closed")


def test_a_subclass_that_says_how_it_is_pickled(kind, path):
    class Own(type(kind.open(path))):
        def __reduce__(self):
            return int, ()

    with Own(path) as file:
        assert pickle.loads(dumps(file)) == 0
