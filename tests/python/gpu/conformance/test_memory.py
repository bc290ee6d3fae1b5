"""Memory.

CUDA Driver API: "Memory Management", "Unified Addressing", "Stream Ordered Memory Allocator".
"""

import ctypes
import signal
import subprocess
import sys

from helpers.cuda import child_environment, on_driver

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
HOST, DEVICE = 1, 2


@on_driver()
def test_bytes_go_there_and_back(d):
    d.context()
    address = d.alloc(100_000)
    data = bytes(range(250)) * 400
    d.put(address, data)
    assert d.read(address, len(data)) == data
    assert d.read(address + 250, 5) == bytes(range(5)), "an address inside is as good"
    d.cuMemFree_v2(address)
    d.cuMemFree_v2(0)
    assert d.status("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 0) == INVALID_VALUE


def test_the_host_faults_on_device_memory():
    code = """
        import ctypes
        from helpers.cuda import Driver
        d = Driver()
        d.cuInit(0)
        d.context()
        address = d.alloc(64)
        d.put(address, bytes(64))
        print("ready", flush=True)
        ctypes.string_at(address, 1)
    """
    command = [
        sys.executable,
        "-X",
        "faulthandler=0",
        "-c",
        "\n".join(map(str.strip, code.split("\n"))),
    ]
    env = {**child_environment(), "PYTHONFAULTHANDLER": ""}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60)
    assert (done.stdout, done.returncode) == (b"ready\n", -signal.SIGSEGV), done.stderr


@on_driver()
def test_the_range_of_an_address(d):
    d.context()
    address = d.alloc(5000)
    base, size = ctypes.c_uint64(), ctypes.c_size_t()
    d.cuMemGetAddressRange_v2(ctypes.byref(base), ctypes.byref(size), address + 17)
    assert (base.value, size.value) == (address, 5000)
    assert d.status("cuMemGetAddressRange_v2", None, None, 4096) != 0


@on_driver()
def test_free_memory_is_told(d):
    d.context()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    d.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    before = free.value
    address = d.alloc(64 << 20)
    d.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    assert free.value <= before - (64 << 20) < total.value
    d.cuMemFree_v2(address)
    too_much = 2 * total.value
    assert d.status("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), too_much) == OUT_OF_MEMORY


@on_driver()
def test_memory_is_set(d):
    d.context()
    address = d.alloc(64)
    d.cuMemsetD8_v2(address, 0xAB, 64)
    d.cuMemsetD16_v2(address, 0x1234, 4)
    d.cuMemsetD32_v2(address + 16, 0xDEADBEEF, 2)
    data = d.read(address, 64)
    assert data[:8] == b"\x34\x12" * 4
    assert data[16:24] == bytes.fromhex("efbeadde") * 2
    assert data[8:16] == b"\xab" * 8
    assert d.status("cuMemsetD32_v2", address + 1, 0, 1) == INVALID_VALUE, "misaligned"


@on_driver()
def test_rectangles_are_copied(d):
    class Copy2D(ctypes.Structure):
        _fields_ = [
            (side + name, kind)
            for side in ("src_", "dst_")
            for name, kind in [
                ("x", ctypes.c_size_t),
                ("y", ctypes.c_size_t),
                ("kind", ctypes.c_uint),
                ("host", ctypes.c_void_p),
                ("device", ctypes.c_uint64),
                ("array", ctypes.c_void_p),
                ("pitch", ctypes.c_size_t),
            ]
        ] + [("width", ctypes.c_size_t), ("height", ctypes.c_size_t)]

    d.context()
    address = d.alloc(8 * 10)
    d.put(address, bytes(range(80)))
    into = ctypes.create_string_buffer(12)
    what = Copy2D(
        src_x=2,
        src_y=1,
        src_kind=DEVICE,
        src_device=address,
        src_pitch=10,
        dst_kind=HOST,
        dst_host=ctypes.addressof(into),
        dst_pitch=4,
        width=4,
        height=3,
    )
    d.cuMemcpy2D_v2(ctypes.byref(what))
    assert into.raw == bytes([12, 13, 14, 15, 22, 23, 24, 25, 32, 33, 34, 35])
    what.width = 9
    assert d.status("cuMemcpy2D_v2", ctypes.byref(what)) == INVALID_VALUE, "wider than the pitch"


@on_driver()
def test_what_a_pointer_is(d):
    context = d.context()
    address = d.alloc(1000)
    assert d.attribute(address + 5, 1) == context
    assert d.attribute(address, 2, ctypes.c_uint) == DEVICE
    assert d.attribute(address, 9, ctypes.c_int) == 0
    assert d.attribute(address + 5, 11) == address
    assert d.attribute(address, 12) == 1000
    assert d.attribute(address, 8, ctypes.c_uint8) == 0
    host = ctypes.addressof(d.pinned(100))
    assert d.attribute(host, 2, ctypes.c_uint) == HOST
    assert d.attribute(host, 3) == host, "one address space"
    managed = d.get("cuMemAllocManaged", 64, 1)
    ctypes.memset(managed, 1, 64)
    assert d.attribute(managed, 8, ctypes.c_uint8) == 1
    buffer = d.attribute(address, 7)
    d.cuMemFree_v2(address)
    assert d.attribute(d.alloc(1000), 7) != buffer, "a buffer id is never given again"


@on_driver()
def test_a_pointer_that_the_driver_does_not_know(d):
    d.context()
    own = ctypes.create_string_buffer(64)
    value = ctypes.c_uint64(7)
    address = ctypes.addressof(own)
    status = d.status("cuPointerGetAttribute", ctypes.byref(value), 1, address)
    assert status == INVALID_VALUE
    kind, base = ctypes.c_uint(7), ctypes.c_uint64(7)
    numbers = (ctypes.c_uint * 2)(2, 11)
    values = (ctypes.c_void_p * 2)(ctypes.addressof(kind), ctypes.addressof(base))
    d.cuPointerGetAttributes(2, numbers, values, address)
    assert (kind.value, base.value) == (0, 0)


@on_driver()
def test_host_memory_is_locked_once(d):
    d.context()
    own = ctypes.create_string_buffer(8192)
    d.cuMemHostRegister_v2(own, 8192, 0)
    assert d.status("cuMemHostRegister_v2", own, 8192, 0) == 712
    assert d.attribute(ctypes.addressof(own) + 1, 2, ctypes.c_uint) == HOST
    d.cuMemHostUnregister(own)
    assert d.status("cuMemHostUnregister", own) == 713


@on_driver()
def test_memory_of_a_stream(d):
    d.context()
    stream = d.stream(1)
    address = d.get("cuMemAllocAsync", 100, stream)
    assert d.attribute(address, 2, ctypes.c_uint) == DEVICE
    assert d.attribute(address, 10, ctypes.c_uint8) == 0, "never shared by a plain handle"
    pool = d.get("cuDeviceGetDefaultMemPool", 0)
    assert d.attribute(address, 17) == pool
    assert d.attribute(address, 14) == 0, "the default pool exports nothing"
    d.cuMemsetD8Async(address, 5, 100, stream)
    d.cuStreamSynchronize(stream)
    assert d.read(address, 100) == b"\x05" * 100
    d.cuMemFreeAsync(address, stream)
    d.cuStreamSynchronize(stream)
