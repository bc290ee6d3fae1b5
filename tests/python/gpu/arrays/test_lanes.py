"""Arrays that stay on their device on the way through pools, pipes and queues: `device="auto"`."""

import pickle
import struct

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


def base(n=N):
    return np.arange(n, dtype="<f4")


# ---- pools ---------------------------------------------------------------------------------------


def tasks_stay(d, method):
    array = Placed(d, base()).produce()
    with fmp.get_context(method).Pool(1) as pool, fp.policy(AUTO):
        ways = []
        for _ in range(4):
            work.copies(d)
            found, data = pool.apply(work.counted, (array,))
            assert data == base().tobytes()
            ways.append((work.copies(d), found))
    assert "DtoH" in ways[0][0]
    assert "DtoD" not in ways[0][1]
    assert ways[1:] == [(BY_DEVICE, BY_DEVICE)] * 3


def results_stay(d, method):
    with fmp.get_context(method).Pool(1) as pool, fp.policy(AUTO):
        ways = []
        for _ in range(4):
            work.copies(d)
            before, array = pool.apply(work.produced, (N,))
            ways.append((before, work.copies(d)))
            np.testing.assert_array_equal(host(array), base())
    assert [came for _, came in ways[1:]] == [BY_DEVICE] * 3
    assert [sent for sent, _ in ways[2:]] == [BY_DEVICE] * 2


@on_driver(simulated=True)
def test_tasks_stay_on_the_device_with_spawn(d):
    d.context()
    tasks_stay(d, "spawn")


@on_driver(simulated=True)
def test_tasks_stay_on_the_device_with_forkserver(d):
    d.context()
    tasks_stay(d, "forkserver")


@on_driver(simulated=True)
def test_results_stay_on_the_device_with_spawn(d):
    d.context()
    results_stay(d, "spawn")


@on_driver(simulated=True)
def test_results_stay_on_the_device_with_forkserver(d):
    d.context()
    results_stay(d, "forkserver")


@on_driver()
def test_maps_there_and_back(d):
    d.context()
    arrays = [base(n) for n in range(1000, 1040)]
    with fmp.get_context("spawn").Pool(2) as pool, fp.policy(AUTO):
        for chunksize in (1, 3):
            sent = [Placed(d, array).produce() for array in arrays]
            back = pool.map(work.same, sent, chunksize)
            for found, expected in zip(back, arrays):
                np.testing.assert_array_equal(host(found), expected)


@on_driver(simulated=True)
def test_without_a_policy_nothing_changes(d):
    d.context()
    array = Placed(d, base()).produce()
    with fmp.get_context("spawn").Pool(1) as pool:
        for _ in range(3):
            found, data = pool.apply(work.counted, (array,))
            assert "DtoD" not in found
            assert data == base().tobytes()
    assert left(d)[2] == [0, 0, 0]


# ---- queues and pipes ----------------------------------------------------------------------------


def queue_stays(d, questions):
    array = Placed(d, base()).produce()
    with Reader(questions) as reader:
        ways = []
        for _ in range(4):
            work.copies(d)
            found, data = reader.ask(array)
            assert data == base().tobytes()
            ways.append((work.copies(d), found))
    assert "DtoH" in ways[0][0]
    assert "DtoD" not in ways[0][1]
    assert ways[1:] == [(BY_DEVICE, BY_DEVICE)] * 3


@on_driver(simulated=True)
def test_queues(d):
    d.context()
    queue_stays(d, fmp.get_context("spawn").Queue())


@on_driver(simulated=True)
def test_simple_queues(d):
    d.context()
    queue_stays(d, fmp.get_context("spawn").SimpleQueue())


@on_driver(simulated=True)
def test_pipes(d):
    d.context()
    context = fmp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work.answer_by_pipe, args=(there,))
    process.start()
    array = Placed(d, base()).produce()
    ways = []
    for _ in range(3):
        work.copies(d)
        with fp.policy(AUTO):
            here.send(array)
        sent = work.copies(d)
        ways.append((sent, here.recv()[0]))
    here.send(None)
    process.join(60)
    assert ways[1:] == [(BY_DEVICE, BY_DEVICE)] * 2


@on_driver(simulated=True)
def test_executors(d):
    d.context()
    array = Placed(d, base()).produce()
    context = fmp.get_context("spawn")
    with fmp.ProcessPoolExecutor(1, mp_context=context) as executor, fp.policy(AUTO):
        for _ in range(3):
            found, data = executor.submit(work.counted, array).result()
            assert data == base().tobytes()
    assert found == BY_DEVICE


@on_driver(simulated=True)
def test_forked_processes_of_one_that_uses_no_driver():
    context = fmp.get_context("fork")
    questions, answers, (here, there) = context.Queue(), context.SimpleQueue(), context.Pipe()
    with fp.policy(AUTO):
        here.send("it has a lane")
    assert there.recv() == "it has a lane"
    reader = context.Process(target=work.answer, args=(questions, answers))
    sender = context.Process(target=work.put, args=(questions, there))
    reader.start()
    sender.start()
    for _ in range(3):
        here.send(N)
        assert here.recv() == N
        found, data = answers.get()
        assert data == base().tobytes()
    assert found == BY_DEVICE
    here.send(0)
    sender.join(60)
    questions.put(None)
    reader.join(60)
    assert (sender.exitcode, reader.exitcode) == (0, 0)


