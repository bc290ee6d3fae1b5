"""Processes that are killed in the middle of a device's copy: the other end goes on."""

import threading
import time

import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.lines import AUTO, Line, base, careful, connected, how, left, shared
from helpers.producers import Placed

# Microseconds: a copy that a process is killed in the middle of stands still for so long.
LONG = 20_000_000


def send_slowly(d, other):
    """Send for each word, and then once more, which takes long."""
    d.context()
    array = Placed(d, base()).produce()
    with connected(other) as channel:
        while other.receive() == b"send":
            channel.send(array, policy=AUTO)
        d.control(f"pause {LONG}")
        other.send(b"begins")
        channel.send(array, policy=AUTO)
    other.send(b"done")


@on_driver(simulated=True)
def test_a_sender_is_killed_in_the_middle_of_its_copy(d):
    """The receiver sees the end, and has nothing of the message."""
    d.context()
    fp.loads(fp.dumps(Placed(d, base()).produce()))
    before = left(d)
    # To the host, and to the arena.
    for sent in (0, 1, 2):
        with Line(send_slowly) as line:
            for way in ["host", "arena"][:sent]:
                line.peer.send(b"send")
                assert how(line.recv()) == way
            line.peer.send(b"slowly")
            assert line.peer.receive() == b"begins"
            time.sleep(0.3)
            start = time.monotonic()
            line.peer.kill()
            assert line.peer.receive() != b"done"
            with pytest.raises((EOFError, ConnectionError)):
                line.recv()
            assert time.monotonic() - start < LONG / 2e6
        assert (left(d), shared(d)) == (before, [0, 0, 0])
    assert careful(d)


def take_slowly(d, other):
    """Receive; the third message is fetched from the arena, which takes long."""
    d.context()
    with connected(other) as channel:
        for _ in range(2):
            channel.send(how(channel.recv()))
        other.receive()
        d.control(f"pause {LONG}")
        other.send(b"begins")
        channel.recv(policy=fp.Policy(place=0))
    other.send(b"done")


@on_driver(simulated=True)
def test_a_receiver_is_killed_in_the_middle_of_its_copy(d):
    """The sender has its slot back, and then sees the end."""
    d.context()
    array = Placed(d, base()).produce()
    fp.loads(fp.dumps(array))
    before = left(d)
    for _ in range(2):
        with Line(take_slowly) as line:
            assert [line.ask(array), line.ask(array)] == ["host", "arena"]
            line.send(array)
            line.peer.send(b"read")
            assert line.peer.receive() == b"begins"
            time.sleep(0.3)
            start = time.monotonic()
            line.peer.kill()
            assert line.peer.receive() != b"done"
            with pytest.raises((EOFError, ConnectionError)):
                line.recv()
            with pytest.raises(ConnectionError):
                line.send(array)
                line.send(array)
            assert time.monotonic() - start < LONG / 2e6
            assert shared(d) == [0, 0, 0]
        assert left(d) == before
    assert careful(d)


def take_one(d, other):
    d.context()
    with connected(other) as channel:
        channel.recv()
        other.send(b"done")
        other.receive()


@on_driver(simulated=True)
def test_a_receiver_is_killed_in_the_middle_of_the_sender_s_copy(d):
    """The sender's copy goes on to its end; the next message finds nobody."""
    d.context()
    array = Placed(d, base()).produce()
    fp.loads(fp.dumps(array))
    before = left(d)
    with Line(take_one) as line:
        line.send(array)
        assert line.peer.receive() == b"done"
        d.control("pause 500000")
        killer = threading.Timer(0.1, line.peer.kill)
        killer.start()
        with pytest.raises(ConnectionError):
            for _ in range(10):
                line.send(array)
        killer.join()
        d.control("pause 0")
    assert (left(d), shared(d)) == (before, [0, 0, 0])
    assert careful(d)
