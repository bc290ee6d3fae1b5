"""Open files with `compat.dill`: the three values of `fmode`.

What belongs here: files that exist, are shorter, longer or gone where they are loaded; files
without names, closed files, standard streams.
"""

import io
import os
import subprocess
import sys
import tempfile

import pytest

from ferropickle.compat import dill
from ferropickle.compat.dill import CONTENTS_FMODE, FILE_FMODE, HANDLE_FMODE

MODES = [HANDLE_FMODE, CONTENTS_FMODE, FILE_FMODE]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file.txt")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


def dumped(path, mode, fmode, use):
    """A pickle of the file after `use(file)`, which is closed then."""
    with open(path, mode) as file:
        use(file)
        return dill.dumps(file, fmode=fmode)


@pytest.mark.parametrize("fmode", MODES)
def test_a_file_at_its_start_reads_the_same(path, fmode):
    write(path, "one\ntwo\n")
    with open(path) as file, dill.copy(file, fmode=fmode) as copied:
        assert type(copied) is io.TextIOWrapper
        assert (copied.name, copied.mode, copied.encoding) == (file.name, "r", file.encoding)
        assert copied.read() == "one\ntwo\n"


@pytest.mark.parametrize(("fmode", "rest"), [(0, "0123456789"), (1, "456789"), (2, "456789")])
def test_the_position_of_a_file_that_is_read(path, fmode, rest):
    write(path, "0123456789")
    data = dumped(path, "r", fmode, lambda file: file.read(4))
    with dill.loads(data) as file:
        assert file.read() == rest


@pytest.mark.parametrize(("fmode", "rest"), [(0, "01"), (1, ""), (2, "456789")])
def test_a_file_that_has_become_shorter(path, fmode, rest):
    write(path, "0123456789")
    data = dumped(path, "r", fmode, lambda file: file.read(4))
    write(path, "01")
    with dill.loads(data) as file:
        assert (file.name, file.mode) == (path, "r")
        assert file.read() == rest
    assert read(path) == "01"  # a file that was read is not written


@pytest.mark.parametrize(("fmode", "rest"), [(0, ""), (1, ""), (2, "456789")])
def test_a_file_that_is_gone(path, fmode, rest):
    write(path, "0123456789")
    data = dumped(path, "r", fmode, lambda file: file.read(4))
    os.remove(path)
    with dill.loads(data) as file:
        assert (file.name, file.mode) == (path, "r")
        assert file.read() == rest


@pytest.mark.parametrize(
    ("fmode", "found"), [(0, " world"), (1, "hello world"), (2, "hello world")]
)
def test_a_file_that_is_written(path, fmode, found):
    data = dumped(path, "w", fmode, lambda file: file.write("hello"))
    with dill.loads(data) as file:
        assert file.mode == "w"
        file.write(" world")
    assert read(path) == found


@pytest.mark.parametrize(("fmode", "found"), [(0, "h!"), (1, "h!"), (2, "hello!")])
def test_a_file_that_is_appended_to(path, fmode, found):
    write(path, "")
    data = dumped(path, "a", fmode, lambda file: file.write("hello"))
    write(path, "h")
    with dill.loads(data) as file:
        file.write("!")
    assert read(path) == found


@pytest.mark.parametrize("fmode", MODES)
@pytest.mark.parametrize(
    ("mode", "kind", "buffering"),
    [
        ("rb", io.BufferedReader, -1),
        ("wb", io.BufferedWriter, -1),
        ("rb+", io.BufferedRandom, -1),
        ("rb", io.FileIO, 0),
    ],
)
def test_binary_files(path, fmode, mode, kind, buffering):
    write(path, "0123")
    with open(path, mode, buffering) as file, dill.copy(file, fmode=fmode) as copied:
        assert type(copied) is type(file) is kind
        assert copied.mode == file.mode


def test_the_default_is_a_setting(path):
    write(path, "0123")
    with open(path) as file:
        file.read(2)
        dill.settings["fmode"] = CONTENTS_FMODE
        try:
            copied = dill.copy(file)
        finally:
            dill.settings["fmode"] = HANDLE_FMODE
    with copied:
        assert copied.read() == "23"


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="fmode must be 0, 1 or 2, not 3"):
        dill.dumps(1, fmode=3)


@pytest.mark.parametrize("fmode", MODES)
def test_a_file_without_a_name_brings_its_contents(fmode):
    with tempfile.TemporaryFile("w+") as file:
        file.write("0123")
        file.seek(2)
        with dill.copy(file, fmode=fmode) as copied:
            assert copied.read() == "23"


def test_a_closed_file_stays_closed(path):
    write(path, "0123")
    with open(path) as file:
        pass
    copied = dill.copy(file)
    assert copied.closed
    assert (copied.name, copied.mode) == (path, "r")


def test_standard_streams_are_the_receiver_s():
    code = """
        import sys
        from ferropickle.compat import dill
        for stream in (sys.stdout, sys.stderr, sys.stdin, sys.stdout.buffer):
            assert dill.copy(stream) is stream, stream
    """
    subprocess.run([sys.executable, "-c", "if True:" + code], check=True, stdin=subprocess.DEVNULL)


def test_a_pipe_cannot_be_opened_again():
    reading, writing = os.pipe()
    with open(writing, "w"), open(reading) as file:
        with pytest.raises(dill.PicklingError, match="no name to open it again by"):
            dill.dumps(file)


def test_files_inside_of_objects(path):
    write(path, "0123")
    with open(path) as file:
        first, second = dill.copy([file, {"log": file}])
    with first:
        assert second["log"] is first
