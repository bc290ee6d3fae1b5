"""File objects: with and without readinto and peek, short reads and writes, failures half-way.

What belongs here: what dump and load ask of a file, and what they do when it misbehaves.
"""

import io
import os
import pickle
import socket
import sys
import tempfile
import threading

import pytest

import ferropickle as fp
from helpers.crossing import raised
from helpers.graph import assert_same_graph
from helpers.shapes import Plain
from helpers.streams import check_stream


def sample():
    shared = ["shared", {"n": 1.5}]
    return [shared, shared, "text" * 50, b"bytes" * 100, Plain(x=shared), list(range(3000))]


class Bare:
    """Has `read` and `readline` only, and counts."""

    def __init__(self, data):
        self.file = io.BytesIO(data)
        self.calls = []

    def read(self, size):
        self.calls.append(("read", size))
        return self.file.read(size)

    def readline(self):
        self.calls.append(("readline",))
        return self.file.readline()


class WithReadinto(Bare):
    def readinto(self, buffer):
        self.calls.append(("readinto", len(buffer)))
        return self.file.readinto(buffer)


class WithPeek(Bare):
    def __init__(self, data):
        super().__init__(data)
        self.file = io.BufferedReader(io.BytesIO(data), 37)

    def peek(self, size):
        self.calls.append(("peek", size))
        return self.file.peek(size)


READERS = [io.BytesIO, Bare, WithReadinto, WithPeek]
READERS += [lambda data: io.BufferedReader(io.BytesIO(data), 16)]
READERS += [lambda data: io.BufferedRandom(io.BytesIO(data))]
READER_IDS = ["BytesIO", "bare", "readinto", "peek", "buffered", "random"]


@pytest.mark.parametrize("make", READERS, ids=READER_IDS)
def test_reading(make, protocol):
    obj = sample()
    for data in (fp.dumps(obj, protocol), pickle.dumps(obj, protocol)):
        assert_same_graph(obj, fp.load(make(data)))


@pytest.mark.parametrize("make", READERS, ids=READER_IDS)
def test_several_pickles_in_one_file(make, protocol):
    """Nothing beyond STOP may be lost, with one unpickler and with a new one each time."""
    objects = [1, "two", sample(), None, [b"x" * 100_000], ()]
    data = b"".join(fp.dumps(obj, protocol) for obj in objects)
    file = make(data)
    assert_same_graph(objects, [fp.load(file) for _ in objects])
    with pytest.raises(EOFError):
        fp.load(file)
    out = io.BytesIO()
    pickler = fp.Pickler(out, protocol)
    for obj in objects:
        pickler.dump(obj)
    unpickler = fp.Unpickler(make(out.getvalue()))
    assert_same_graph(objects, [unpickler.load() for _ in objects])
    with pytest.raises(EOFError):
        unpickler.load()


@pytest.mark.parametrize("make", READERS, ids=READER_IDS)
def test_what_follows_the_pickle_is_left_in_the_file(make, protocol):
    file = make(fp.dumps(sample(), protocol) + b"the rest\nof the file")
    fp.load(file)
    assert file.read(100) == b"the rest\nof the file"


def test_real_files(tmp_path, protocol):
    obj = sample()
    for buffering in (-1, 0):
        path = tmp_path / f"file{buffering}"
        with open(path, "wb", buffering=buffering) as file:
            fp.dump(obj, file, protocol)
            fp.dump("second", file, protocol)
        with open(path, "rb", buffering=buffering) as file:
            assert_same_graph(obj, fp.load(file))
            assert pickle.load(file) == "second"
    with tempfile.TemporaryFile() as file:
        fp.dump(obj, file, protocol)
        file.seek(0)
        assert_same_graph(obj, fp.load(file))


class OnlyWrite:
    def __init__(self):
        self.chunks = []

    def write(self, chunk):
        self.chunks.append(bytes(chunk))


@pytest.mark.parametrize("number", range(6))
def test_a_file_needs_only_write(number):
    out = OnlyWrite()
    obj = sample()
    fp.dump(obj, out, number)
    data = b"".join(out.chunks)
    check_stream(data, number)
    assert_same_graph(obj, pickle.loads(data))


def test_large_streams_are_written_in_pieces():
    out = OnlyWrite()
    obj = [["record", i, {"value": i * 0.5}] for i in range(100_000)]
    fp.dump(obj, out)
    assert len(out.chunks) > 2
    assert max(map(len, out.chunks)) <= 4 << 20
    assert pickle.loads(b"".join(out.chunks)) == obj


def test_large_bytes_are_handed_over_as_they_are():
    class Identity:
        def __init__(self):
            self.seen = []

        def write(self, chunk):
            self.seen.append(chunk)

    big = bytes(1 << 20)
    out = Identity()
    fp.dump(["before", big, "after"], out)
    assert any(chunk is big for chunk in out.seen)


