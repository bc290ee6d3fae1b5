"""Channels between processes, however these were started, and however they end."""

import multiprocessing
import os
import pickle
import random
import signal
import time
import warnings

import numpy as np
import pytest

import ferropickle as fp
from helpers import channels
from helpers.leaks import resident_bytes
from helpers.subprocs import run_python

METHODS = multiprocessing.get_all_start_methods()
MIB = 1 << 20


class Child:
    """A process that was given the other end of a channel, and that end's arena."""

    def __init__(self, method, target, *args, capacity=64 * MIB):
        context = multiprocessing.get_context(method)
        self.channel, there = fp.Channel.pair(capacity=capacity)
        with warnings.catch_warnings():
            # A forked child of a process with threads; those of the tests have ended.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process = context.Process(target=target, args=(there, *args))
            self.process.start()
        there.close()
        self.arena = self.channel._arena

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.channel.close()
        if exc[0]:
            self.process.kill()
        self.process.join(30)
        hangs = self.process.exitcode is None
        self.process.kill()
        self.process.join()
        self.process.close()
        if self.arena:
            self.arena.reclaim()
            left = self.arena.used
            self.arena.close()
            assert exc[0] or left == 0
        assert not hangs, "the child hangs"


def own_end(target):
    """The target with the arena of its channel beside it."""
    return lambda there: target(there, there._arena)


@pytest.fixture(scope="module", autouse=True)
def servers_have_started():
    """What multiprocessing starts once for a process is no leak of a test."""
    for method in METHODS:
        process = multiprocessing.get_context(method).Process(target=os.getpid)
        process.start()
        process.join()
        process.close()
    # Pickling a descriptor starts the thread that serves it.
    here, there = fp.Channel.pair(capacity=0)
    pickle.dumps(here)
    here.close()
    there.close()


@pytest.mark.parametrize("method", METHODS)
def test_arrays_come_and_go(method):
    table = np.arange(100_000)
    with Child(method, channels.negate, table) as child:
        for i in range(20):
            child.channel.send(np.full(100_000, i))
            assert np.array_equal(child.channel.recv(timeout=60), table - i)


@pytest.mark.parametrize("method", METHODS)
def test_any_object_comes_and_goes(method):
    with Child(method, channels.echo) as child:
        for value in (1, "x" * 100_000, [np.zeros(10), np.ones(1_000_000)], {"k": None}):
            child.channel.send(value)
            back = child.channel.recv(timeout=60)
            np.testing.assert_equal(back, value)


@pytest.mark.parametrize("method", METHODS)
def test_without_shared_memory(method):
    with Child(method, channels.echo, capacity=0) as child:
        array = np.arange(3_000_000)
        child.channel.send(array)
        assert np.array_equal(child.channel.recv(timeout=60), array)


def test_ends_go_through_channels():
    here, there = fp.Channel.pair(capacity=MIB)
    first, second = fp.Channel.pair(capacity=MIB)
    with here, there, first, second:
        here.send(second)
        with there.recv() as third:
            first.send(np.arange(10_000))
            array = third.recv()
            assert not array.flags.owndata
            assert array[-1] == 9_999


@pytest.mark.parametrize(
    "step", ["die_before_sending", "die_after_sending", "die_holding", "die_receiving"]
)
def test_who_is_killed_takes_no_memory_along(step):
    """At each step of a message's way: the survivor sees the end, and has all memory back."""
    with Child("fork", own_end(getattr(channels, step))) as child:
        channel, arena = child.channel, child.arena
        start = time.monotonic()
        if step in ("die_holding", "die_receiving"):
            channel.send(np.ones(100_000))
        if step == "die_after_sending":
            assert channel.recv(timeout=30)[0] == 3.0
        if step == "die_holding":
            assert channel.recv(timeout=30) == "got it"
        with pytest.raises((EOFError, ConnectionError)):
            channel.recv(timeout=30)
        with pytest.raises(ConnectionError):
            channel.send("nobody")
            channel.send("nobody")
        child.process.join(30)
        assert child.process.exitcode == -signal.SIGKILL
        arena.reclaim()
        assert arena.used == 0
        token = arena.put([bytes(arena.capacity - 4096)])
        assert token is not None
        assert arena.withdraw(token)
        assert time.monotonic() - start < 30


def test_half_a_message_of_a_killed_process_is_an_error_in_bounded_time():
    """Also where somebody else has the dead process's end open: no end is to be seen."""
    here, there = fp.Channel.pair(capacity=MIB)
    process = multiprocessing.get_context("fork").Process(
        target=channels.send_more_than_fits, args=(there,)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    with here, there:
        assert here.recv(timeout=30) == "now"
        assert here.poll(30)
        process.kill()
        process.join()
        start = time.monotonic()
        with pytest.raises(ConnectionError, match="without a word"):
            here.recv(timeout=30)
        assert time.monotonic() - start < 20
        assert here.closed
    process.close()


def test_processes_killed_at_any_time():
    """An answer, or an error at once; no memory and no descriptor is lost."""
    chance = random.Random(1)
    array = np.arange(50_000)
    for _ in range(25):
        with Child("fork", own_end(channels.work_until_killed), capacity=8 * MIB) as child:
            deadline = time.monotonic() + chance.random() * 0.05
            answers = 0
            killed = False
            try:
                while True:
                    child.channel.send(array, timeout=20)
                    if time.monotonic() > deadline and not killed:
                        killed = True
                        child.process.kill()
                    back, total = child.channel.recv(timeout=20)
                    assert total == array.sum()
                    assert np.array_equal(back, array)
                    answers += 1
            except (EOFError, ConnectionError):
                pass
            back = None
            child.process.join(20)
            child.arena.reclaim()
            assert child.arena.used == 0


def test_ten_thousand_messages_leave_memory_and_descriptors_flat():
    array = np.arange(5_000)
    with Child("fork", channels.echo) as child:

        def messages(count):
            for _ in range(count):
                child.channel.send(array)
                assert child.channel.recv(timeout=60)[-1] == 4_999

        messages(500)
        before = resident_bytes(), len(os.listdir("/proc/self/fd"))
        messages(10_000)
        after = resident_bytes(), len(os.listdir("/proc/self/fd"))
        assert after[0] - before[0] < 2 * MIB
        assert after[1] == before[1]


def test_sending_a_large_array_takes_no_memory_of_its_own():
    """Over the socket alone, and into shared memory: a few MiB besides the array and the arena."""
    run_python(
        """
        import multiprocessing, sys
        import numpy as np
        import ferropickle as fp
        from helpers import channels

        def peak():
            with open("/proc/self/status") as file:
                fields = dict(line.split(":") for line in file.read().splitlines())
            return {key: int(fields[key].split()[0]) << 10 for key in ("VmHWM", "RssShmem")}

        size = 256 << 20
        for capacity in (0, size + (8 << 20)):
            here, there = fp.Channel.pair(capacity=capacity)
            child = multiprocessing.get_context("fork").Process(target=channels.echo, args=(there,))
            child.start()
            there.close()
            here.send(1)
            assert here.recv() == 1
            array = np.ones(size, np.uint8)
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            before = peak()
            here.send(array)
            after = peak()
            shared = after["RssShmem"] - before["RssShmem"]
            extra = after["VmHWM"] - before["VmHWM"] - shared
            assert extra < 16 << 20, (capacity, extra)
            back = here.recv()
            assert back.all()
            here.close()
            child.join()
            del array, back
        """
    )
