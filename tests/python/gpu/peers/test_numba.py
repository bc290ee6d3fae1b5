"""Kernels of numba-cuda: on the simulated driver, and run by Numba's own simulator."""

from helpers.travel import travels

DRIVER = "13.2"
SIMULATED = {"NUMBA_ENABLE_CUDASIM": "1"}


def kernels():
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
    scale = kernels()
    loaded = yield scale
    assert type(loaded) is type(scale)
    assert loaded.targetoptions == scale.targetoptions
    assert loaded.targetoptions["fastmath"] is True
    assert (loaded.__name__, loaded.__doc__) == ("scale", "Scales.")
    assert ".entry" in ptx(loaded)


@travels("numba_cuda", driver=DRIVER)
def test_device_functions_and_their_options():
    kernels()
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

    scale = kernels()
    data = None
    if "ferropickle" in sys.modules:
        import ferropickle as fp

        data = fp.dumps({"kernel": scale})
        assert fp.loads(data)["kernel"] is scale
    kernel, data = yield scale, data
    assert pickle.loads(data)["kernel"] is kernel


@travels("numba_cuda", receiver=SIMULATED, driver=DRIVER)
def test_a_kernel_runs_in_the_simulator():
    loaded = yield kernels()
    assert type(loaded).__name__ == "FakeCUDAKernel"
    assert run(loaded) == [6 * x + 100 for x in range(10)]


@travels("numba_cuda", sender=SIMULATED, receiver=SIMULATED)
def test_kernels_of_the_simulator_travel_too():
    scale = kernels()
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
    scale = kernels()
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
