"""Starting the driver: order of calls, versions, look-up of functions, forks.

CUDA Driver API: "Initialization", "Version Management", "Driver Entry Point Access".
"""

import ctypes
import os

from helpers.cuda import Driver, on_driver

NOT_INITIALIZED = 3


@on_driver()
def test_nothing_works_before_init():
    d = Driver()
    count = ctypes.c_int()
    assert d.status("cuDeviceGetCount", ctypes.byref(count)) == NOT_INITIALIZED
    assert d.get("cuDriverGetVersion", kind=ctypes.c_int) >= 12000
    assert d.status("cuInit", 1) == 1, "no flag is defined"
    d.cuInit(0)
    d.cuInit(0)
    d.cuDeviceGetCount(ctypes.byref(count))
    assert count.value >= 1


@on_driver()
def test_a_forked_child_is_refused(d):
    d.context()
    pid = os.fork()
    if pid == 0:
        refused = [d.status("cuInit", 0), d.status("cuCtxSynchronize")]
        os._exit(0 if refused == [NOT_INITIALIZED] * 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    d.cuCtxSynchronize()


@on_driver()
def test_a_child_forked_before_the_start_has_a_driver_of_its_own():
    d = Driver()
    d.get("cuDriverGetVersion", kind=ctypes.c_int)
    pid = os.fork()
    if pid == 0:
        d.cuInit(0)
        d.context()
        d.cuCtxSynchronize()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    d.cuInit(0)


@on_driver()
def test_functions_are_looked_up_by_name_and_version(d):
    def look_up(name, version, flags=0):
        function, found = ctypes.c_void_p(), ctypes.c_int()
        status = d.status(
            "cuGetProcAddress_v2",
            name.encode(),
            ctypes.byref(function),
            version,
            flags,
            ctypes.byref(found),
        )
        return status, found.value, function.value

    exported = ctypes.cast(d.library.cuMemAlloc_v2, ctypes.c_void_p).value
    assert look_up("cuMemAlloc", 12000) == (0, 0, exported)
    assert look_up("cuNoSuchFunction", 12000)[1:] == (1, None)
    assert look_up("cuStreamGetCtx", 12000, 2)[2] != look_up("cuStreamGetCtx", 12000, 1)[2]


@on_driver(simulated=True, profile="12.0")
def test_an_older_driver_lacks_newer_functions(d):
    assert d.get("cuDriverGetVersion", kind=ctypes.c_int) == 12000
    for name in ["cuEventElapsedTime_v2", "cuMemcpyBatchAsync_v2", "cuCtxCreate_v4"]:
        assert not hasattr(d.library, name), name
    assert hasattr(d.library, "cuMemAlloc_v2")
    assert hasattr(d.library, "cuGetProcAddress_v2")
    function, found = ctypes.c_void_p(), ctypes.c_int()
    d.cuGetProcAddress_v2(
        b"cuStreamGetDevice", ctypes.byref(function), 13000, 0, ctypes.byref(found)
    )
    assert (function.value, found.value) == (None, 1)


@on_driver(simulated=True, profile="12.8")
def test_a_driver_in_between_has_what_it_had(d):
    assert d.get("cuDriverGetVersion", kind=ctypes.c_int) == 12080
    assert hasattr(d.library, "cuEventElapsedTime_v2")
    assert not hasattr(d.library, "cuMemcpyBatchAsync_v2")


@on_driver()
def test_statuses_have_names(d):
    text = ctypes.c_char_p()
    d.cuGetErrorName(700, ctypes.byref(text))
    assert text.value == b"CUDA_ERROR_ILLEGAL_ADDRESS"
    d.cuGetErrorString(2, ctypes.byref(text))
    assert text.value == b"out of memory"
    assert d.status("cuGetErrorName", 12345, ctypes.byref(text)) == 1
    assert text.value is None


@on_driver()
def test_devices_are_described(d):
    device = d.get("cuDeviceGet", 0, kind=ctypes.c_int)
    name = ctypes.create_string_buffer(64)
    d.cuDeviceGetName(name, 64, device)
    assert name.value
    assert d.get("cuDeviceTotalMem_v2", device) > 0
    assert d.get("cuDeviceGetAttribute", 10, device, kind=ctypes.c_int) == 32
    assert d.get("cuDeviceGetAttribute", 41, device, kind=ctypes.c_int) == 1, "unified addressing"
    count = d.get("cuDeviceGetCount", kind=ctypes.c_int)
    assert d.status("cuDeviceGet", ctypes.byref(ctypes.c_int()), count) == 101


@on_driver(simulated=True, uuids="GPU-00000000-0000-0000-0000-0000000000aa,MIG-bb")
def test_a_partition_has_a_uuid_of_its_own(d):
    def uuid(name, device):
        value = (ctypes.c_uint8 * 16)()
        getattr(d, name)(value, device)
        return bytes(value)

    assert uuid("cuDeviceGetUuid_v2", 0) == bytes(15) + b"\xaa"
    assert uuid("cuDeviceGetUuid", 0) == uuid("cuDeviceGetUuid_v2", 0)
    assert uuid("cuDeviceGetUuid_v2", 1)[0] == 0xBB
    assert uuid("cuDeviceGetUuid", 1) != uuid("cuDeviceGetUuid_v2", 1), "the whole device's"
    can = ctypes.c_int()
    d.cuDeviceCanAccessPeer(ctypes.byref(can), 0, 1)
    assert can.value == 0


@on_driver(simulated=True, devices=0)
def test_a_machine_without_devices():
    assert Driver().status("cuInit", 0) == 100
