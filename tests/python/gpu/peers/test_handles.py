"""No handle of a device library gets into a stream: each object that has one is rebuilt or refused.

The handles are planted, so that they can be searched for.
"""

import subprocess
import sys
import textwrap

import pytest

from helpers.cuda import child_environment
from helpers.subprocs import environment
from helpers.travel import LIMIT, need

# No other number looks like it, and it is no address that a library would use.
PLANTED = 0x7EADBEEF1234

COMMON = f"""
import pickle, sys, types
import ferropickle as fp
PLANTED = {PLANTED}

def holds(data):
    return any(PLANTED.to_bytes(n, order) in data
               for n in (6, 8) for order in ("little", "big")) or str(PLANTED).encode() in data

def ways(obj):
    'The object alone, and wherever it could hide.'
    class Holder:
        attribute = obj
    instance = Holder()
    instance.hidden = obj
    def by_closure():
        return obj
    by_global = types.FunctionType((lambda: handle).__code__, {{"handle": obj}}, "by_global")
    return {{"obj": obj, "in a dict": {{"key": [obj]}}, "an instance": instance,
            "a closure": by_closure, "a global": by_global, "a default": lambda x=obj: x}}

def refused(obj, *words):
    'The object cannot be pickled, wherever it is; the error says what to do.'
    for protocol in (2, 5):
        for place, found in ways(obj).items():
            try:
                data = fp.dumps(found, protocol)
            except pickle.PicklingError as error:
                text = str(error)
                assert str(PLANTED) not in text and hex(PLANTED)[2:] not in text.lower(), text
                assert "handle of this process" in text or not words, text
                for word in words:
                    assert word in text, text
            else:
                raise AssertionError(f"{{place}} {{type(obj)}} was pickled: {{data}}")
    try:
        fp.dumps({{"step": [obj]}})
    except pickle.PicklingError as error:
        assert "obj['step'][0]" in str(error), error

def clean(obj):
    'The object can be pickled, and the handle is not in the stream.'
    for found in ways(obj).values():
        data = fp.dumps(found)
        assert not holds(data), data
    return fp.dumps(obj)
"""


def run(body, *packages, driver=None):
    need(*packages)
    env = environment() if driver is None else child_environment(driver)
    code = COMMON + textwrap.dedent(body) + "\nsys.stdout.flush()\nimport os; os._exit(0)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=LIMIT, env=env)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, text[-4000:]


def test_the_search_finds_what_pickle_leaks():
    run(
        """
        from cupy.cuda import stream
        external = stream.ExternalStream(PLANTED)
        assert holds(pickle.dumps(external))
        assert not holds(pickle.dumps([1, "2"]))
        """,
        "cupy",
    )


def test_streams_of_cupy():
    run(
        """
        from cupy.cuda import stream
        external = stream.ExternalStream(PLANTED)
        refused(external, "a stream", "Default streams can be pickled")
        own = stream.Stream.__new__(stream.Stream)
        own.__dict__.update(ptr=PLANTED, device_id=0, _foreign_stream_ref=None)
        refused(own, "a stream")
        class Mine(stream.Stream):
            pass
        mine = Mine.__new__(Mine)
        mine.__dict__.update(own.__dict__)
        refused(mine, "a stream")
        event = stream.Event.__new__(stream.Event)
        event.ptr = PLANTED
        refused(event, "an event")
        for default in (stream.Stream.null, stream.Stream.ptds):
            assert fp.loads(fp.dumps(default)) is default
        assert fp.loads(fp.dumps(stream.Stream(null=True))) is stream.Stream.null
        assert fp.loads(fp.dumps(stream.ExternalStream(2))) is stream.Stream.ptds
        for x in (own, mine, event):
            x.ptr = 0
        """,
        "cupy",
    )


def test_what_cupy_has_loaded():
    run(
        """
        from cupy.cuda import function, graph
        for cls in (function.Function, function.Module, function.LinkState):
            loaded = cls.__new__(cls)
            loaded.ptr = PLANTED
            assert holds(pickle.dumps(loaded))
            refused(loaded, "what the driver has loaded", "RawKernel")
            loaded.ptr = 0
        refused(graph.Graph.__new__(graph.Graph), "a graph")
        """,
        "cupy",
    )


def test_addresses_of_cupy():
    run(
        """
        import cupy
        from cupy.cuda import memory, pinned_memory, texture
        unowned = memory.UnownedMemory(PLANTED, 64, None, 0)
        refused(unowned, "an address", "pickle the array")
        refused(memory.MemoryPointer(unowned, 8), "an address")
        for cls in (memory.Memory, memory.ManagedMemory, memory.SystemMemory,
                    memory.MemoryAsync, memory.PooledMemory, memory.CFunctionAllocatorMemory,
                    pinned_memory.PinnedMemory,
                    texture.TextureObject, texture.SurfaceObject, texture.CUDAarray,
                    texture.ResourceDescriptor):
            refused(cls.__new__(cls))
        """,
        "cupy",
    )


