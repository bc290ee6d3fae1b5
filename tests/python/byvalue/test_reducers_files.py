"""Open files are opened again where they were; nothing is ever truncated."""

import io
import os
import pickle
import sys
import tempfile

import pytest

from ferropickle import Policy
from helpers.stock import arrives, copy, dumps

CONTENTS = Policy(files="contents")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("".join(f"line {i} é\n" for i in range(5000)), encoding="utf-8")
    return str(path)


def test_a_text_file_goes_on_where_it_was(path):
    with open(path, encoding="utf-8") as file:
        for _ in range(2000):
            file.readline()
        arrives(
            (file, path),
            """
            file, path = obj
            assert (file.name, file.mode, file.encoding) == (path, "r", "utf-8")
            assert next(file) == "line 2000 é\\n"
            assert type(file.buffer) is __import__("io").BufferedReader
            file.close()
            """,
        )
        assert file.readline() == "line 2000 é\n"


@pytest.mark.parametrize("mode", ["rb", "rb+"])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_binary_file_goes_on_where_it_was(path, mode, buffering):
    with open(path, mode, buffering) as file:
        file.seek(100)
        rest = file.read(10)
        file.seek(100)
        arrives(
            (file, type(file), file.mode, rest),
            """
            file, cls, mode, rest = obj
            assert type(file) is cls and file.mode == mode
            assert file.read(10) == rest
            file.close()
            """,
        )


@pytest.mark.parametrize("mode", ["w", "x", "w+", "wb", "xb", "wb+"])
def test_what_was_being_written_is_not_truncated(tmp_path, mode):
    path = tmp_path / "out"
    text = "b" not in mode
    with open(path, mode) as file:
        file.write("one " if text else b"one ")
        arrives(
            (file, type(file)),
            f"""
            file, cls = obj
            assert type(file) is cls and file.writable()
            file.write({"two" if text else b"two"!r})
            file.close()
            """,
        )
    assert path.read_text() == "one two"


def test_a_file_open_for_appending_appends(path):
    with open(path, "a") as file:
        arrives(file, "assert obj.mode == 'a'; obj.write('end'); obj.close()")
    with open(path, encoding="utf-8") as file:
        assert file.read().endswith("line 4999 é\nend")


def test_the_layers_of_a_file_stay_its_layers(path):
    with open(path, encoding="utf-8") as file:
        got = copy({"file": file, "buffer": file.buffer, "raw": file.buffer.raw})
    assert got["file"].buffer is got["buffer"]
    assert got["buffer"].raw is got["raw"]
    got["file"].close()


def test_contents_by_policy(path):
    with open(path, encoding="utf-8") as file, open(path, "ab", 0) as raw:
        file.readline()
        got = dumps([file, file.buffer, raw], policy=CONTENTS)
        os.remove(path)
        text, binary, lowest = pickle.loads(got)
    assert next(text) == "line 1 é\n"
    assert type(binary) is io.BufferedReader
    assert binary is text.buffer
    assert type(lowest) is io.BytesIO
    assert lowest.getvalue().startswith("line 0 é\n".encode())


@pytest.mark.parametrize(("mode", "buffering"), [("r", -1), ("w", -1), ("rb", -1), ("ab", 0)])
def test_a_closed_file_arrives_closed(path, mode, buffering):
    with open(path, mode, buffering) as file:
        pass
    os.remove(path)
    arrives(
        (file, type(file), path, mode),
        """
        file, cls, path, mode = obj
        assert type(file) is cls and file.closed and (file.name, file.mode) == (path, mode)
        """,
    )


def test_the_standard_streams_are_those_of_the_receiver():
    streams = [sys.__stdin__, sys.__stdout__, sys.__stderr__, sys.__stdout__.buffer]
    arrives(
        streams,
        """
        assert obj == [sys.stdin, sys.stdout, sys.stderr, sys.stdout.buffer]
        assert obj[0] is sys.stdin and obj[3] is sys.stdout.buffer
        """,
    )
    arrives(sys.stdout, "assert obj is sys.stdout")


def test_files_in_memory():
    text, binary, closed = io.StringIO("a\nb\n"), io.BytesIO(b"abc"), io.StringIO()
    text.readline()
    binary.seek(1)
    closed.close()
    arrives(
        [text, binary, closed],
        "assert obj[0].readline() == 'b\\n' and obj[1].read() == b'bc' and obj[2].closed",
    )


def test_a_named_temporary_file_is_not_deleted_by_its_copy():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"abc")
        arrives(file, "assert obj.tell() == 3; obj.close()")
        assert os.path.exists(file.name)


def test_files_that_cannot_be_opened_again(path):
    reader, writer = os.pipe()
    with open(reader, "rb", 0) as pipe, open(writer, "wb", 0):
        with pytest.raises(pickle.PicklingError, match="no name to open it by"):
            dumps(pipe)
    with open(path) as deleted:
        os.remove(path)
        with pytest.raises(pickle.PicklingError, match="has been deleted"):
            dumps(deleted)
        assert next(copy(deleted, policy=CONTENTS)) == "line 0 é\n"


def test_a_file_in_the_midst_of_an_iteration_is_refused(path):
    with open(path, encoding="utf-8") as file:
        next(file)
        with pytest.raises(pickle.PicklingError, match="position cannot be told"):
            dumps(file)
