"""Kernels of numba-cuda: on the simulated driver, and run by Numba's own simulator."""

import pytest

from helpers.travel import travels

DRIVER = "13.2"
SIMULATED = {"NUMBA_ENABLE_CUDASIM": "1"}


def made_kernel():
    from numba import cuda as gpu

    global cuda, OFFSET, double

    cuda, OFFSET = gpu, 100

    @cuda.jit(device=True, inline="always")
    def double(x):
        return 2 * x

    factor = 3

    @cuda.jit(fastmath=True)
    def scale(x):
        """Scales."""
        i = cuda.grid(1)
        if i < x.size:
            x[i] = double(x[i]) * factor + OFFSET

    return scale


def run(kernel):
    import numpy as np

    x = np.arange(10)
    kernel[2, 8](x)
    return x.tolist()


def ptx(dispatcher):
    """The code of a kernel for an array of int64; no device is needed."""
    from numba.cuda import compile_ptx, int64

    return compile_ptx(dispatcher.py_func, (int64[:],), cc=(9, 0))[0]


@travels("numba_cuda", driver=DRIVER)
def test_kernel():
    scale = made_kernel()
    loaded = yield scale
    assert type(loaded) is type(scale)
    assert loaded.targetoptions == scale.targetoptions
    assert loaded.targetoptions["fastmath"] is True
    assert (loaded.__name__, loaded.__doc__) == ("scale", "Scales.")
    assert ".entry" in ptx(loaded)


@travels("numba_cuda", driver=DRIVER)
def test_device_functions_and_their_options():
    made_kernel()
    options = {"lto": False, "opt": False, "launch_bounds": (64, 2)}
    loaded, without_lto = yield double, cuda.jit(lambda x: x, **options)
    assert loaded.targetoptions == double.targetoptions
    assert loaded.targetoptions["device"] is True
    assert loaded.targetoptions["inline"] == "always"
    assert {name: without_lto.targetoptions[name] for name in options} == options


@travels("numba_cuda", driver=DRIVER)
def test_a_kernel_is_one_however_often_it_is_loaded():
    import pickle
    import sys

    scale = made_kernel()
    data = None
    if "ferropickle" in sys.modules:
        import ferropickle as fp

        data = fp.dumps({"kernel": scale})
        assert fp.loads(data)["kernel"] is scale
    kernel, data = yield scale, data
    assert pickle.loads(data)["kernel"] is kernel


@travels("numba_cuda", receiver=SIMULATED, driver=DRIVER)
def test_a_kernel_runs_in_the_simulator():
    loaded = yield made_kernel()
    assert type(loaded).__name__ == "FakeCUDAKernel"
    assert run(loaded) == [6 * x + 100 for x in range(10)]


@travels("numba_cuda", sender=SIMULATED, receiver=SIMULATED)
def test_kernels_of_the_simulator_travel_too():
    scale = made_kernel()
    loaded, launch = yield scale, lambda x: scale[1, 10](x)
    assert run(loaded) == [6 * x + 100 for x in range(10)]
    import numpy as np

    x = np.zeros(10, int)
    launch(x)
    assert x.tolist() == [100] * 10


@travels("numba_cuda", driver=DRIVER)
def test_a_kernel_that_calls_itself():
    from numba import cuda as gpu

    @gpu.jit(device=True)
    def factorial(n):
        return n * factorial(n - 1) if n > 1 else 1

    loaded = yield factorial
    assert loaded.py_func.__closure__[0].cell_contents is loaded


@travels("numba_cuda", driver=DRIVER)
def test_device_function_with_a_signature():
    from numba import cuda as gpu

    @gpu.jit("float32(float32)", device=True)
    def half(x):
        return x / 2

    loaded = yield half
    assert loaded._can_compile is False
    assert list(loaded.overloads) == list(half.overloads)
    assert loaded._specialized == half._specialized


