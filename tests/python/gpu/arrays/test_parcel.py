"""Parcels that hold memory of a device: copies made there, or the memory itself."""

import gc
import io
import pickle

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import Placed, host

DEVICE = fp.Policy(device="device")
SHARE = fp.Policy(device="device", share=True)
NON_BLOCKING = 1
OLD, NEW = 1, 2


def base():
    return np.arange(24, dtype="<f4").reshape(4, 6)


def arrays(placed):
    a = placed.base
    views = {"whole": a, "rows": a[1:3], "steps": a[:, ::2]}
    return {name: placed.produce(view) for name, view in views.items()}


def check(found):
    a = base()
    for name, expected in [("whole", a), ("rows", a[1:3]), ("steps", a[:, ::2])]:
        np.testing.assert_array_equal(host(found[name]), expected)
    start = found["whole"].__cuda_array_interface__["data"][0]
    assert found["rows"].__cuda_array_interface__["data"][0] == start + 24


@on_driver()
def test_buffers_are_memory_of_the_device(d):
    d.context()
    packed = fp.pack({"deep": [arrays(Placed(d, base()))], "host": np.arange(5)}, policy=DEVICE)
    kinds = sorted(type(buffer).__name__ for buffer in packed.buffers)
    assert kinds == ["DeviceBuffer", "memoryview"]
    assert packed.nbytes == len(packed.stream) + 24 * 4 + 5 * 8
    found = fp.unpack(packed)
    check(found["deep"][0])
    np.testing.assert_array_equal(found["host"], np.arange(5))
    check(pickle.loads(packed.stream, buffers=packed.buffers)["deep"][0])


@on_driver(simulated=True)
def test_nothing_crosses_to_the_host(d):
    d.context()
    sent = arrays(Placed(d, base()))
    fp.pack(sent, policy=DEVICE)
    d.control("reset")
    fp.unpack(fp.pack(sent, policy=DEVICE))
    copies = d.report()["copies"]
    assert "DtoD" in copies or "cuLaunchKernel" in d.report()["calls"]
    assert "DtoH" not in copies, copies
    assert "cuMemcpyDtoHAsync_v2" not in d.report()["calls"]


@on_driver()
def test_as_bytes_they_are_of_the_host(d):
    d.context()
    sent = {"arrays": arrays(Placed(d, base())), "host": np.arange(5)}
    packed = fp.pack(sent, policy=DEVICE)
    for written in (packed.to_bytes(), b"".join(packed.segments())):
        found = fp.unpack(written)
        check(found["arrays"])
        np.testing.assert_array_equal(found["host"], np.arange(5))
    again = pickle.loads(fp.dumps(packed))
    check(fp.unpack(again)["arrays"])


@on_driver(hold_us=1_000_000)
def test_a_parcel_is_a_snapshot(d):
    d.context()
    placed, stream = Placed(d, np.full(1000, OLD, np.uint8)), d.stream(NON_BLOCKING)
    array = placed.produce(stream=stream)
    packed = fp.pack(array, policy=DEVICE)
    placed.overwrite(stream, NEW)
    d.cuStreamSynchronize(stream)
    assert set(fp.unpack(packed).get().tolist()) == {OLD}


@on_driver(hold_us=1_000_000, simulated=True)
def test_without_the_second_edge_it_would_not_be_one(d):
    d.context()
    placed, stream = Placed(d, np.full(1000, OLD, np.uint8)), d.stream(NON_BLOCKING)
    unnamed = placed.produce(stream=1)
    work = d.stream(NON_BLOCKING)
    packed = fp.pack(unnamed, policy=DEVICE)
    placed.overwrite(stream, NEW)
    d.cuStreamSynchronize(stream)
    d.cuStreamSynchronize(work)
    assert set(fp.unpack(packed).get().tolist()) == {NEW}


@on_driver()
def test_shared_memory_is_the_arrays_own(d):
    d.context()
    placed = Placed(d, np.full(1000, OLD, np.uint8))
    array = placed.produce()
    found = fp.unpack(fp.pack(array, policy=SHARE))
    assert found.__cuda_array_interface__["data"][0] == placed.address
    d.put(placed.address, bytes([NEW]) * 1000)
    assert set(found.get().tolist()) == {NEW}


