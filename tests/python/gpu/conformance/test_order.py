"""Order of work.

CUDA Driver API: "Stream Management", "Event Management", "Stream synchronization behavior",
"API synchronization behavior".

Work that nobody waits for is late on the simulated driver, so what is wrong without a wait is wrong
each time there. On a real driver only what holds is tested.
"""

import ctypes
import threading

from helpers.cuda import REAL, on_driver

LEGACY, PER_THREAD = 1, 2
NON_BLOCKING = 1
NOT_READY = 600
LONG = 3_000_000  # microseconds that work is held when nobody waits for it

OLD, NEW = b"old " * 4, b"new!" * 4


def prepare(d):
    """Two device buffers, one of them old, and a pinned one with what is new."""
    d.context()
    address, copy = d.alloc(16), d.alloc(16)
    d.put(address, OLD)
    d.put(copy, OLD)
    fresh = d.pinned(16)
    fresh.raw = NEW
    return address, copy, fresh


@on_driver(hold_us=LONG)
def test_an_event_orders_two_streams(d):
    address, copy, fresh = prepare(d)
    writer, reader = d.stream(NON_BLOCKING), d.stream(NON_BLOCKING)
    event = d.event()
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, writer)
    d.cuEventRecord(event, writer)
    d.cuStreamWaitEvent(reader, event, 0)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, reader)
    d.cuStreamSynchronize(reader)
    assert d.read(copy, 16) == NEW


@on_driver(simulated=True, hold_us=LONG)
def test_without_the_event_the_reader_is_too_early(d):
    address, copy, fresh = prepare(d)
    writer, reader = d.stream(NON_BLOCKING), d.stream(NON_BLOCKING)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, writer)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, reader)
    d.cuStreamSynchronize(reader)
    assert d.read(copy, 16) == OLD


@on_driver(simulated=True, hold_us=LONG)
def test_a_write_after_a_read_needs_its_event_too(d):
    for ordered in [True, False]:
        address, copy, fresh = prepare(d)
        reader, writer = d.stream(NON_BLOCKING), d.stream(NON_BLOCKING)
        event = d.event()
        d.cuMemcpyDtoDAsync_v2(copy, address, 16, reader)
        if ordered:
            d.cuEventRecord(event, reader)
            d.cuStreamWaitEvent(writer, event, 0)
        d.cuMemcpyHtoDAsync_v2(address, fresh, 16, writer)
        d.cuStreamSynchronize(writer)
        d.cuStreamSynchronize(reader)
        assert d.read(copy, 16) == (OLD if ordered else NEW)


@on_driver(hold_us=LONG)
def test_the_legacy_stream_orders_blocking_streams(d):
    address, copy, fresh = prepare(d)
    stream = d.stream()
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, LEGACY)
    d.cuStreamSynchronize(LEGACY)
    assert d.read(copy, 16) == NEW
    fresh.raw = OLD
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, LEGACY)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, stream)
    d.cuStreamSynchronize(stream)
    assert d.read(copy, 16) == OLD


@on_driver(simulated=True, hold_us=LONG)
def test_the_legacy_stream_does_not_order_non_blocking_streams(d):
    address, copy, fresh = prepare(d)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, d.stream(NON_BLOCKING))
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, LEGACY)
    d.cuStreamSynchronize(LEGACY)
    assert d.read(copy, 16) == OLD


@on_driver(hold_us=LONG)
def test_a_thread_s_own_stream_is_ordered_by_the_legacy_one(d):
    address, copy, fresh = prepare(d)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, PER_THREAD)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, LEGACY)
    d.cuStreamSynchronize(LEGACY)
    assert d.read(copy, 16) == NEW


@on_driver(simulated=True, hold_us=LONG)
def test_a_thread_s_own_stream_does_not_order_another_s(d):
    address, copy, fresh = prepare(d)
    context = d.get("cuCtxGetCurrent")

    def write():
        d.cuCtxSetCurrent(context)
        d.cuMemcpyHtoDAsync_v2(address, fresh, 16, PER_THREAD)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, PER_THREAD)
    d.cuStreamSynchronize(PER_THREAD)
    into = d.pinned(16)
    d.cuMemcpyDtoHAsync_v2(into, copy, 16, PER_THREAD)
    d.cuStreamSynchronize(PER_THREAD)
    assert into.raw == OLD