@on_driver(simulated=True)
def test_a_process_reads_what_it_has_sent(d):
    d.context()
    array = Placed(d, base()).produce()
    questions = fmp.get_context("spawn").SimpleQueue()
    with Reader(questions) as reader:
        for _ in range(2):
            reader.ask(array)
        ours = fmp.get_context("spawn").SimpleQueue()
        with fp.policy(AUTO):
            ours.put(array)
        np.testing.assert_array_equal(host(ours.get()), base())
        assert reader.ask(array)[0] == BY_DEVICE


# ---- where it cannot be --------------------------------------------------------------------------


@on_driver(simulated=True)
def test_a_reader_that_cannot_map_memory_is_sent_bytes(d):
    d.context()
    array = Placed(d, base()).produce()
    questions = fmp.get_context("spawn").SimpleQueue()
    with Reader(questions, CUDASIM_VMM="0") as reader:
        for _ in range(3):
            work.copies(d)
            found, data = reader.ask(array)
            assert "DtoD" not in found
            assert data == base().tobytes()
            assert "DtoD" not in work.copies(d)
    assert left(d)[2] == [0, 0, 0], "no memory is kept for who has refused it"


@on_driver(simulated=True)
def test_a_reader_that_comes_later_and_cannot_map_memory_asks_for_bytes(d):
    d.context()
    array = Placed(d, base()).produce()
    questions = fmp.get_context("spawn").SimpleQueue()
    with Reader(questions) as reader:
        for _ in range(3):
            found, _ = reader.ask(array)
        assert found == BY_DEVICE
    with Reader(questions, CUDASIM_VMM="0") as reader:
        for _ in range(20):
            work.copies(d)
            found, data = reader.ask(array)
            assert "DtoD" not in found
            assert data == base().tobytes()
            assert work.copies(d) == {"DtoD": [1, BYTES], "DtoH": [1, BYTES]}
    with Reader(questions) as reader:
        assert reader.ask(array)[0] == BY_DEVICE
    assert d.violations() == []


@on_driver(simulated=True)
def test_readers_without_a_driver_get_arrays_of_the_host(d):
    """One that has none at all, and one that was forked from a process that uses it."""
    d.context()
    array = Placed(d, base()).produce()
    expected = "ndarray", base().tobytes()
    for turn in ("before", "after"):
        questions = fmp.get_context("spawn").SimpleQueue()
        for method, variables in (("spawn", {"LD_LIBRARY_PATH": None}), ("fork", {})):
            with Reader(questions, work.answer_from_the_host, method, **variables) as reader:
                for _ in range(3):
                    assert reader.ask(array) == expected, turn
        with Reader(questions) as reader:
            for _ in range(3):
                reader.ask(array)


# ---- who lies ------------------------------------------------------------------------------------


def ticket(address, arena, *, length=100):
    note = b"fpds" + struct.pack("<IQIIQI64x", 1, arena, 0, 0, length, 0)
    places = b"fpdp\x01\0\0\0" + struct.pack("<Q", 1) + note + struct.pack("<4Q", 0, 0, 0, 100)
    head = b"\xfbFT\x01" + struct.pack("<IQ", len(address), 1)
    return head + address + struct.pack("<Q", len(places)) + places


@on_driver(simulated=True)
def test_lies_are_refused(d):
    d.context()
    context = fmp.get_context("spawn")
    here, there = context.Pipe()
    array = Placed(d, base()).produce()
    with fp.policy(AUTO):
        here.send(array)
    sent = there.recv_bytes()
    length = struct.unpack_from("<I", sent, 4)[0]
    address = sent[16 : 16 + length]
    whole = ticket(address, 7) + pickle.dumps(None)
    for message, error, text in [
        (whole, fp.DeviceError, "given up the memory"),
        (ticket(b"\0ferropickle-nobody", 7), fp.DeviceError, "cannot be asked"),
        (ticket(b"/tmp/elsewhere", 7), fp.DeviceError, "no address"),
        (ticket(address, 7, length=99), fp.UnpicklingError, "makes no sense"),
        (whole[:40], fp.UnpicklingError, "makes no sense"),
    ]:
        here.send_bytes(message)
        with pytest.raises(error, match=text):
            there.recv()
    for question in (b"", b"A", b"B", b"B" + bytes(100), b"?" * 100, b"A" + bytes(8)):
        with pytest.raises(fp.DeviceError):
            _offers.ask(address, question)
    here.send("and again")
    assert there.recv() == "and again"


@on_driver(simulated=True)
def test_a_message_is_read_once(d):
    d.context()
    array = Placed(d, base()).produce()
    questions, ours = (fmp.get_context("spawn").SimpleQueue() for _ in range(2))
    with Reader(questions) as reader:
        for _ in range(2):
            reader.ask(array)
        with fp.policy(AUTO):
            ours.put(array)
        message = ours._reader.recv_bytes()
        for _ in range(2):
            ours._writer.send_bytes(message)
        np.testing.assert_array_equal(host(ours.get()), base())
        with pytest.raises(fp.DeviceError, match="taken"):
            ours.get()


# ---- what is refused -----------------------------------------------------------------------------


@on_driver()
def test_memory_is_not_shared_live(d):
    d.context()
    array = Placed(d, base()).produce()
    reader, writer = fmp.Pipe()
    with reader, writer:
        for device in ("auto", "device"):
            with (
                fp.policy(device=device, share=True),
                pytest.raises(fp.DeviceError, match=r"^obj\[0\]: share=True"),
            ):
                writer.send([array])
        with fp.policy(share=True):
            writer.send([array])
        np.testing.assert_array_equal(host(reader.recv()[0]), base())
