"""What the simulated driver does beyond what drivers do: faults, limits, counts, violations."""

import ctypes
import os
import time

from helpers.cuda import Peer, on_driver

LONG = 3_000_000


@on_driver(simulated=True, faults="cuMemAlloc_v2:2=2;cuStreamCreate:1=919")
def test_the_nth_call_fails(d):
    d.context()
    out = ctypes.c_uint64()
    statuses = [d.status("cuMemAlloc_v2", ctypes.byref(out), 64) for _ in range(3)]
    assert statuses == [0, 2, 0]
    assert d.status("cuStreamCreate", ctypes.byref(out), 0) == 919, "a status without a name"
    d.control("fault *:2=700")
    assert d.status("cuCtxSynchronize") == 0
    assert d.status("cuCtxSynchronize") == 700
    assert d.status("cuMemAlloc_v2", ctypes.byref(out), 64) == 700, "the context is lost"
    d.cuDevicePrimaryCtxReset_v2(0)
    d.context()
    d.alloc(64)


@on_driver(simulated=True, memory=1 << 20)
def test_memory_is_limited(d):
    d.context()
    first = d.alloc(1 << 19)
    out = ctypes.c_uint64()
    assert d.status("cuMemAlloc_v2", ctypes.byref(out), (1 << 19) + 1) == 2
    d.cuMemFree_v2(first)
    d.alloc(1 << 20)
    d.control("memory 4194304")
    d.alloc(1 << 20)


@on_driver(simulated=True)
def test_the_report_counts_calls_copies_and_objects(d):
    d.context()
    address, stream = d.alloc(100), d.stream()
    d.control("reset")
    into = d.pinned(100)
    d.cuMemcpyDtoHAsync_v2(into, address, 100, stream)
    d.cuStreamSynchronize(stream)
    report = d.report()
    assert report["copies"] == {"DtoH": [1, 100]}
    assert report["log"] == ["cuMemHostAlloc", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"]
    assert report["calls"]["cuStreamSynchronize"] == 1
    live = report["live"]
    assert (live["device"], live["streams"], live["pinned"], live["contexts"]) == (1, 1, 1, 1)
    d.cuStreamDestroy_v2(stream)
    d.cuMemFree_v2(address)
    d.cuMemFreeHost(into)
    live = d.report()["live"]
    assert (live["device"], live["streams"], live["pinned"]) == (0, 0, 0)
    assert d.violations() == []


@on_driver(simulated=True)
def test_ending_the_context_frees_what_it_owns(d):
    d.context()
    d.alloc(64), d.stream(), d.event(), d.pinned(64), d.get("cuMemAllocAsync", 64, 0)
    d.cuDevicePrimaryCtxRelease_v2(0)
    report = d.report()
    left = {name for name, count in report["live"].items() if count}
    assert left == set()
    assert report["bytes"] == 0


def noted(d, *words):
    """The violations name all of the words; forget them."""
    text = " ".join(d.violations())
    assert all(word in text for word in words), (words, text)
    d.control("reset")


@on_driver(simulated=True, hold_us=LONG)
def test_mistakes_are_named(d):
    d.context()
    address = d.alloc(64)
    into = ctypes.create_string_buffer(128)
    assert d.status("cuMemcpyDtoH_v2", into, address, 65) == 1
    noted(d, "leaves its allocation")
    assert d.status("cuMemFree_v2", address + 8) == 1
    noted(d, "inside an allocation")
    d.cuMemFree_v2(address)
    assert d.status("cuMemFree_v2", address) == 1
    noted(d, "freed already")
    assert d.status("cuMemcpyDtoH_v2", into, address, 1) == 1
    noted(d, "leaves its allocation")
    assert d.status("cuMemcpyHtoD_v2", ctypes.addressof(into), into, 1) == 1
    noted(d, "given as device memory")
    assert d.status("cuStreamSynchronize", 0x1234) == 400
    noted(d, "is no stream")
    stream = d.stream()
    d.cuStreamDestroy_v2(stream)
    assert d.status("cuStreamDestroy_v2", stream) == 400
    noted(d, "no longer")


@on_driver(simulated=True, hold_us=LONG)
def test_pooled_memory_is_used_in_the_order_of_its_stream(d):
    d.context()
    first, second = d.stream(1), d.stream(1)
    address = d.get("cuMemAllocAsync", 64, first)
    d.cuMemsetD8Async(address, 1, 64, second)
    assert d.status("cuStreamSynchronize", second) == 700
    noted(d, "before the stream that allocates it")
    d.cuDevicePrimaryCtxReset_v2(0)
    d.context()
    first, second = d.stream(1), d.stream(1)
    address = d.get("cuMemAllocAsync", 64, first)
    d.cuMemFreeAsync(address, first)
    d.cuStreamSynchronize(first)
    assert d.status("cuMemsetD8Async", address, 1, 64, second) == 1
    other = d.get("cuMemAllocAsync", 64, first)
    d.cuStreamSynchronize(first)
    d.cuMemsetD8Async(other, 1, 64, second)
    d.cuMemFreeAsync(other, first)
    d.cuStreamSynchronize(first)
    assert d.status("cuStreamSynchronize", second) == 700
    noted(d, "after it was freed")


@on_driver(simulated=True, hold_us=50_000)
def test_work_that_nobody_waits_for_is_done_after_its_time(d):
    d.context()
    address, stream = d.alloc(16), d.stream(1)
    late = d.pinned(16)
    d.cuMemcpyDtoHAsync_v2(late, address, 16, stream)
    assert late.raw == bytes(16)
    deadline = time.monotonic() + 30
    while late.raw != b"\xcd" * 16:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert d.read(address, 16) == b"\xcd" * 16, "new memory is unlike any data"


@on_driver(simulated=True)
def test_host_memory_that_is_not_there_is_no_crash(d):
    d.context()
    address = d.alloc(16)
    assert d.status("cuMemcpyHtoD_v2", address, ctypes.c_void_p(4096), 16) == 700
    noted(d, "is not there")


def tell_an_address(d, other):
    d.context()
    other.send(str(d.alloc(16)).encode())


@on_driver(simulated=True)
def test_addresses_differ_between_processes(d):
    d.context()
    address = d.alloc(16)
    with Peer(tell_an_address) as peer:
        there = int(peer.receive())
    assert d.status("cuMemsetD8_v2", there, 0, 16) == 1, "no address of this process"
    d.cuMemsetD8_v2(address, 0, 16)


@on_driver(simulated=True, devices=3)
def test_many_messages_leave_nothing_behind(d):
    d.context(2)
    stream, into = d.stream(1), d.pinned(4096)

    def message():
        address, event = d.alloc(4096), d.event()
        d.cuMemcpyDtoHAsync_v2(into, address, 4096, stream)
        d.cuEventRecord(event, stream)
        d.cuEventSynchronize(event)
        d.cuEventDestroy_v2(event)
        d.cuMemFree_v2(address)

    message()
    before = len(os.listdir("/proc/self/fd")), d.report()["live"], d.report()["bytes"]
    for _ in range(300):
        message()
    assert before == (len(os.listdir("/proc/self/fd")), d.report()["live"], d.report()["bytes"])
