"""Kernels from PTX. CUDA Driver API: "Module Management", "Execution Control"; PTX ISA 8.0.

On the simulated driver this runs the interpreter; the mistakes are found there with their place.
"""

import ctypes
import math
import struct
from pathlib import Path

from helpers.cuda import REAL, on_driver

PTX = (Path(__file__).parents[1] / "kernels" / "kernels.ptx").read_bytes()
LONG = 3_000_000


def load(d, ptx=PTX):
    d.context()
    return d.get("cuModuleLoadData", ctypes.c_char_p(ptx))


def launch(d, module, name, grid, block, *values, shared=0, stream=0):
    """Launch with ctypes values as parameters."""
    function = d.get("cuModuleGetFunction", module, name.encode())
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
    grid, block = [(*size, 1, 1)[:3] for size in (grid, block)]
    d.cuLaunchKernel(function, *grid, *block, shared, stream, pointers, None)


def pointer(address):
    return ctypes.c_uint64(address)


def array(d, kind, values):
    """A device array of these values, and how to read it."""
    form = f"<{len(values)}{kind}"
    data = struct.pack(form, *values)
    address = d.alloc(max(len(data), 1))
    d.put(address, data)
    return address, lambda: struct.unpack(form, d.read(address, len(data)))


@on_driver()
def test_gather(d):
    module = load(d)
    sizes = [0, 1, 5, 16, 31, 64, 100, 1000]
    whole = bytes(i * 7 % 251 for i in range(4096))
    source, into = d.alloc(4096), d.alloc(4096)
    d.put(source, whole)
    d.cuMemsetD8_v2(into, 0, 4096)
    items, expected, at = [], bytearray(4096), 0
    for i, size in enumerate(sizes):
        at += -at % 16 + i % 3
        items += [source + 16 * i + i % 2, into + at, size]
        expected[at : at + size] = whole[16 * i + i % 2 :][:size]
        at += size
    table, _ = array(d, "Q", items)
    launch(d, module, "gather", (2, 3), (32,), pointer(table), ctypes.c_uint(len(sizes)))
    assert d.read(into, 4096) == bytes(expected)


@on_driver()
def test_saxpy(d):
    module = load(d)
    n = 1000
    x, _ = array(d, "f", [i / 8 for i in range(n)])
    y, read = array(d, "f", [float(i) for i in range(n)])
    launch(
        d,
        module,
        "saxpy",
        (8,),
        (128,),
        ctypes.c_float(2.5),
        pointer(x),
        pointer(y),
        ctypes.c_int(n),
    )
    assert read() == tuple(2.5 * (i / 8) + i for i in range(n))


@on_driver()
def test_total(d):
    module = load(d)
    n = 10_007
    values = [i * 2654435761 % (1 << 32) for i in range(n)]
    x, _ = array(d, "I", values)
    out, read = array(d, "Q", [5])
    launch(d, module, "total", (7,), (256,), pointer(x), ctypes.c_uint64(n), pointer(out))
    expected = 5 + sum(v * (2654435761 + i % 7) for i, v in enumerate(values))
    assert read() == (expected % (1 << 64),)


@on_driver()
def test_lanes(d):
    module = load(d)
    values = [i * i % 97 - 30 for i in range(64)]
    x, _ = array(d, "i", values)
    out, read = array(d, "i", [0] * 9)
    launch(d, module, "lanes", (1,), (64,), pointer(x), pointer(out))
    odd = sum((v & 1) << i for i, v in enumerate(values[:32]))
    assert read()[:2] == (sum(values[:32]), sum(values[32:]))
    assert read()[8] & 0xFFFFFFFF == odd


@on_driver()
def test_byteshuffle(d):
    module = load(d)
    count, width = 301, 8
    data = bytes(i * 31 % 256 for i in range(count * width))
    x, _ = array(d, "B", data)
    out, read = array(d, "B", bytes(count * width))
    values = pointer(x), pointer(out), ctypes.c_uint64(count), ctypes.c_uint(width)
    launch(d, module, "byteshuffle", (3,), (128,), *values, shared=128 * width)
    assert bytes(read()) == b"".join(data[w::width] for w in range(width))


