"""Contexts. CUDA Driver API: "Context Management", "Primary Context Management"."""

import ctypes
import threading

from helpers.cuda import on_driver

INVALID_CONTEXT = 201


@on_driver()
def test_a_primary_context_is_shared_and_counted(d):
    first = d.get("cuDevicePrimaryCtxRetain", 0)
    assert d.get("cuDevicePrimaryCtxRetain", 0) == first
    flags, active = ctypes.c_uint(), ctypes.c_int()

    def is_active():
        d.cuDevicePrimaryCtxGetState(0, ctypes.byref(flags), ctypes.byref(active))
        return bool(active.value)

    d.cuDevicePrimaryCtxRelease_v2(0)
    assert is_active()
    d.cuDevicePrimaryCtxRelease_v2(0)
    assert not is_active()
    assert d.status("cuDevicePrimaryCtxRelease_v2", 0) == INVALID_CONTEXT


@on_driver()
def test_retaining_makes_nothing_current(d):
    context = d.get("cuDevicePrimaryCtxRetain", 0)
    assert d.get("cuCtxGetCurrent") == 0
    assert d.status("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 64) == INVALID_CONTEXT
    d.cuCtxPushCurrent_v2(context)
    assert d.get("cuCtxGetCurrent") == context
    assert d.get("cuCtxGetDevice", kind=ctypes.c_int) == 0
    assert d.get("cuCtxPopCurrent_v2") == context
    assert d.get("cuCtxGetCurrent") == 0
    assert d.status("cuCtxPopCurrent_v2", None) == INVALID_CONTEXT


@on_driver()
def test_the_current_context_is_a_thread_s_own(d):
    context = d.context()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(d.get("cuCtxGetCurrent")))
    thread.start()
    thread.join()
    assert seen == [0]
    assert d.get("cuCtxGetCurrent") == context


@on_driver()
def test_setting_replaces_the_top_and_null_pops_it(d):
    context = d.get("cuDevicePrimaryCtxRetain", 0)
    other = d.get("cuCtxCreate_v2", 0, 0)
    assert d.get("cuCtxGetCurrent") == other, "a new context is pushed"
    d.cuCtxPushCurrent_v2(other)
    d.cuCtxSetCurrent(context)
    assert d.get("cuCtxGetCurrent") == context
    d.cuCtxSetCurrent(0)
    assert d.get("cuCtxGetCurrent") == other
    d.cuCtxDestroy_v2(other)
    assert d.get("cuCtxGetCurrent") == 0


@on_driver()
def test_a_context_that_has_ended_is_of_no_use(d):
    d.context()
    d.cuDevicePrimaryCtxRelease_v2(0)
    assert d.status("cuCtxSynchronize") in {INVALID_CONTEXT, 709}
    assert d.status("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 64) in {INVALID_CONTEXT, 709}


@on_driver(simulated=True, devices=2)
def test_peers(d):
    first, second = d.context(0), d.get("cuDevicePrimaryCtxRetain", 1)
    can = ctypes.c_int()
    d.cuDeviceCanAccessPeer(ctypes.byref(can), 0, 1)
    assert can.value == 1
    d.cuCtxEnablePeerAccess(second, 0)
    assert d.status("cuCtxEnablePeerAccess", second, 0) == 704
    d.cuCtxDisablePeerAccess(second)
    assert d.status("cuCtxDisablePeerAccess", second) == 705
    here = d.alloc(16)
    d.put(here, b"from first to 2.")
    d.cuCtxSetCurrent(second)
    there = d.alloc(16)
    assert d.attribute(there, 9, ctypes.c_int) == 1
    d.cuMemcpyPeer(there, second, here, first, 16)
    assert d.read(there, 16) == b"from first to 2."