@travels("numba_cuda", driver=DRIVER)
def test_configured_launch():
    scale = made_kernel()
    launch, many = yield scale[(4, 2), 64, 0, 256], scale.forall(1000, tpb=128)
    assert type(launch).__name__ == "_LaunchConfiguration"
    assert (launch.griddim, launch.blockdim, launch.sharedmem) == ((4, 2, 1), (64, 1, 1), 256)
    assert int(launch.stream.handle) == 0
    assert launch.dispatcher is many.dispatcher
    assert (many.ntasks, many.thread_per_block, many.stream) == (1000, 128, 0)


@travels("numba_cuda", driver=DRIVER)
def test_vectorized_function():
    from numba import vectorize

    signatures = ["float32(float32, float32)", "float64(float64, float64)"]

    @vectorize(signatures, target="cuda")
    def made(x, y):
        return x + y

    loaded = yield made
    assert type(loaded) is type(made)
    assert list(loaded.functions) == list(made.functions)


@travels("numba_cuda", driver=DRIVER)
def test_files_that_are_linked_go_with_the_text():
    import tempfile

    from numba import cuda as gpu

    with tempfile.NamedTemporaryFile(suffix=".cu", mode="w") as file:
        file.write("__device__ int one() { return 1; }")
        file.flush()
        made = gpu.jit(lambda x: None, link=[file.name])
        loaded = yield made
    (part,) = loaded.targetoptions["link"]
    assert type(part).__name__ == "CUSource"
    assert part.data == "__device__ int one() { return 1; }"


@travels("numba_cuda", driver=DRIVER)
def test_default_streams_are_those_of_the_receiver():
    from numba import cuda as gpu

    loaded = yield [gpu.default_stream(), gpu.per_thread_default_stream()]
    assert [int(stream.handle) for stream in loaded] == [0, 2]


SIGNATURE = "void(int64[::1])"


@travels("numba_cuda", stock=False, driver=DRIVER)
def test_bundle():
    from ferropickle import kernels

    scale = made_kernel()
    loaded, again = yield (
        kernels.bundle(scale, signatures=[SIGNATURE], archs=["sm_80", "sm_90"]),
        kernels.bundle(scale),
    )
    assert type(loaded) is type(scale)
    assert loaded is again
    ((types, kernel),) = loaded.overloads.items()
    assert types == (cuda.types.int64[::1],)
    code = kernel._codelibrary._cubin_cache
    assert sorted(code) == [(8, 0), (9, 0)]
    assert all(bytes(part.code)[:4] == b"\x7fELF" for part in code.values())
    # The one for these types is found, and not compiled: the simulated driver runs no such code.
    assert loaded.compile(types) is kernel


@travels("numba_cuda", stock=False, driver=DRIVER)
def test_a_bundle_of_another_version_or_damaged():
    import dataclasses

    from ferropickle import kernels
    from ferropickle.kernels import _numba

    scale = made_kernel()
    bundle = kernels.bundle(scale, signatures=[SIGNATURE])
    other, damaged = yield (
        dataclasses.replace(bundle, version="0.0"),
        (scale, bundle.compiled + b" ", bundle.sha256, bundle.version),
    )
    assert other is damaged[0]
    assert not other.overloads
    with pytest.raises(kernels.KernelError, match="SHA-256"):
        _numba.load(*damaged)


@travels("numba_cuda", stock=False, driver=DRIVER, receiver=SIMULATED)
def test_a_bundle_in_the_simulator():
    from ferropickle import kernels

    scale = made_kernel()
    if type(scale).__name__ == "CUDADispatcher":
        scale = kernels.bundle(scale, signatures=[SIGNATURE])
    loaded = yield scale
    assert run(loaded) == [6 * x + 100 for x in range(10)]


@travels("numba_cuda", stock=False, driver=DRIVER)
def test_what_a_bundle_is_made_of():
    from ferropickle import kernels

    scale = made_kernel()
    yield None
    with pytest.raises(TypeError, match="not of device functions"):
        kernels.bundle(double)
    with pytest.raises(TypeError, match="give archs and signatures"):
        kernels.bundle(scale, ptx="text")
    with pytest.raises(ValueError, match="not 'compute_80'"):
        kernels.bundle(scale, signatures=[SIGNATURE], archs=["compute_80"])
