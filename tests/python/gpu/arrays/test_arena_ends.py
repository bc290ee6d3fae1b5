"""Channels that keep arrays on their device, whose ends move to other processes, or die."""

import multiprocessing
import os
import time

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import Peer, on_driver
from helpers.lines import AUTO, Line, base, careful, connected, how, left, shared
from helpers.producers import Placed, host

# ---- ends that move ------------------------------------------------------------------------------


def hand_on(d, other):
    """Receive twice, then give the end to a new process, which receives the rest."""
    d.context()
    multiprocessing.current_process().authkey = b"key"
    channel = connected(other)
    for _ in range(2):
        channel.send(how(channel.recv()))
    with channel, Peer(take_over) as peer:
        moved = fp.Channel.listen(f"/tmp/fp-test-{os.getpid()}")
        with moved:
            peer.send(moved.address.encode())
            with moved.accept(timeout=60) as way:
                way.send(channel)
                channel.close()
                assert way.recv(timeout=60) == "done"


def take_over(d, other):
    d.context()
    multiprocessing.current_process().authkey = b"key"
    with fp.Channel.connect(other.receive().decode()) as way:
        with way.recv(timeout=60) as channel:
            for array in channel:
                channel.send((how(array), host(array).tobytes()))
        way.send("done")


@on_driver()
def test_an_end_that_moves_takes_the_arenas_along(d):
    d.context()
    array = Placed(d, base()).produce()
    with Line(hand_on) as line:
        assert [line.ask(array), line.ask(array)] == ["host", "arena"]
        for _ in range(3):
            assert line.ask(array) == ("arena", base().tobytes())


# ---- ends that die -------------------------------------------------------------------------------


def take_until_killed(d, other):
    """Receive as many messages as is asked for, hold the last, and say so."""
    d.context()
    channel = connected(other)
    held = []
    while True:
        wanted = int(other.receive())
        for _ in range(wanted):
            held[:] = [channel.recv()]
            channel.send(how(held[0]))
        other.send(b"done")


@on_driver()
def test_receivers_are_killed_at_each_step(d):
    """Before the offer is read, with it, with a message under way, and with one that is held."""
    d.context()
    array = Placed(d, base()).produce()
    fp.dumps(array)
    before = left(d)
    for taken, under_way in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)):
        line = Line(take_until_killed)
        with line:
            for number in range(taken):
                line.send(array)
                line.peer.send(b"1")
                assert line.peer.receive() == b"done"
                assert line.recv() == ("arena" if number else "host")
            for _ in range(under_way):
                line.send(array)
            line.peer.kill()
            start = time.monotonic()
            with pytest.raises((EOFError, ConnectionError)):
                while True:
                    line.recv()
            with pytest.raises(ConnectionError):
                line.send(array)
                line.send(array)
            assert shared(d) == [0, 0, 0], "given up when the end was seen"
            assert time.monotonic() - start < 20
        assert left(d) == before, (taken, under_way)
    assert careful(d)


def send_until_killed(d, other):
    """Send a message for each word, and say so."""
    d.context()
    placed = Placed(d, base())
    channel = connected(other)
    while True:
        other.receive()
        channel.send(placed.produce(), policy=AUTO)
        other.send(b"done")


@on_driver()
def test_senders_are_killed_at_each_step(d):
    """What was told arrives, whole; then the end."""
    d.context()
    fp.loads(fp.dumps(Placed(d, base()).produce()))
    before = left(d)
    for read, under_way in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (1, 3)):
        line = Line(send_until_killed)
        with line:
            ways = []
            for _ in range(read):
                line.peer.send(b"send")
                ways.append(how(line.recv()))
                assert line.peer.receive() == b"done"
            for _ in range(under_way):
                line.peer.send(b"send")
                assert line.peer.receive() == b"done"
            line.peer.kill()
            for _ in range(under_way):
                array = line.recv()
                ways.append(how(array))
                np.testing.assert_array_equal(host(array), base())
            expected = ["host"] + ["arena"] * (read + under_way - 1)
            assert ways == expected[: read + under_way] or read == 0
            with pytest.raises((EOFError, ConnectionError)):
                line.recv()
        array = None
        assert (left(d), shared(d)) == (before, [0, 0, 0]), (read, under_way)
    assert careful(d)


@on_driver()
def test_what_was_received_outlives_its_sender(d):
    d.context()
    with Line(send_until_killed) as line:
        for _ in range(2):
            line.peer.send(b"send")
            array = line.recv()
            assert line.peer.receive() == b"done"
        assert how(array) == "arena"
        line.peer.kill()
    np.testing.assert_array_equal(host(array), base())
    del array
    assert shared(d) == [0, 0, 0]


def send_and_end(d, other):
    d.context()
    with connected(other) as channel:
        for n in range(4):
            channel.send(Placed(d, base(100 + n)).produce(), policy=AUTO)
            if n == 0:
                other.receive()


@on_driver()
def test_a_sender_may_end_when_it_has_sent(d):
    d.context()
    with Line(send_and_end) as line:
        arrays = [line.recv()]
        line.peer.send(b"read")
        line.peer.process.wait(60)
        arrays += [line.recv() for _ in range(3)]
        for n, array in enumerate(arrays):
            assert how(array) == ("arena" if n else "host")
            np.testing.assert_array_equal(host(array), base(100 + n))
