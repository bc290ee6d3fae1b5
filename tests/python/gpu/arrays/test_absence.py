"""Where there is no driver, no device, or one that lacks something; and forked processes."""

import os
import pickle
import textwrap

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import child_environment, on_driver
from helpers.producers import Placed, Produced
from helpers.subprocs import run_python


def without_driver(code, *args):
    """Run code where no driver can be found."""
    if os.path.exists("/proc/driver/nvidia"):
        pytest.skip("there is a driver on this machine")
    head = "import pickle, sys\nimport numpy as np\nimport ferropickle as fp\n"
    return run_python(head + textwrap.dedent(code), *args)


def test_importing_and_dumping_touch_no_driver():
    out = run_python(
        """
        import ctypes, ctypes.util, sys
        import ferropickle as fp, ferropickle.multiprocessing
        fp.loads(fp.dumps({"a": [1, 2], "b": object()}))
        assert "ferropickle._device" not in sys.modules
        assert "ferropickle.reducers.devices" not in sys.modules
        print(any("libcuda" in line for line in open("/proc/self/maps")))
        """
    )
    assert out.strip() == "False"


def test_without_a_driver_arrays_are_refused_by_path():
    out = without_driver(
        """
    class Array:
        __cuda_array_interface__ = dict(
            shape=(3,), typestr="<f4", data=(4096, False), strides=None, stream=1, version=3)
    for dump in (fp.dumps, fp.pack):
        try:
            dump({"model": [Array()]})
        except fp.DeviceError as error:
            print(error)
    """
    )
    first, second = out.splitlines()
    assert first == second
    assert first.startswith("obj['model'][0]: no GPU driver is installed here"), first


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A stream with arrays that were on a device."""
    path = tmp_path_factory.mktemp("stream") / "stream.pickle"
    code = """
        import sys
        import numpy as np
        from helpers.cuda import Driver
        from helpers.producers import Placed
        import ferropickle as fp
        d = Driver()
        d.cuInit(0)
        d.context()
        base = np.arange(12, dtype="<f4").reshape(3, 4)
        placed = Placed(d, base)
        sent = {
            "whole": placed.produce(),
            "turned": placed.produce(base.T[::-1]),
            "none": placed.produce(base[:0]),
        }
        open(sys.argv[1], "wb").write(fp.dumps(sent))
    """
    env = child_environment()
    run_python(code, path, env=env)
    return path


def test_without_a_driver_a_load_says_so(stream):
    out = without_driver(
        """
    try:
        fp.loads(open(sys.argv[1], "rb").read())
    except fp.DeviceError as error:
        print(error)
    """,
        stream,
    )
    assert "an array of the device GPU-" in out
    assert "has nowhere to go: no GPU driver" in out
    assert "Policy(on_missing='host')" in out


def test_without_a_driver_a_load_gives_arrays_of_the_host(stream):
    without_driver(
        """
    found = fp.loads(open(sys.argv[1], "rb").read(), policy=fp.Policy(on_missing="host"))
    base = np.arange(12, dtype="<f4").reshape(3, 4)
    assert type(found["whole"]) is np.ndarray
    np.testing.assert_array_equal(found["whole"], base)
    np.testing.assert_array_equal(found["turned"], base.T[::-1])
    assert found["none"].shape == (0, 4)
    """,
        stream,
    )


@on_driver(profile="12.0")
def test_the_oldest_driver_will_do(d):
    d.context()
    array = Placed(d, np.arange(100.0)).produce()
    np.testing.assert_array_equal(fp.loads(fp.dumps(array)).get(), np.arange(100.0))


@on_driver()
def test_a_forked_process_is_told_to_spawn(d):
    d.context()
    array = Placed(d, np.arange(100.0)).produce()
    data = fp.dumps(array)
    child = os.fork()
    if not child:
        status = 1
        try:
            with pytest.raises(fp.DeviceError, match="forked.*spawn or forkserver"):
                fp.dumps(array)
            with pytest.raises(fp.DeviceError, match="forked"):
                fp.loads(data)
            assert fp.loads(fp.dumps([1, "two"])) == [1, "two"]
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@on_driver()
def test_memory_that_is_not_the_arrays_is_refused(d):
    d.context()
    memory = Placed(d, np.arange(100.0))
    beyond = Produced(memory.address, (101,), None, np.dtype("<f8"))
    for wrong, text in [(beyond, "ends before the array does"), (host_memory(), "not on a device")]:
        with pytest.raises(fp.DeviceError, match=f"obj\\[1\\].*{text}"):
            fp.dumps([1, wrong])
    with pytest.raises(ValueError, match="no memory has"):
        fp.dumps(Produced(memory.address, (1 << 62, 8), None, np.dtype("<f8")))


def host_memory():
    kept = np.arange(10)
    return Produced(kept.ctypes.data, (10,), None, kept.dtype)


@on_driver(simulated=True)
def test_a_driver_that_fails_gives_an_error(d):
    d.context()
    arrays = [Placed(d, np.arange(1000.0) + n).produce() for n in range(20)]
    data = fp.dumps(arrays)
    d.control("fault cuMemcpyDtoHAsync_v2:1=999")
    with pytest.raises(fp.DeviceError, match="status 999"):
        fp.dumps(arrays)
    d.control("nofaults")
    assert fp.dumps(arrays) == data
    assert pickle.loads(data)[19].get()[0] == 19
