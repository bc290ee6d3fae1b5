"""Channels: objects arrive whole and in order, ends are seen, time-outs hold."""

import os
import select
import signal
import socket
import threading
import time

import numpy as np
import pytest

import ferropickle as fp
from helpers.leaks import assert_no_growth
from helpers.subprocs import run_python


def in_thread(call, *args):
    thread = threading.Thread(target=call, args=args)
    thread.start()
    return thread


def echo(channel):
    with channel:
        for obj in channel:
            channel.send(obj)


def test_objects_arrive_in_order(pair):
    here, there = pair
    values = [None, 1, "text", [1, [2, {"k": (3.5,)}]], b"x" * 100, {"a": {1, 2}}, "y" * 1_000]
    for value in values:
        here.send(value)
    assert [there.recv() for _ in values] == values
    there.send("back")
    assert here.recv() == "back"


@pytest.mark.parametrize("size", [0, 1, 1_000, 100_000, 2_000_000])
def test_arrays_arrive_with_their_contents(pair, size):
    here, there = pair
    array = np.arange(size, dtype=np.float64)
    frozen = array.copy()
    frozen.flags.writeable = False
    value = {"a": array, "b": [array, frozen], "c": np.zeros((3, 4), order="F")}
    sender = in_thread(here.send, value)
    back = there.recv()
    sender.join()
    assert back["a"] is back["b"][0]
    assert np.array_equal(back["a"], array)
    assert np.array_equal(back["b"][1], frozen)
    assert back["a"].flags.writeable
    assert not back["b"][1].flags.writeable
    assert back["c"].flags.f_contiguous
    if size:
        back["a"][0] = -1
        assert array[0] == 0


@pytest.mark.parametrize("writable", [False, True])
def test_the_receiver_says_whether_arrays_are_writable(pair, writable):
    here, there = pair
    frozen = np.zeros(50_000)
    frozen.flags.writeable = False
    sender = in_thread(here.send, [np.zeros(50_000), frozen])
    arrays = there.recv(writable=writable)
    sender.join()
    # What was read-only says so in its own state, too.
    assert arrays[0].flags.writeable == writable


def test_many_small_arrays_and_long_streams(pair):
    here, there = pair
    arrays = [np.full(1024, i % 256, np.uint8) for i in range(5_000)]
    text = [str(i) for i in range(200_000)]
    sender = in_thread(lambda: [here.send(arrays), here.send(text), here.send("end")])
    assert all(map(np.array_equal, there.recv(), arrays))
    assert there.recv() == text
    assert there.recv() == "end"
    sender.join()


def test_functions_and_policies(pair):
    here, there = pair
    table = np.arange(10)
    here.send(lambda i: table[i] + 1)
    assert there.recv()(4) == 5
    with pytest.raises(fp.PicklingError, match="max_captured"):
        here.send(lambda: table, policy=fp.Policy(max_captured=10, captured="refuse"))
    here.send("nothing was sent of that")
    assert there.recv(policy=fp.Policy(gc="keep")) == "nothing was sent of that"


class Refuses:
    def __reduce__(self):
        raise TypeError("not I")


def test_what_cannot_be_pickled_sends_nothing(pair):
    here, there = pair
    with pytest.raises(TypeError, match="not I"):
        here.send([np.zeros(100_000), Refuses()])
    here.send("next")
    assert there.recv() == "next"


def test_the_end_is_seen(pair):
    here, there = pair
    here.send("last")
    here.close()
    assert there.poll(5)
    assert there.recv() == "last"
    for _ in range(2):
        with pytest.raises(EOFError, match="other end"):
            there.recv()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        there.send("nobody")


def test_iteration_and_with_end_with_the_channel(pair):
    here, there = pair
    with here:
        for i in range(5):
            here.send(i)
    assert list(there) == [0, 1, 2, 3, 4]
    assert here.closed
    assert not there.closed
    here.close()
    assert "closed" in repr(here)
    for call in (here.recv, here.fileno, here.poll, lambda: here.send(1)):
        with pytest.raises(OSError, match="closed"):
            call()


def test_timeouts(pair):
    here, there = pair
    for timeout in (0, -1, 0.05):
        with pytest.raises(TimeoutError):
            there.recv(timeout=timeout)
        assert not there.poll(timeout)
    assert not there.poll()
    with pytest.raises(ValueError, match="timeout"):
        there.recv(timeout=float("nan"))
    here.send("x")
    assert there.poll(None)
    assert there.recv(timeout=0) == "x"


def test_a_sender_without_room_runs_out_of_time_and_leaves_no_half_message():
    here, there = fp.Channel.pair(capacity=0)
    with here, there:
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                here.send(b"x" * 1_000, timeout=0.05)
                sent += 1
        # Whether the last one had begun decides whether the channel goes on.
        received = 0
        if here.closed:
            with pytest.raises(ConnectionError):
                while True:
                    assert there.recv(timeout=5) == b"x" * 1_000
                    received += 1
        else:
            while there.poll():
                assert there.recv() == b"x" * 1_000
                received += 1
        assert received == sent