@pytest.mark.parametrize("protocol_", [4, 5])
def test_written_chunks_may_be_kept(protocol_):
    """A writer that keeps what it was given must not see it change."""

    class Keeping:
        def __init__(self):
            self.kept = []

        def write(self, chunk):
            self.kept.append((chunk, bytes(chunk)))

    out = Keeping()
    fp.dump([list(range(50_000)), "text" * 100, b"y" * 200_000, bytearray(300_000)], out, protocol_)
    assert all(bytes(chunk) == copy for chunk, copy in out.kept)


class FailsAfter:
    def __init__(self, count, exc):
        self.left = count
        self.exc = exc

    def write(self, chunk):
        self.left -= len(chunk)
        if self.left < 0:
            raise self.exc


@pytest.mark.parametrize("exc", [OSError(28, "No space left on device"), ZeroDivisionError("x")])
@pytest.mark.parametrize("count", [0, 100_000, 1_500_000])
def test_a_write_that_fails_raises_what_the_file_raised(exc, count):
    obj = {"rows": [["record", i, {"value": i * 0.5}] for i in range(100_000)]}
    exc.__traceback__ = None
    got = raised(fp.dump, obj, FailsAfter(count, exc))
    assert got is exc
    if sys.version_info >= (3, 11) and count:
        assert any("obj['rows'][" in note for note in got.__notes__), got.__notes__
        del got.__notes__


def test_closed_and_full_files(tmp_path):
    closed = open(tmp_path / "file", "wb")
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        fp.dump([1], closed)
    with open(tmp_path / "file", "rb") as closed:
        pass
    with pytest.raises(ValueError, match="closed"):
        fp.load(closed)
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="space"):
            fp.dump(sample(), full)


def test_write_may_return_anything():
    class Odd(OnlyWrite):
        def write(self, chunk):
            super().write(chunk)
            return object()

    out = Odd()
    fp.dump([1], out)
    assert fp.loads(b"".join(out.chunks)) == [1]


class Trickle(Bare):
    """Gives less than asked for, as raw files and sockets may."""

    def read(self, size):
        return self.file.read(min(size, 3))


class TrickleInto(WithReadinto):
    def read(self, size):
        return self.file.read(min(size, 3))

    def readinto(self, buffer):
        return self.file.readinto(memoryview(buffer)[:3])


@pytest.mark.parametrize("make", [Trickle, TrickleInto])
@pytest.mark.parametrize("number", [2, 4, 5])
def test_short_reads_fail_cleanly_or_go_on(make, number):
    """The standard library calls the data truncated; to read on is right as well."""
    obj = ["text" * 30, b"x" * 100_000, list(range(300))]
    try:
        back = fp.load(make(fp.dumps(obj, number)))
    except (pickle.UnpicklingError, EOFError):
        return
    assert back == obj


@pytest.mark.parametrize("answer", ["text", 5, None, [b"x"], bytearray(b"N."), memoryview(b"N.")])
def test_reads_that_are_not_bytes(answer):
    class Odd:
        def read(self, size):
            return answer

        def readline(self):
            return answer

    try:
        pickle.load(Odd())
    except Exception:
        with pytest.raises((TypeError, ValueError, pickle.UnpicklingError)):
            fp.load(Odd())
    else:
        fp.load(Odd())


@pytest.mark.parametrize("method", ["read", "readinto"])
def test_reads_that_raise(method):
    exc = ZeroDivisionError("mine")

    def fail(*args):
        raise exc

    file = WithReadinto(fp.dumps(bytearray(b"x" * 100_000), 5))
    setattr(file, method, fail)
    assert raised(fp.load, file) is exc


def test_readinto_is_used_for_large_bytearrays():
    data = fp.dumps([bytearray(1 << 20)], 5)
    file = WithReadinto(data)
    assert fp.load(file) == [bytearray(1 << 20)]
    assert max(call[1] for call in file.calls if call[0] == "readinto") >= 1 << 20


def test_readinto_that_lies_about_its_count():
    for count in (-1, 1 << 40, None, "text"):

        class Liar(Bare):
            def readinto(self, buffer):
                return count

        with pytest.raises(
            (TypeError, ValueError, OverflowError, pickle.UnpicklingError, EOFError)
        ):
            fp.load(Liar(fp.dumps([bytearray(1 << 20)], 5)))


def test_read_that_gives_too_much():
    class Generous:
        def read(self, size):
            return b"\x80\x04N." + bytes(1000)

        def readline(self):
            return b""

    try:
        fp.load(Generous())
    except (pickle.UnpicklingError, EOFError, ValueError):
        pass


def test_sockets_and_pipes():
    obj = sample()
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(
            target=lambda: [fp.dump(o, left.makefile("wb", 0)) for o in (obj, 2)]
        )
        with right.makefile("rb") as file:
            sender.start()
            assert_same_graph(obj, fp.load(file))
            assert fp.load(file) == 2
        sender.join()


def test_attributes_of_the_file_are_looked_up_once():
    class Counting:
        def __init__(self):
            self.asked = []
            self.out = io.BytesIO()

        def __getattr__(self, name):
            if name == "write":
                self.asked.append(name)
                return self.out.write
            raise AttributeError(name)

    file = Counting()
    pickler = fp.Pickler(file)
    for _ in range(3):
        pickler.dump([1])
    assert file.asked == ["write"]