def test_memos_of_cupy():
    run(
        """
        import cupy
        kernel = cupy.ElementwiseKernel("T x", "T y", "y = x", "name")
        kernel._elementwise_kernel_memo["key"] = PLANTED
        kernel._params_type_memo["key"] = PLANTED
        assert holds(pickle.dumps(kernel))
        clean(kernel)
        ufunc = cupy._core.create_ufunc("mine", ("f->f",), "out0 = in0 + 1")
        ufunc._kernel_memo["key"] = PLANTED
        assert holds(pickle.dumps(ufunc))
        copy = fp.loads(clean(ufunc))
        assert copy._kernel_memo == {} and copy.name == "mine" and copy.nin == 1
        cupy.add._kernel_memo["key"] = PLANTED
        clean(cupy.add)
        fused = cupy.fuse(lambda x: x)
        fused._memo["key"] = PLANTED
        clean(fused)
        """,
        "cupy",
    )


def test_handles_of_cuda_bindings():
    run(
        """
        from cuda.bindings import driver, runtime
        for cls in (driver.CUstream, driver.CUevent, driver.CUmodule, driver.CUfunction,
                    driver.CUkernel, driver.CUlibrary, driver.CUgraph, driver.CUgraphExec,
                    driver.CUcontext, driver.CUdeviceptr, runtime.cudaStream_t):
            try:
                fp.dumps([cls(PLANTED)])
            except (TypeError, pickle.PicklingError):
                pass
            else:
                raise AssertionError(cls)
        """,
        "cuda.bindings",
    )


def test_handles_of_cuda_core():
    run(
        """
        from cuda.core import Device
        device = Device()
        device.set_current()
        stream = device.create_stream()
        refused(stream, "a stream")
        refused(stream.record(), "an event")
        refused(device.context, "a context")
        """,
        "cuda.core",
        driver="13.2",
    )


def test_a_kernel_whose_code_is_gone():
    run(
        """
        from cuda.core import Device, ObjectCode
        Device().set_current()
        text = b'''.version 8.0
        .target sm_80
        .address_size 64
        .visible .entry f() { ret; }
        '''
        kernel = ObjectCode.from_ptx(text).get_kernel("f")
        import gc
        gc.collect()
        try:
            fp.dumps({"kernel": kernel})
        except pickle.PicklingError as error:
            assert "obj['kernel']" in str(error) and "its ObjectCode is not known" in str(error)
        else:
            raise AssertionError("pickled")
        """,
        "cuda.core",
        driver="13.2",
    )


def test_handles_of_numba():
    run(
        """
        from numba import cuda
        from numba.cuda.cudadrv import driver
        for stream in (driver.Stream(PLANTED), driver.Stream(PLANTED, external=True),
                       cuda.stream()):
            refused(stream, "a stream")
        refused(driver.Event(PLANTED), "an event")
        refused(cuda.event(), "an event")
        refused(cuda.current_context(), "a context or device")
        refused(cuda.get_current_device(), "a context or device")
        refused(cuda.to_device([1.0]).gpu_data, "an address")
        for cls in (driver.CudaPythonModule, driver.CudaPythonFunction):
            loaded = cls.__new__(cls)
            loaded.handle = PLANTED
            refused(loaded, "what the driver has loaded")
        """,
        "numba_cuda",
        driver="13.2",
    )


def test_launches_of_numba():
    run(
        """
        from numba import cuda
        kernel = cuda.jit(lambda x: None)
        stream = cuda.stream()
        address = int(stream.handle)
        launch = kernel[1, 32, stream]
        assert str(address).encode() in repr(launch.__getstate__()).encode()
        refused(launch, "a stream", "the stream of a configured kernel")
        refused(kernel.forall(10, stream=stream), "the stream of a configured kernel")
        default = fp.loads(clean(kernel[1, 32]))
        assert int(default.stream.handle) == 0
        default.pre_launch_callbacks.append(print)
        refused(default)
        """,
        "numba_cuda",
        driver="13.2",
    )


@pytest.mark.parametrize("protocol", [2, 5])
def test_caches_of_triton(protocol, tmp_path):
    file = tmp_path / "kernels.py"
    file.write_text(
        "import triton, triton.language as tl\n"
        "@triton.jit\n"
        "def copy(x, y, n: tl.constexpr):\n"
        "    tl.store(y + tl.arange(0, n), tl.load(x + tl.arange(0, n)))\n"
    )
    run(
        f"""
        source = open({str(file)!r}).read()
        exec(compile(source, {str(file)!r}, "exec"))
        copy.device_caches[0] = ({{"key": PLANTED}}, {{}}, None, None, None)
        copy.kernel = PLANTED
        clean(copy)
        tuned = triton.autotune([triton.Config({{"n": 16}})], key=[])(copy)
        tuned.restore_copies["x"] = PLANTED
        clean(tuned)
        assert not holds(fp.dumps([copy, tuned], {protocol}))
        """,
        "triton",
    )