@on_driver()
def test_arithmetic(d):
    module = load(d)
    n, s, q = 40, -3, -1000
    doubles, read = array(d, "d", [i * 1.7 for i in range(n)])
    numbers, result = array(d, "i", [0] * n)
    launch(
        d,
        module,
        "arithmetic",
        (1,),
        (n,),
        pointer(doubles),
        pointer(numbers),
        ctypes.c_short(s),
        ctypes.c_int64(q),
    )

    def expected(i):
        x = math.sqrt(i * 1.7) / 3.0 + s
        product = (i % 4 + 1) * i
        o = product // 3 % 5 - min(i, 7) + bin(i).count("1") + (32 - i.bit_length()) + (q >> 3)
        o ^= int(f"{i:032b}"[::-1], 2)
        o += max(0, int(x * 10.0))
        o += round(
            struct.unpack("f", struct.pack("f", i * struct.unpack("f", struct.pack("f", 0.3))[0]))[
                0
            ]
        )
        steps = {0: o + 5, 1: o * 7, 2: o - 5, 3: o ^ 9, 4: o + 11}
        return x, ((steps.get(i, o) + (1 << 31)) % (1 << 32)) - (1 << 31)

    assert list(zip(read(), result(), strict=True)) == [expected(i) for i in range(n)]
    at, size = ctypes.c_uint64(), ctypes.c_size_t()
    d.cuModuleGetGlobal_v2(ctypes.byref(at), ctypes.byref(size), module, b"counter")
    assert (size.value, d.read(at.value, 4)) == (4, struct.pack("i", n))


@on_driver(hold_us=LONG)
def test_kernels_run_in_the_order_of_their_stream(d):
    module = load(d)
    stream, fresh = d.stream(1), d.pinned(4)
    x, _ = array(d, "f", [3.0])
    y, read = array(d, "f", [1.0])
    fresh.raw = struct.pack("f", 10.0)
    d.cuMemcpyHtoDAsync_v2(x, fresh, 4, stream)
    values = ctypes.c_float(2), pointer(x), pointer(y), ctypes.c_int(1)
    launch(d, module, "saxpy", (1,), (1,), *values, stream=stream)
    values[0].value = 99  # parameters are read at the launch
    d.cuStreamSynchronize(stream)
    assert read() == (21.0,)


def lost(d, status, *words):
    assert d.status("cuCtxSynchronize") == status
    assert d.status("cuCtxSynchronize") == status, "the context is lost"
    if not REAL:
        text = d.violations()[-1]
        assert all(word in text for word in words), text


@on_driver()
def test_an_access_beyond_the_end_is_found(d):
    module = load(d)
    x, _ = array(d, "i", [0] * 8)
    n = 1 << 28 if REAL else 5
    launch(d, module, "beyond", (1,), (4,), pointer(x), ctypes.c_int(n))
    words = (
        "kernel beyond",
        "st.global.u32",
        "thread [3, 0, 0]",
        "0 bytes after the end of 32 bytes",
    )
    lost(d, 700, *words)


@on_driver()
def test_a_misaligned_access_is_found(d):
    module = load(d)
    x, _ = array(d, "i", [0] * 8)
    launch(d, module, "misaligned", (1,), (1,), pointer(x))
    lost(d, 716, "kernel misaligned", "not aligned")


@on_driver(simulated=True)
def test_barriers_that_never_open_are_found(d):
    module = load(d)
    x, _ = array(d, "i", [0] * 32)
    launch(d, module, "stuck", (1,), (16,), pointer(x))
    lost(d, 702, "kernel stuck", "bar.sync", "16 threads")


@on_driver()
def test_locked_host_memory_is_there_for_kernels(d):
    module = load(d)
    host = d.pinned(4)
    x, _ = array(d, "f", [3.0])
    values = ctypes.c_float(2), pointer(x), pointer(ctypes.addressof(host)), ctypes.c_int(1)
    host.raw = struct.pack("f", 1.0)
    launch(d, module, "saxpy", (1,), (1,), *values)
    d.cuCtxSynchronize()
    assert struct.unpack("f", host.raw) == (7.0,)