def test_half_a_message_is_not_lost_by_a_timeout():
    here, there = fp.Channel.pair(capacity=0)
    with here, there:
        array = np.arange(4_000_000)
        raw = socket.socket(fileno=os.dup(here.fileno()))
        pieces = b"".join(fp._native.frames(array))
        with raw:
            for at in range(0, len(pieces), 8_000_000):
                sender = in_thread(raw.sendall, pieces[at : at + 8_000_000])
                if at + 8_000_000 < len(pieces):
                    with pytest.raises(TimeoutError):
                        there.recv(timeout=0.3)
                    sender.join()
            assert np.array_equal(there.recv(timeout=10), array)
            sender.join()


def test_other_threads_wait_their_turn(pair):
    here, there = pair
    count, threads = 100, 4

    def send(number):
        for i in range(count):
            here.send([number, i, np.full(5_000, number)])

    got = []

    def receive():
        for _ in range(count):
            got.append(there.recv())

    work = [in_thread(send, n) for n in range(threads)]
    work += [in_thread(receive) for _ in range(threads)]
    for thread in work:
        thread.join()
    assert len(got) == count * threads
    assert all((array == number).all() for number, _, array in got)
    for number in range(threads):
        assert sorted(i for n, i, _ in got if n == number) == list(range(count))


@pytest.mark.parametrize("waits", ["recv", "poll", "send"])
def test_closing_ends_the_waits_of_other_threads(waits):
    here, there = fp.Channel.pair(capacity=0)
    outcome = []

    def wait():
        try:
            if waits == "send":
                here.send(b"x" * 100_000_000)
            elif waits == "poll":
                here.poll(None)
            else:
                here.recv()
        except OSError as error:
            outcome.append(error)

    thread = in_thread(wait)
    time.sleep(0.1)
    here.close()
    thread.join(10)
    assert not thread.is_alive()
    assert "closed" in str(outcome[0])
    there.close()


def test_select_and_poll_see_messages(pair):
    here, there = pair
    assert select.select([there], [], [], 0)[0] == []
    here.send(1)
    assert select.select([there], [], [], 5)[0] == [there]
    assert there.poll()
    assert there.recv() == 1


def test_signals_are_handled_in_a_wait():
    run_python(
        """
        import os, signal, threading, time
        import ferropickle as fp

        class Alarm(Exception):
            pass

        def ring(*_):
            raise Alarm

        here, there = fp.Channel.pair(capacity=0)
        signal.signal(signal.SIGALRM, ring)
        data = b"x" * 50_000_000

        def soon():
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGALRM)

        def once_it_has_begun():
            there.poll(None)
            os.kill(os.getpid(), signal.SIGALRM)

        waits = [
            (there.recv, soon),
            (lambda: there.poll(None), soon),
            (lambda: here.send(data), once_it_has_begun),
        ]
        for wait, when in waits:
            threading.Thread(target=when).start()
            start = time.monotonic()
            try:
                wait()
            except Alarm:
                pass
            else:
                raise AssertionError("not interrupted")
            assert time.monotonic() - start < 10
        # Half a message cannot be taken back.
        assert here.closed
        """
    )


def test_signals_whose_handlers_return_do_not_end_a_wait(pair):
    here, there = pair
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        sender = in_thread(lambda: [time.sleep(0.4), here.send("late")])
        assert there.recv(timeout=20) == "late"
        sender.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung


def test_a_full_arena_goes_over_the_socket():
    here, there = fp.Channel.pair(capacity=1 << 20)
    with here, there:
        arrays = [np.full(60_000, i) for i in range(10)]
        sender = in_thread(lambda: [here.send(array) for array in arrays])
        got = [there.recv() for _ in arrays]
        sender.join()
        assert all(map(np.array_equal, got, arrays))
        # Two fit; the others came in memory of their own.
        in_arena = [array for array in got if here._arena.used]
        assert in_arena
        del got, in_arena
        assert here._arena.used == 0
        sender = in_thread(here.send, np.ones(1_000_000))
        assert there.recv().all()
        sender.join()


def test_memory_is_used_again_while_messages_flow(pair):
    here, there = pair
    array = np.arange(20_000)
    answers = in_thread(echo, there)

    def message():
        here.send(array)
        assert here.recv()[-1] == 19_999

    assert_no_growth(message, rounds=300)
    arena = here._arena
    here.close()
    answers.join()
    if arena:
        assert arena.used == 0
        arena.close()


@pytest.mark.parametrize(
    "garbage", [b"\0" * 64, b"GET / HTTP/1.1\r\nHost: a.host.of.some.length\r\n\r\n"]
)
def test_what_is_no_message_is_refused(garbage):
    left, right = socket.socketpair()
    with left, fp.Channel(fp._native.Link(right.detach())) as channel:
        left.sendall(garbage)
        with pytest.raises(fp.UnpicklingError, match="no message"):
            channel.recv()
        assert channel.closed


def test_a_message_that_is_cut_off_is_an_error():
    whole = b"".join(fp._native.frames([np.arange(1_000), "x"]))
    for cut in (1, 31, 32, 40, 100, len(whole) - 1):
        left, right = socket.socketpair()
        with fp.Channel(fp._native.Link(right.detach())) as channel:
            with left:
                left.sendall(whole[:cut])
            with pytest.raises(ConnectionError, match="without a word"):
                channel.recv()


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="authkey"):
        fp.Channel.listen(("127.0.0.1", 0), authkey="text")
    with pytest.raises(ValueError, match="authkey"):
        fp.Channel.listen(("127.0.0.1", 0), authkey=b"")
    with pytest.raises(ValueError, match="fd"):
        fp._native.Link(-1)
