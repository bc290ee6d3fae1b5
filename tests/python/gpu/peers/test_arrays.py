"""Arrays of Numba and buffers of cuda.core, real ones on the simulated driver."""

import ctypes
import importlib.util
import io
import os
import pickle

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import REAL, Peer, on_driver


def needs(package):
    """A mark that skips a test where a package is not installed."""
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    return pytest.mark.skipif(
        found is None, reason=f"{package} is not installed: make test-gpu-peers"
    )


def pickler(obj):
    file = io.BytesIO()
    fp.Pickler(file).dump(obj)
    return fp.loads(file.getvalue())


DEVICE = fp.Policy(device="device")
ROUTES = [
    lambda obj: fp.loads(fp.dumps(obj)),
    lambda obj: fp.loads(fp.dumps(obj, 3)),
    lambda obj: pickle.loads(fp.dumps(obj)),
    lambda obj: fp.unpack(fp.pack(obj)),
    lambda obj: fp.unpack(fp.pack(obj).to_bytes()),
    pickler,
    lambda obj: fp.unpack(fp.pack(obj, policy=DEVICE)),
    lambda obj: fp.unpack(fp.pack(obj, policy=DEVICE).to_bytes()),
]


def address(array):
    return array.__cuda_array_interface__["data"][0]


@needs("numba_cuda")
@on_driver()
def test_numba_arrays(d):
    from numba import cuda

    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    record = np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "<i4"), ("b", "<f8")])
    whole = cuda.to_device(base)
    sent = {
        "whole": whole,
        "rows": whole[1:3],
        "columns": whole[:, ::2],
        "fortran": cuda.to_device(np.asfortranarray(base)),
        "point": cuda.to_device(np.array(5.0)),
        "empty": cuda.to_device(np.empty((0, 3))),
        "records": cuda.to_device(record),
    }
    for route in ROUTES:
        found = route(sent)
        for name, array in sent.items():
            assert type(found[name]) is type(array)
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name].copy_to_host(), array.copy_to_host())
            assert not array.size or found[name].strides == array.strides, name
        offsets = [address(found[name]) - address(found["whole"]) for name in ("rows", "columns")]
        assert offsets == [24, 0]
    turned = {name: sent[name] for name in ("columns", "rows", "whole")}
    for route in ROUTES:
        if route is not pickler:
            found = route(turned)
            offsets = [address(found[name]) - address(found["whole"]) for name in turned]
            assert offsets == [0, 24, 0]
            for name, array in turned.items():
                np.testing.assert_array_equal(found[name].copy_to_host(), array.copy_to_host())
    assert REAL or d.violations() == []


@needs("numba_cuda")
@on_driver()
def test_a_view_of_numba_that_goes_alone_takes_its_own_bytes(d):
    from numba import cuda

    whole = cuda.to_device(np.arange(1 << 16, dtype=np.uint8))
    part = whole[100:200:3]
    assert len(fp.dumps(part)) < 1000
    np.testing.assert_array_equal(fp.loads(fp.dumps(part)).copy_to_host(), part.copy_to_host())


@needs("numba_cuda")
@on_driver(devices=2, simulated=True)
def test_numba_arrays_stay_on_their_device_or_go_where_the_policy_says(d):
    from numba import cuda

    with cuda.gpus[1]:
        data = fp.dumps(cuda.to_device(np.arange(10)))

    def ordinal(array):
        from ferropickle._native import device_ids, device_memory

        return device_ids().index(device_memory(address(array))[1])

    assert ordinal(fp.loads(data)) == 1
    assert ordinal(fp.loads(data, policy=fp.Policy(place=0))) == 0
    assert ordinal(pickle.loads(data)) == 0, "plain pickle takes the current device"
    assert cuda.get_current_device().id == 0