@on_driver(simulated=True, devices=2)
def test_memory_of_another_device_needs_peer_access(d):
    there = d.context(1)
    y, read = array(d, "f", [1.0])
    module = load(d)
    x, _ = array(d, "f", [3.0])
    values = ctypes.c_float(2), pointer(x), pointer(y), ctypes.c_int(1)
    d.cuCtxEnablePeerAccess(there, 0)
    launch(d, module, "saxpy", (1,), (1,), *values)
    d.cuCtxSynchronize()
    assert read() == (7.0,)
    d.cuCtxDisablePeerAccess(there)
    launch(d, module, "saxpy", (1,), (1,), *values)
    lost(d, 700, "memory of device 1 without access")


@on_driver()
def test_launches_are_checked(d):
    module = load(d)
    function = d.get("cuModuleGetFunction", module, b"beyond")
    x, n = ctypes.c_uint64(d.alloc(8192)), ctypes.c_int(0)
    pointers = (ctypes.c_void_p * 2)(ctypes.addressof(x), ctypes.addressof(n))
    for grid, block, shared in [(0, 1, 0), (1, 0, 0), (1, 1025, 0), (1, 1, 64 << 10)]:
        status = d.status(
            "cuLaunchKernel", function, grid, 1, 1, block, 1, 1, shared, 0, pointers, None
        )
        assert status == 1, (grid, block, shared)
    d.cuFuncSetAttribute(function, 8, 64 << 10)
    d.cuLaunchKernel(function, 1, 1, 1, 1024, 1, 1, 64 << 10, 0, pointers, None)
    d.cuCtxSynchronize()
    assert d.get("cuFuncGetAttribute", 0, function, kind=ctypes.c_int) <= 1024
    missing = ctypes.c_uint64()
    assert d.status("cuModuleGetFunction", ctypes.byref(missing), module, b"none") == 500
    d.cuModuleUnload(module)


@on_driver()
def test_images_that_are_no_ptx_are_refused(d):
    d.context()
    module = ctypes.c_uint64()

    def status(image):
        return d.status("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(image))

    assert status(b"nonsense") in {200, 218}
    assert status(PTX.replace(b".version 8.0", b".version 99.0")) == 222
    assert status(PTX.replace(b".target sm_75", b".target sm_999")) in {218, 209}


@on_driver(simulated=True)
def test_what_is_not_interpreted_is_refused_with_its_line(d):
    d.context()
    ptx = b"""
        .version 8.0
        .target sm_80
        .address_size 64
        .visible .entry k(.param .u64 p) {
            .reg .b64 %rd<3>;
            ld.param.u64 %rd1, [p];
            cp.async.ca.shared.global [%rd2], [%rd1], 16;
            ret;
        }
    """
    log = ctypes.create_string_buffer(200)
    options = (ctypes.c_uint * 2)(5, 6)
    values = (ctypes.c_void_p * 2)(ctypes.addressof(log), 200)
    module = ctypes.c_uint64()
    image = ctypes.c_char_p(ptx)
    assert d.status("cuModuleLoadDataEx", ctypes.byref(module), image, 2, options, values) == 218
    assert log.value == b"PTX line 8: cp.async.ca.shared.global is not interpreted"
    assert log.value.decode() in d.violations()[0]


@on_driver(simulated=True, profile="12.0")
def test_an_older_driver_refuses_newer_ptx(d):
    d.context()
    newer = PTX.replace(b".version 8.0", b".version 8.1")
    module = ctypes.c_uint64()
    assert d.status("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(newer)) == 222
    load(d)


@on_driver()
def test_a_kernel_tells_its_name_and_library(d):
    """12.3 and 12.5; the name stays where it is for as long as the library."""
    d.context()
    nothing = (None, None, 0, None, None, 0)
    library = d.get("cuLibraryLoadData", ctypes.c_char_p(PTX), *nothing)
    kernel = d.get("cuLibraryGetKernel", library, b"gather")
    name = d.get("cuKernelGetName", kernel)
    assert ctypes.string_at(name) == b"gather"
    assert d.get("cuKernelGetName", kernel) == name
    assert d.get("cuKernelGetLibrary", kernel) == library
    function = d.get("cuKernelGetFunction", kernel)
    assert ctypes.string_at(d.get("cuFuncGetName", function)) == b"gather"
