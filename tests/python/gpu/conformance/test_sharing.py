"""Memory and events of one process in another.

CUDA Driver API: "Memory Management" (`cuIpc...`), "Virtual Memory Management", "Stream Ordered
Memory Allocator".
"""

import ctypes
import os
import tempfile

from helpers.cuda import Peer, on_driver

INVALID_VALUE = 1
NOT_READY = 600
GRANULE = 2 << 20
POSIX = 1


class Handle(ctypes.Structure):
    _fields_ = [("data", ctypes.c_uint8 * 64)]


class Location(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint), ("id", ctypes.c_int)]


class Properties(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = [
        ("kind", ctypes.c_uint),
        ("handles", ctypes.c_uint),
        ("location", Location),
        ("windows", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
    ]


class Access(ctypes.Structure):
    """CUmemAccessDesc."""

    _fields_ = [("location", Location), ("flags", ctypes.c_uint)]


class PoolProperties(ctypes.Structure):
    """CUmemPoolProps."""

    _fields_ = [
        ("kind", ctypes.c_uint),
        ("handles", ctypes.c_uint),
        ("location", Location),
        ("security", ctypes.c_void_p),
        ("reserved", ctypes.c_uint8 * 64),
    ]


def ref(value):
    return ctypes.byref(value)


def handle_of(d, address):
    return bytes(d.get("cuIpcGetMemHandle", address, kind=Handle).data)


def opened(d, data):
    return d.get("cuIpcOpenMemHandle_v2", Handle.from_buffer_copy(data), 1)


# ---- plain allocations -------------------------------------------------------------------------


def answer_by_memory(d, other):
    """Read what is there, and write an answer after it."""
    d.context()
    data = other.receive()
    address = opened(d, data)
    assert opened(d, data) == address, "a second open gives the same address"
    assert d.read(address, 5) == b"hello"
    d.put(address + 8, b"world")
    d.cuIpcCloseMemHandle(address)
    assert d.read(address, 5) == b"hello", "closed once of twice"
    d.cuIpcCloseMemHandle(address)
    assert d.status("cuIpcCloseMemHandle", address) == INVALID_VALUE
    other.send(b"done")


@on_driver()
def test_a_plain_allocation_is_shared(d):
    d.context()
    address = d.alloc(GRANULE)
    d.put(address, b"hello")
    assert d.attribute(address, 10, ctypes.c_uint8) == 1
    with Peer(answer_by_memory) as peer:
        peer.send(handle_of(d, address))
        assert peer.receive() == b"done"
    assert d.read(address + 8, 5) == b"world"


@on_driver()
def test_a_process_does_not_open_its_own_memory(d):
    d.context()
    address = d.alloc(GRANULE)
    handle = Handle.from_buffer_copy(handle_of(d, address))
    assert d.status("cuIpcOpenMemHandle_v2", ref(ctypes.c_uint64()), handle, 1) != 0


@on_driver()
def test_other_memory_is_not_shared_by_a_handle(d):
    d.context()
    stream = d.stream()
    pooled = d.get("cuMemAllocAsync", 64, stream)
    for address in [pooled, d.get("cuMemAllocManaged", 64, 1)]:
        assert d.status("cuIpcGetMemHandle", ref(Handle()), address) == INVALID_VALUE


def import_and_wait(d, other):
    d.context()
    address = opened(d, other.receive())
    assert d.read(address, 4) == b"data"
    other.send(b"open")
    other.receive()


@on_driver()
def test_a_peer_that_dies_leaves_the_memory_as_it_is(d):
    d.context()
    address = d.alloc(GRANULE)
    d.put(address, b"data")
    with Peer(import_and_wait) as peer:
        peer.send(handle_of(d, address))
        assert peer.receive() == b"open"
        peer.kill()
    assert d.read(address, 4) == b"data"
    d.cuMemFree_v2(address)


def use_after_the_owner_s_free(d, other):
    d.context()
    data = other.receive()
    address = opened(d, data)
    other.send(b"open")
    assert other.receive() == b"freed"
    into = ctypes.create_string_buffer(4)
    assert d.status("cuMemcpyDtoH_v2", into, address, 4) == 700
    assert "exported" in d.violations()[0]
    other.send(b"seen")


@on_driver(simulated=True)
def test_a_use_after_the_owner_s_free_is_seen(d):
    d.context()
    address = d.alloc(GRANULE)
    with Peer(use_after_the_owner_s_free) as peer:
        peer.send(handle_of(d, address))
        assert peer.receive() == b"open"
        d.cuMemFree_v2(address)
        peer.send(b"freed")
        assert peer.receive() == b"seen"


# ---- events ------------------------------------------------------------------------------------


def wait_for_an_event(d, other):
    d.context()
    address = opened(d, other.receive())
    event = d.get("cuIpcOpenEventHandle", Handle.from_buffer_copy(other.receive()))
    stream, into = d.stream(1), d.pinned(4)
    d.cuStreamWaitEvent(stream, event, 0)
    d.cuMemcpyDtoHAsync_v2(into, address, 4, stream)
    d.cuStreamSynchronize(stream)
    other.send(into.raw)


@on_driver(hold_us=300_000)
def test_an_event_orders_two_processes(d):
    d.context()
    address, stream = d.alloc(GRANULE), d.stream(1)
    fresh = d.pinned(4)
    fresh.raw = b"late"
    event = d.event(4 | 2)
    assert d.status("cuEventCreate", ref(ctypes.c_uint64()), 4) == INVALID_VALUE, "with timing"
    with Peer(wait_for_an_event) as peer:
        peer.send(handle_of(d, address))
        handle = d.get("cuIpcGetEventHandle", event, kind=Handle)
        d.cuMemcpyHtoDAsync_v2(address, fresh, 4, stream)
        d.cuEventRecord(event, stream)
        peer.send(bytes(handle.data))
        assert peer.receive() == b"late"


def ask_for_an_event(d, other):
    d.context()
    address = opened(d, other.receive())
    event = d.get("cuIpcOpenEventHandle", Handle.from_buffer_copy(other.receive()))
    while (status := d.status("cuEventQuery", event)) == NOT_READY:
        pass
    assert status == 0
    other.send(d.read(address, 4))
    d.cuEventDestroy_v2(event)


@on_driver(hold_us=100_000)
def test_an_event_of_another_process_can_be_asked(d):
    d.context()
    address, stream, event = d.alloc(GRANULE), d.stream(1), d.event(4 | 2)
    fresh = d.pinned(4)
    fresh.raw = b"late"
    d.cuMemcpyHtoDAsync_v2(address, fresh, 4, stream)
    d.cuEventRecord(event, stream)
    with Peer(ask_for_an_event) as peer:
        peer.send(handle_of(d, address))
        peer.send(bytes(d.get("cuIpcGetEventHandle", event, kind=Handle).data))
        assert peer.receive() == b"late"


# ---- memory without an address -----------------------------------------------------------------


def mapped(d, memory, size, *, access=3, device=0):
    """Addresses for the memory of a handle."""
    address = d.get("cuMemAddressReserve", size, 0, 0, 0)
    d.cuMemMap(address, size, 0, memory, 0)
    if access:
        d.cuMemSetAccess(address, size, ref(Access(Location(1, device), access)), 1)
    return address


def create(d, size, handles=POSIX):
    return d.get("cuMemCreate", size, ref(Properties(1, handles, Location(1, 0), None, 0)), 0)


def import_memory(d, other):
    d.context()
    _, descriptor = other.receive(1)
    memory = d.get("cuMemImportFromShareableHandle", descriptor, POSIX)
    os.close(descriptor)
    address = mapped(d, memory, GRANULE)
    d.cuMemRelease(memory)
    assert d.read(address, 5) == b"mapped"[:5]
    other.send(b"read")
    other.receive()
    assert d.read(address, 5) == b"mapped"[:5], "the memory outlives its maker"
    d.put(address, b"again")
    other.send(b"done")


@on_driver()
def test_memory_is_exported_as_a_descriptor(d):
    d.context()
    memory = create(d, GRANULE)
    address = mapped(d, memory, GRANULE)
    d.put(address, b"mapped")
    assert d.attribute(address, 14) == POSIX
    descriptor = d.get("cuMemExportToShareableHandle", memory, POSIX, 0, kind=ctypes.c_int)
    with Peer(import_memory) as peer:
        peer.send(b"memory", [descriptor])
        os.close(descriptor)
        assert peer.receive() == b"read"
        d.cuCtxSynchronize()
        d.cuMemUnmap(address, GRANULE)
        d.cuMemAddressFree(address, GRANULE)
        d.cuMemRelease(memory)
        peer.send(b"gone")
        assert peer.receive() == b"done"


@on_driver()
def test_mapped_memory_needs_access_and_whole_granules(d):
    d.context()
    properties = Properties(1, 0, Location(1, 0), None, 0)
    assert d.get("cuMemGetAllocationGranularity", ref(properties), 0) == GRANULE
    out = ctypes.c_uint64()
    assert d.status("cuMemCreate", ref(out), GRANULE + 1, ref(properties), 0) == INVALID_VALUE
    memory = create(d, GRANULE, handles=0)
    fd = ctypes.c_int()
    status = d.status("cuMemExportToShareableHandle", ref(fd), memory, POSIX, 0)
    assert status == INVALID_VALUE, "not made for export"
    address = mapped(d, memory, GRANULE)
    same = d.get("cuMemRetainAllocationHandle", address + 5)
    assert same == memory
    d.cuMemRelease(memory)
    d.cuMemRelease(memory)
    d.put(address, b"still")
    assert d.read(address, 5) == b"still", "mapped memory needs no handle"
    assert d.status("cuMemMap", address, GRANULE, 0, create(d, GRANULE), 0) != 0, "taken"
    assert d.status("cuMemUnmap", address, 4096) == INVALID_VALUE, "only as a whole"
    d.cuMemUnmap(address, GRANULE)
    d.cuMemAddressFree(address, GRANULE)


@on_driver()
def test_no_more_is_mapped_than_there_is(d):
    d.context()
    memory = create(d, GRANULE)
    address = d.get("cuMemAddressReserve", 2 * GRANULE, 0, 0, 0)
    assert d.status("cuMemMap", address, 2 * GRANULE, 0, memory, 0) == INVALID_VALUE
    descriptor = d.get("cuMemExportToShareableHandle", memory, POSIX, 0, kind=ctypes.c_int)
    again = d.get("cuMemImportFromShareableHandle", descriptor, POSIX)
    os.close(descriptor)
    assert d.status("cuMemMap", address, 2 * GRANULE, 0, again, 0) == INVALID_VALUE


@on_driver()
def test_two_pieces_side_by_side_are_one_range_for_a_copy(d):
    d.context()
    address = d.get("cuMemAddressReserve", 2 * GRANULE, 0, 0, 0)
    for i in range(2):
        d.cuMemMap(address + i * GRANULE, GRANULE, 0, create(d, GRANULE), 0)
    d.cuMemSetAccess(address, 2 * GRANULE, ref(Access(Location(1, 0), 3)), 1)
    d.put(address + GRANULE - 3, b"abcdef")
    assert d.read(address + GRANULE - 3, 6) == b"abcdef"


@on_driver()
def test_a_descriptor_of_anything_else_is_refused(d):
    d.context()
    with tempfile.TemporaryFile() as file:
        file.write(bytes(10_000))
        file.flush()
        for descriptor in [file.fileno(), 12345]:
            out = ctypes.c_uint64()
            assert d.status("cuMemImportFromShareableHandle", ref(out), descriptor, POSIX) != 0


@on_driver(simulated=True)
def test_mapped_memory_without_access_is_lost_on_use(d):
    d.context()
    address = mapped(d, create(d, GRANULE), GRANULE, access=0)
    assert d.status("cuMemsetD8_v2", address, 1, 4) == 0
    assert d.status("cuCtxSynchronize") == 700
    assert "access" in d.violations()[0]


# ---- pools -------------------------------------------------------------------------------------


def import_pool(d, other):
    d.context()
    _, descriptor = other.receive(1)
    pool = d.get("cuMemPoolImportFromShareableHandle", descriptor, POSIX, 0)
    data = other.receive()
    address = d.get("cuMemPoolImportPointer", pool, ref(Handle.from_buffer_copy(data)))
    assert d.read(address, 4) == b"pool"
    out = ctypes.c_uint64()
    status = d.status("cuMemAllocFromPoolAsync", ref(out), 64, pool, 0)
    assert status != 0, "an imported pool gives no memory"
    d.cuMemFreeAsync(address, 0)
    d.cuCtxSynchronize()
    other.send(b"done")


@on_driver()
def test_a_pool_is_shared(d):
    d.context()
    properties = PoolProperties(1, POSIX, Location(1, 0), None)
    pool = d.get("cuMemPoolCreate", ref(properties))
    address = d.get("cuMemAllocFromPoolAsync", 64, pool, 0)
    d.put(address, b"pool")
    assert d.attribute(address, 14) == POSIX
    data = d.get("cuMemPoolExportPointer", address, kind=Handle)
    descriptor = d.get("cuMemPoolExportToShareableHandle", pool, POSIX, 0, kind=ctypes.c_int)
    with Peer(import_pool) as peer:
        peer.send(b"pool", [descriptor])
        os.close(descriptor)
        peer.send(bytes(data.data))
        assert peer.receive() == b"done"
    d.cuMemFreeAsync(address, 0)
    d.cuCtxSynchronize()
    default = d.get("cuDeviceGetDefaultMemPool", 0)
    fd = ctypes.c_int()
    assert d.status("cuMemPoolExportToShareableHandle", ref(fd), default, POSIX, 0) == INVALID_VALUE