@on_driver(hold_us=LONG)
def test_functions_with_the_suffix_use_the_thread_s_own_stream(d):
    address, _, fresh = prepare(d)
    d.cuMemcpyHtoDAsync_v2_ptsz(address, fresh, 16, 0)
    d.cuStreamSynchronize_ptsz(0)
    assert d.status("cuStreamQuery", PER_THREAD) == 0
    assert d.read(address, 16) == NEW


@on_driver(hold_us=LONG)
def test_pageable_memory_is_read_before_the_call_returns(d):
    address, _, _ = prepare(d)
    stream = d.stream(NON_BLOCKING)
    source = ctypes.create_string_buffer(NEW, 16)
    d.cuMemcpyHtoDAsync_v2(address, source, 16, stream)
    source.raw = OLD
    d.cuStreamSynchronize(stream)
    assert d.read(address, 16) == NEW


@on_driver(simulated=True, hold_us=LONG)
def test_pinned_memory_is_read_when_the_stream_gets_there(d):
    address, _, fresh = prepare(d)
    stream = d.stream(NON_BLOCKING)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    fresh.raw = OLD
    d.cuStreamSynchronize(stream)
    assert d.read(address, 16) == OLD


@on_driver(hold_us=LONG)
def test_pageable_memory_has_been_written_when_the_call_returns(d):
    address, _, fresh = prepare(d)
    stream = d.stream(NON_BLOCKING)
    into, late = ctypes.create_string_buffer(16), d.pinned(16)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuMemcpyDtoHAsync_v2(into, address, 16, stream)
    assert into.raw == NEW
    d.cuMemcpyDtoHAsync_v2(late, address, 16, stream)
    assert REAL or late.raw == bytes(16), "pinned memory has not"
    d.cuStreamSynchronize(stream)
    assert late.raw == NEW


@on_driver(hold_us=LONG)
def test_a_copy_without_a_stream_waits_for_blocking_streams(d):
    address, _, fresh = prepare(d)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, d.stream())
    assert d.read(address, 16) == NEW


@on_driver(hold_us=LONG)
def test_events_and_streams_say_whether_they_are_done(d):
    address, _, fresh = prepare(d)
    stream, event = d.stream(NON_BLOCKING), d.event(0)
    assert d.status("cuEventQuery", event) == 0, "never recorded is done"
    d.cuStreamWaitEvent(stream, event, 0)
    assert d.status("cuStreamQuery", stream) == 0
    start = d.event(0)
    d.cuEventRecord(start, stream)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuEventRecord(event, stream)
    first = d.status("cuEventQuery", event)
    assert first == NOT_READY or REAL
    d.cuEventSynchronize(event)
    assert d.status("cuEventQuery", event) == d.status("cuStreamQuery", stream) == 0
    assert d.get("cuEventElapsedTime", start, event, kind=ctypes.c_float) >= 0
    quiet = d.event(2)
    d.cuEventRecord(quiet, stream)
    value = ctypes.c_float()
    assert d.status("cuEventElapsedTime", ctypes.byref(value), start, quiet) == 400


@on_driver()
def test_functions_of_the_host_run_in_order(d):
    address, _, fresh = prepare(d)
    stream, seen = d.stream(NON_BLOCKING), threading.Event()
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: seen.set())
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuLaunchHostFunc(stream, callback, None)
    assert seen.wait(30)


@on_driver()
def test_a_captured_stream_refuses_to_wait(d):
    address, _, fresh = prepare(d)
    stream, event = d.stream(NON_BLOCKING), d.event()
    status = ctypes.c_uint()

    def state():
        d.cuStreamIsCapturing(stream, ctypes.byref(status))
        return status.value

    assert state() == 0
    d.cuStreamBeginCapture_v2(stream, 2)
    assert state() == 1
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuEventRecord(event, stream)
    assert d.status("cuStreamQuery", stream) == 900
    assert state() == 2, "the question has spoiled the capture"
    graph = ctypes.c_uint64()
    assert d.status("cuStreamEndCapture", stream, ctypes.byref(graph)) == 901
    d.cuStreamBeginCapture_v2(stream, 2)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuStreamEndCapture(stream, ctypes.byref(graph))
    d.cuStreamSynchronize(stream)
    assert d.read(address, 16) == OLD, "captured work is not done"