@needs("numba_cuda")
@on_driver(hold_us=1_000_000)
def test_the_stream_of_a_numba_array_is_waited_for(d):
    from numba import cuda

    stream = cuda.stream()
    array = cuda.to_device(np.zeros(1000, dtype=np.uint8), stream=stream)
    d.cuMemsetD8Async(address(array), 7, 1000, int(stream.handle))
    assert set(fp.loads(fp.dumps(array)).copy_to_host().tolist()) == {7}


@needs("numba_cuda")
@on_driver(hold_us=200, simulated=True)
def test_many_arrays_of_numba_are_few_copies(d):
    from numba import cuda

    base = np.arange(1000 * 64, dtype=np.float32).reshape(1000, 64)
    sent = [cuda.to_device(row) for row in base]
    sent += [array[3:5] for array in sent]
    data = fp.dumps(sent)
    fp.loads(fp.dumps(sent[:2]))  # What transfers need is made once.
    d.control("reset")
    found = fp.loads(data)
    calls = d.report()["calls"]
    copies = {name: count for name, count in calls.items() if "HtoD" in name}
    assert sum(copies.values()) == 1, calls
    assert calls.get("cuStreamSynchronize", 0) + calls.get("cuEventSynchronize", 0) <= 2, calls
    for array, row in zip(found, base):
        np.testing.assert_array_equal(array.copy_to_host(), row)
    np.testing.assert_array_equal(found[-1].copy_to_host(), base[-1, 3:5])
    assert d.violations() == []


@needs("cuda.core")
@on_driver()
def test_buffers_of_cuda_core(d):
    from cuda.core import Device

    device = Device(0)
    device.set_current()
    sent = device.allocate(1000, stream=device.default_stream)
    d.put(int(sent.handle), bytes(range(250)) * 4)
    for route in ROUTES:
        found = route({"buffer": sent})["buffer"]
        assert (type(found), found.size, found.device_id) == (type(sent), 1000, 0)
        assert d.read(int(found.handle), 1000) == bytes(range(250)) * 4


@needs("cuda.core")
@on_driver(simulated=True)
def test_many_buffers_of_cuda_core_are_few_copies(d):
    from cuda.core import Device

    device = Device(0)
    device.set_current()
    sent = [device.allocate(100, stream=device.default_stream) for _ in range(200)]
    for number, buffer in enumerate(sent):
        d.put(int(buffer.handle), bytes([number]) * 100)
    data = fp.dumps(sent)
    fp.loads(data)
    d.control("reset")
    found = fp.loads(data)
    calls = d.report()["calls"]
    assert sum(count for name, count in calls.items() if "HtoD" in name) <= 3, calls
    for number, buffer in enumerate(found):
        assert d.read(int(buffer.handle), 100) == bytes([number]) * 100
    before = d.report()["live"]
    del found, buffer
    assert d.report()["live"]["device"] == before["device"] - 200


def tell(d, other):
    """In the other process: answer each array with what it is, and whether its memory is mapped."""
    from numba import cuda

    cuda.current_context()
    with fp.Channel.connect(other.receive().decode()) as channel:
        for array in channel:
            status = d.status("cuIpcGetMemHandle", (ctypes.c_char * 64)(), address(array))
            kind = type(array).__name__, array.dtype, array.strides
            channel.send((*kind, array.copy_to_host(), status != 0))


@needs("numba_cuda")
@on_driver()
def test_numba_arrays_stay_on_the_device_on_a_channel(d):
    from numba import cuda

    path = f"/tmp/fp-test-{os.getpid()}"
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    whole = cuda.to_device(base)
    with fp.Channel.listen(path) as listener, Peer(tell) as peer:
        peer.send(path.encode())
        with listener.accept(timeout=60) as channel, fp.policy(device="auto"):
            for mapped in (False, True, True):
                for array, expected in ((whole, base), (whole[1:3], base[1:3])):
                    channel.send(array)
                    *kind, found, is_mapped = channel.recv(timeout=60)
                    assert kind == ["DeviceNDArray", np.float32, array.strides]
                    np.testing.assert_array_equal(found, expected)
                    assert is_mapped == mapped or array is not whole