def address(array):
    return array.__cuda_array_interface__["data"][0]


@on_driver()
def test_two_loads_share_unless_they_ask_for_copies(d):
    d.context()
    packed = fp.pack(Placed(d, np.arange(10)).produce(), policy=DEVICE)
    assert address(fp.unpack(packed)) == address(fp.unpack(packed))
    one, other = fp.unpack(packed, copy="always"), fp.unpack(packed)
    assert address(one) != address(other)
    np.testing.assert_array_equal(one.get(), np.arange(10))


@on_driver(simulated=True)
def test_memory_goes_when_the_last_array_does(d):
    d.context()
    array = Placed(d, np.arange(1000)).produce()
    fp.unpack(fp.pack(array, policy=DEVICE))
    gc.collect()
    before = d.report()["bytes"]
    packed = fp.pack(array, policy=DEVICE)
    found = fp.unpack(packed)
    del packed
    gc.collect()
    assert d.report()["bytes"] > before
    np.testing.assert_array_equal(found.get(), np.arange(1000))
    del found
    gc.collect()
    assert d.report()["bytes"] == before
    assert d.violations() == []


@on_driver()
def test_without_a_taker_the_bytes_go_by_the_host(d):
    d.context()
    sent = arrays(Placed(d, base()))
    buffers = []
    check(fp.loads(fp.dumps(sent, policy=DEVICE)))
    stream = fp.dumps(sent, policy=DEVICE, buffer_callback=buffers.append)
    assert sum(memoryview(buffer).nbytes for buffer in buffers) >= 96
    check(fp.loads(stream, buffers=buffers))


@on_driver()
def test_a_parcel_of_a_device_needs_ferropickle_and_says_so(d):
    d.context()
    with pytest.raises(fp.PicklingError, match="ferropickle"):
        fp.pack(Placed(d, base()).produce(), policy=fp.Policy(device="device", require_stock=True))


def taker(into, *, unwrapped=True, keeps=False):
    """A callback that takes device memory; it may hold on to the PickleBuffers, or refuse."""

    def take(buffer):
        stand_in = memoryview(buffer).obj
        into.append(getattr(stand_in, "device_buffer", buffer) if unwrapped else buffer)
        return keeps

    take.takes_device_buffers = True
    return take


def pickler(obj, **options):
    file = io.BytesIO()
    fp.Pickler(file, **options).dump(obj)
    return file.getvalue()


@on_driver()
def test_a_callback_that_says_so_takes_memory_of_the_device(d):
    d.context()
    sent = {"arrays": [arrays(Placed(d, base()))], "host": np.arange(5)}
    for unwrapped in (True, False):
        for dump in (fp.dumps, pickler):
            taken = []
            stream = dump(sent, buffer_callback=taker(taken, unwrapped=unwrapped), policy=DEVICE)
            assert len(taken) == 2, "one for the whole and its views, one of NumPy's"
            if unwrapped:
                assert [type(buffer).__name__ for buffer in taken].count("DeviceBuffer") == 1
            for load in (fp.loads, pickle.loads, pickle._loads):
                found = load(stream, buffers=taken)
                check(found["arrays"][0])
                np.testing.assert_array_equal(found["host"], np.arange(5))


@on_driver()
def test_what_such_a_callback_refuses_stays_in_the_stream(d):
    d.context()
    taken = []
    callback = taker(taken, keeps=True)
    stream = fp.dumps(arrays(Placed(d, base())), buffer_callback=callback, policy=DEVICE)
    assert len(taken) == 1
    check(fp.loads(stream))


@on_driver()
def test_without_the_policy_such_a_callback_gets_bytes(d):
    d.context()
    taken = []
    stream = fp.dumps(arrays(Placed(d, base())), buffer_callback=taker(taken))
    assert all(memoryview(buffer).nbytes for buffer in taken)
    check(fp.loads(stream, buffers=taken))