@on_driver()
def test_allocation_during_a_strict_capture_is_refused(d):
    d.context()
    stream = d.stream(NON_BLOCKING)
    d.cuStreamBeginCapture_v2(stream, 0)
    assert d.status("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 64) == 900
    assert d.status("cuStreamEndCapture", stream, ctypes.byref(ctypes.c_uint64())) == 901
    d.alloc(64)


@on_driver()
def test_a_relaxed_thread_may_allocate_during_a_capture(d):
    d.context()
    stream, graph = d.stream(NON_BLOCKING), ctypes.c_uint64()
    d.cuStreamBeginCapture_v2(stream, 0)
    mode = ctypes.c_uint(2)
    d.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
    assert mode.value == 0
    d.alloc(64)
    d.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
    assert mode.value == 2
    d.cuStreamEndCapture(stream, ctypes.byref(graph))


@on_driver()
def test_a_relaxed_thread_may_do_all_that_a_transfer_does_during_a_capture(d):
    address, _, fresh = prepare(d)
    stream, other, graph = d.stream(NON_BLOCKING), d.stream(NON_BLOCKING), ctypes.c_uint64()
    d.cuStreamBeginCapture_v2(stream, 0)
    d.cuThreadExchangeStreamCaptureMode(ctypes.byref(ctypes.c_uint(2)))
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, other)
    event = d.event()
    d.cuEventRecord(event, other)
    assert d.status("cuEventQuery", event) in (0, 600)
    d.cuEventSynchronize(event)
    assert d.status("cuEventQuery", event) == 0
    d.cuStreamSynchronize(other)
    d.cuEventDestroy_v2(event)
    d.cuMemFree_v2(d.alloc(64))
    d.cuMemFreeHost(d.get("cuMemHostAlloc", 4096, 1))
    d.get("cuModuleLoadData", ctypes.c_char_p(b".version 8.0\n.target sm_75\n.address_size 64\n"))
    d.cuStreamDestroy_v2(d.stream(NON_BLOCKING))
    d.cuStreamEndCapture(stream, ctypes.byref(graph))


@on_driver()
def test_waiting_for_the_context_spoils_a_capture(d):
    d.context()
    stream = d.stream(NON_BLOCKING)
    d.cuStreamBeginCapture_v2(stream, 0)
    d.cuThreadExchangeStreamCaptureMode(ctypes.byref(ctypes.c_uint(2)))
    assert d.status("cuCtxSynchronize") == 900
    assert d.status("cuStreamEndCapture", stream, ctypes.byref(ctypes.c_uint64())) == 901


@on_driver()
def test_the_legacy_stream_spoils_the_capture_of_a_blocking_one(d):
    address, copy, _ = prepare(d)
    stream = d.stream()
    d.cuStreamBeginCapture_v2(stream, 2)
    assert d.status("cuMemcpyDtoDAsync_v2", copy, address, 16, LEGACY) == 906
    assert d.status("cuStreamEndCapture", stream, ctypes.byref(ctypes.c_uint64())) == 901


@on_driver(hold_us=LONG)
def test_freeing_memory_waits_for_the_work_on_it(d):
    address, copy, fresh = prepare(d)
    stream = d.stream(NON_BLOCKING)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuMemcpyDtoDAsync_v2(copy, address, 16, stream)
    d.cuMemFree_v2(address)
    assert d.read(copy, 16) == NEW


@on_driver(hold_us=LONG)
def test_a_destroyed_stream_does_its_work(d):
    address, _, fresh = prepare(d)
    stream = d.stream(NON_BLOCKING)
    d.cuMemcpyHtoDAsync_v2(address, fresh, 16, stream)
    d.cuStreamDestroy_v2(stream)
    d.cuCtxSynchronize()
    assert d.read(address, 16) == NEW
