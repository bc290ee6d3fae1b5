"""Arrays that go by pools, pipes and queues on their device: who dies, and what is left."""

import os
import sys
import threading
import time

import numpy as np
import pytest

import ferropickle as fp
from ferropickle import multiprocessing as fmp
from ferropickle.multiprocessing import _offers
from helpers import device_work as work
from helpers.cuda import on_driver
from helpers.device_work import Reader, left
from helpers.producers import Placed, host

AUTO = fp.Policy(device="auto")
N = 1 << 16
BYTES = 4 * N
BY_DEVICE = {"DtoD": [1, BYTES]}
MIB = 1 << 20


def base(n=N):
    return np.arange(n, dtype="<f4")


def put(queue, array):
    with fp.policy(AUTO):
        queue.put(array)


class Told:
    """A process of `helpers.device_work` that does what it is told with a queue."""

    def __init__(self, function, queue):
        context = fmp.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(target=function, args=(queue, there))
        self.process.start()

    def tell(self, number):
        self.here.send(number)
        while not self.here.poll(0.2):
            assert self.process.is_alive()
        assert self.here.recv()

    def end(self):
        self.here.send(0)
        self.process.join(60)
        assert self.process.exitcode == 0

    def kill(self):
        self.process.kill()
        self.process.join(60)


# ---- readers -------------------------------------------------------------------------------------


@on_driver(simulated=True)
def test_readers_are_killed_at_each_step(d):
    """Before the offer is read, with it, with messages under way, and with one that is held:
    another reader has what was not taken."""
    d.context()
    array = Placed(d, base()).produce()
    for taken, under_way in ((0, 1), (1, 0), (1, 1), (2, 0), (2, 3)):
        queue = fmp.get_context("spawn").SimpleQueue()
        reader = Told(work.take, queue)
        for _ in range(taken):
            put(queue, array)
            reader.tell(1)
        for _ in range(under_way):
            put(queue, array)
        reader.kill()
        for _ in range(under_way):
            np.testing.assert_array_equal(host(queue.get()), base())
        with Reader(queue) as other:
            for _ in range(3):
                found, data = other.ask(array)
                assert data == base().tobytes()
            assert found == BY_DEVICE
    assert d.violations() == []


@on_driver(simulated=True)
def test_workers_that_die_with_an_array_free_its_memory(d):
    d.context()
    array = Placed(d, base(MIB)).produce()
    with fmp.get_context("spawn").Pool(1) as pool, fp.policy(AUTO):
        for _ in range(2):
            pool.apply(work.counted, (array,))
        used = None
        for _ in range(6):
            with pytest.raises(fmp.WorkerLostError):
                pool.apply(work.die, (array,))
            found, data = pool.apply(work.counted, (array,))
            assert data == base(MIB).tobytes()
            assert found == {"DtoD": [1, 4 * MIB]}
            used = used or left(d)
        assert left(d)[1:] == used[1:]
    assert left(d)[2] == [0, 0, 0], "the arena ends with the pool"


# ---- senders -------------------------------------------------------------------------------------


@on_driver(simulated=True)
def test_senders_are_killed_at_each_step(d):
    """Who has imported the sender's memory reads all that was told, whole."""
    d.context()
    for read, under_way in ((0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 3)):
        queue = fmp.get_context("spawn").SimpleQueue()
        sender = Told(work.put, queue)
        for _ in range(read):
            sender.tell(N)
            np.testing.assert_array_equal(host(queue.get()), base())
        for _ in range(under_way):
            sender.tell(N)
        sender.kill()
        for _ in range(under_way):
            work.copies(d)
            array = queue.get()
            assert ("DtoD" in work.copies(d)) == (read > 0)
            np.testing.assert_array_equal(host(array), base())
        assert queue.empty()
    assert d.violations() == []


def accepted(queue):
    """A sender whose memory another process has imported, and this one not."""
    sender = Told(work.put, queue)
    reader = Told(work.take, queue)
    for _ in range(2):
        sender.tell(N)
        reader.tell(1)
    reader.end()
    return sender


@on_driver(simulated=True)
def test_what_a_killed_sender_alone_had_is_an_error_soon(d):
    d.context()
    queue = fmp.get_context("spawn").SimpleQueue()
    sender = accepted(queue)
    sender.tell(N)
    sender.kill()
    start = time.monotonic()
    with pytest.raises(fp.DeviceError, match="may have ended"):
        queue.get()
    assert time.monotonic() - start < 10
    put(queue, "all is well")
    assert queue.get() == "all is well"


@on_driver(simulated=True)
def test_a_sender_that_ends_waits_for_its_readers(d):
    d.context()
    queue = fmp.get_context("spawn").Queue()
    sender = accepted(queue)
    sender.tell(N)
    sender.here.send(0)
    sender.process.join(1)
    assert sender.process.is_alive()
    work.copies(d)
    array = queue.get()
    assert work.copies(d) == BY_DEVICE
    sender.process.join(60)
    assert sender.process.exitcode == 0
    np.testing.assert_array_equal(host(array), base())


@on_driver(simulated=True)
def test_a_sender_that_ends_does_not_wait_for_ever(d):
    d.context()
    queue = fmp.get_context("spawn").SimpleQueue()
    sender = accepted(queue)
    sender.tell(N)
    sender.end()
    with pytest.raises(fp.DeviceError, match="may have ended"):
        queue.get()


@on_driver(simulated=True)
def test_workers_that_are_replaced_lose_no_result(d):
    d.context()
    with fmp.get_context("spawn").Pool(2, maxtasksperchild=3) as pool, fp.policy(AUTO):
        for array in pool.map(work.place, [N] * 12, 1):
            np.testing.assert_array_equal(host(array), base())
    assert left(d)[2] == [0, 0, 0]
    assert d.violations() == []


# ---- what is left --------------------------------------------------------------------------------


@on_driver(simulated=True)
def test_what_nobody_reads_is_bounded_and_not_lost(d):
    d.context()
    array = Placed(d, base(MIB)).produce()
    queue = fmp.get_context("spawn").Queue()
    with Reader(queue) as reader:
        for _ in range(2):
            reader.ask(array)
        before = left(d)[1]
        ours = fmp.get_context("spawn").Queue()
        work.copies(d)
        for _ in range(20):
            put(ours, array)
        copies = work.copies(d)
        assert copies["DtoD"] == [4, 16 * MIB], "the arena has room for four"
        assert copies["DtoH"] == [16, 64 * MIB]
        assert left(d)[1] == before
        for _ in range(20):
            np.testing.assert_array_equal(host(ours.get()), base(MIB))
        assert reader.ask(array)[0] == {"DtoD": [1, 4 * MIB]}


@on_driver(simulated=True)
def test_what_nobody_reads_for_long_makes_room(d):
    """And is read later, by its sender as by another process."""
    d.context()
    array = Placed(d, base(MIB)).produce()
    context = fmp.get_context("spawn")
    queue, later, forgotten = context.SimpleQueue(), context.SimpleQueue(), context.Queue()
    with Reader(queue) as reader:
        for _ in range(2):
            reader.ask(array)
        for _ in range(2):
            put(later, array)
        for _ in range(3):
            put(forgotten, array)
        assert "DtoD" not in reader.ask(array)[0], "the arena is full"
        time.sleep(5.1)
        ways = [reader.ask(array)[0] for _ in range(3)]
        assert ways[1:] == [{"DtoD": [1, 4 * MIB]}] * 2
        for _ in range(3):
            np.testing.assert_array_equal(host(forgotten.get()), base(MIB))
    with Reader(later) as reader:
        for _ in range(2):
            assert reader.answers.get()[1] == base(MIB).tobytes()


@on_driver(simulated=True)
def test_what_is_making_room_is_read(d):
    """By another process, and by its sender, while the copy to the host stands still."""
    d.context()
    array = Placed(d, base(MIB)).produce()
    context = fmp.get_context("spawn")
    queue, later = context.SimpleQueue(), context.SimpleQueue()
    other = Told(work.take, later)
    with Reader(queue) as reader:
        for _ in range(2):
            reader.ask(array)
        put(later, array)
        other.tell(1)
        for _ in range(4):
            put(later, array)
        time.sleep(5.1)
        work.copies(d)
        d.control("pause 1000000")
        thread = threading.Thread(target=put, args=(context.SimpleQueue(), array))
        thread.start()
        # The first is the new message's, which finds no room.
        while d.report()["copies"].get("DtoH", [0])[0] < 2:
            time.sleep(0.01)
        other.tell(1)
        moved = later.get()
        d.control("pause 0")
        np.testing.assert_array_equal(host(moved), base(MIB))
        thread.join(60)
        for _ in range(2):
            np.testing.assert_array_equal(host(later.get()), base(MIB))
    other.end()


@on_driver(simulated=True, hold_us=0)
def test_memory_with_messages_can_be_asked_for_while_it_is_given_up(d):
    d.context()
    context = fmp.get_context("spawn")
    queue, later, ours = context.SimpleQueue(), context.SimpleQueue(), context.SimpleQueue()
    with Reader(queue) as reader:
        for n in (MIB, 8 * MIB):
            array = Placed(d, base(n)).produce()
            for _ in range(2):
                reader.ask(array)
            if n == MIB:
                put(later, array)
        message = later._reader.recv_bytes()
        later._writer.send_bytes(message)
        arena = message[message.index(b"fpds") + 8 :][:8]
        answers, stop = [], threading.Event()

        def asked():
            while not stop.is_set():
                answer, descriptors = _offers._desk._found(b"A" + arena)
                answers.append(answer[:1])
                for descriptor in descriptors:
                    os.close(descriptor)

        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=asked)
        thread.start()
        small = Placed(d, base(1000)).produce()
        for _ in range(600):
            put(ours, small)
            ours.get()
        stop.set()
        thread.join(60)
        assert set(answers) == {_offers.HERE}
        np.testing.assert_array_equal(host(later.get()), base(MIB))


@on_driver(simulated=True, hold_us=0)
def test_many_messages_leave_nothing_behind(d):
    d.context()
    array = Placed(d, base(1000)).produce()
    queue = fmp.get_context("spawn").SimpleQueue()
    used = []
    with Reader(queue) as reader:
        for _ in range(3):
            for _ in range(400):
                found, _ = reader.ask(array)
            assert found == {"DtoD": [1, 4000]}
            used.append(left(d))
    assert used[1:] == used[:-1]


@on_driver(simulated=True, hold_us=0)
def test_many_senders_leave_nothing_behind(d):
    d.context()
    used = []
    queue = fmp.get_context("spawn").SimpleQueue()
    for _ in range(6):
        sender = Told(work.put, queue)
        for _ in range(3):
            sender.tell(1000)
            np.testing.assert_array_equal(host(queue.get()), base(1000))
        sender.end()
        used.append(left(d))
    assert used[2:] == used[1:-1]
