"""Kernels of CuPy, made where there is no device and loaded in another process."""

from helpers.travel import travels

SOURCE = 'extern "C" __global__ void scale(float *x, int n) { x[threadIdx.x] *= K * n; }'
TEMPLATE = "template <class T> __global__ void fill(T *x) { x[threadIdx.x] = 1; }"


def state(kernel):
    return {**kernel.__getstate__()}


@travels("cupy")
def test_raw_kernel():
    import cupy

    made = cupy.RawKernel(
        SOURCE, "scale", ("-DK=3",), backend="nvrtc", enable_cooperative_groups=True
    )
    loaded = yield made
    assert type(loaded) is cupy.RawKernel
    assert state(loaded) == state(made)
    assert compiled(loaded.code, loaded.options)


def compiled(source, options):
    """Machine code of a source: that the text has arrived whole."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    nvrtc.compileProgram(program, (*options, "--gpu-architecture=sm_90"))
    return nvrtc.getCUBIN(program)


@travels("cupy")
def test_raw_module():
    import cupy

    made = cupy.RawModule(code=TEMPLATE, options=("-std=c++14",), name_expressions=["fill<int>"])
    loaded = yield made
    assert type(loaded) is cupy.RawModule
    assert (loaded.code, loaded.options) == (TEMPLATE, ("-std=c++14",))
    assert loaded.name_expressions == ("fill<int>",)


@travels("cupy", stock=False)
def test_a_module_of_a_file_goes_with_the_bytes():
    import tempfile

    import cupy

    with tempfile.NamedTemporaryFile(suffix=".ptx") as file:
        file.write(b".version 8.0\n")
        file.flush()
        module = cupy.RawModule(path=file.name, enable_cooperative_groups=True)
        loaded, again = yield module, cupy.RawModule(path=file.name)
    assert type(loaded) is cupy.RawModule
    assert loaded.file_path != module.file_path
    with open(loaded.file_path, "rb") as file:
        assert file.read() == b".version 8.0\n"
    assert loaded.enable_cooperative_groups
    # CuPy remembers what it has loaded by the file's name.
    assert again.file_path == loaded.file_path


@travels("cupy", stock=False)
def test_a_kernel_of_a_file_goes_with_the_bytes():
    import tempfile

    import cupy

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(b"\x7fELF and so on")
        file.flush()
        kernel = cupy.RawKernel("", "entry")
        kernel.__setstate__({**state(kernel), "code": None, "file_path": file.name})
        loaded = yield kernel
    assert loaded.name == "entry"
    with open(loaded.file_path, "rb") as file:
        assert file.read() == b"\x7fELF and so on"


@travels("cupy")
def test_elementwise_kernel():
    import cupy

    made = cupy.ElementwiseKernel(
        "raw T x, int32 y, bool b, _non_const S w",
        "T z, complex64 c",
        "z = x[i] + y",
        "mine",
        reduce_dims=False,
        preamble="#define P",
        return_tuple=True,
        options=("-DK=1",),
        loop_prep="int q;",
    )
    loaded = yield made
    assert type(loaded) is cupy.ElementwiseKernel
    for name in (
        *("in_params", "out_params", "params", "nin", "nout", "operation", "name", "kwargs"),
        *("reduce_dims", "preamble", "no_return", "return_tuple"),
    ):
        assert getattr(loaded, name) == getattr(made, name), name


@travels("cupy")
def test_an_elementwise_kernel_without_parameters():
    import cupy

    made = cupy.ElementwiseKernel("", "T z", "z = i")
    loaded = yield made
    assert loaded.params == made.params
    assert loaded.in_params == ()


@travels("cupy")
def test_reduction_kernel():
    import cupy

    made = cupy.ReductionKernel(
        *("T x, raw float64 y", "T z", "x * y[0]", "a + b", "z = sqrt(a)", "0", "norm"),
        reduce_type="float",
        reduce_dims=False,
        preamble="#define P",
        options=("-DK=1",),
    )
    loaded = yield made
    assert type(loaded) is cupy.ReductionKernel
    for name in (
        *("in_params", "out_params", "params", "nin", "nout", "map_expr", "reduce_expr"),
        *("post_map_expr", "identity", "name", "reduce_type", "reduce_dims", "preamble"),
        "options",
    ):
        assert getattr(loaded, name) == getattr(made, name), name


@travels("cupy")
def test_ufuncs_are_those_of_the_receiver():
    import cupy

    loaded = yield [cupy.add, cupy.sqrt]
    assert loaded[0] is cupy.add
    assert loaded[1] is cupy.sqrt


FACTOR = 2


@travels("cupy")
def test_fused_function():
    import cupy

    @cupy.fuse(kernel_name="times")
    def times(x, y):
        return x * y * FACTOR

    times._memo["key"] = "what it was compiled to"
    loaded, again, plain = yield times, times, cupy.fuse(lambda x: x)
    assert type(loaded) is type(times)
    assert loaded is again
    assert (loaded.name, loaded.__name__, loaded._memo) == ("times", "times", {})
    # Without arrays of CuPy it is the function itself.
    assert loaded.func(3, 5) == 30
    assert plain.func("x") == "x"


@travels("cupy")
def test_jit_kernel():
    import warnings

    import cupy
    import cupyx.jit

    warnings.simplefilter("ignore")  # CuPy says that it is experimental.

    @cupyx.jit.rawkernel(device=False)
    def fill(x, n):
        i = cupyx.jit.threadIdx.x + cupyx.jit.blockIdx.x * cupyx.jit.blockDim.x
        if i < n:
            x[i] = FACTOR

    loaded = yield fill
    assert type(loaded) is type(fill)
    assert transpiled(loaded._func) == transpiled(fill._func)
    assert "threadIdx.x" in transpiled(loaded._func)
    assert cupy.__name__ == "cupy"


def transpiled(function):
    """The CUDA source that CuPy makes of a function, for float32[:] and int32."""
    from cupyx.jit import _compile, _cuda_types

    array = _cuda_types.CArray(dtype="float32", ndim=1, is_c_contiguous=True, index_32_bits=True)
    types = (array, _cuda_types.int32)
    return _compile.transpile(function, ["__global__"], "cuda", types, _cuda_types.void).code


@travels("cupy")
def test_vectorized_function():
    import cupy

    made = cupy.vectorize(lambda x, n: x + n, otypes="f", doc="adds")
    loaded = yield made
    assert type(loaded) is cupy.vectorize
    assert (loaded.otypes, loaded.__doc__, loaded._kernel_cache) == ("f", "adds", {})
    import inspect

    assert "lambda x, n: x + n" in inspect.getsource(loaded.pyfunc)


@travels("cupy")
def test_callables_around_kernels():
    import cupy

    class Step:
        kernel = cupy.RawKernel(SOURCE, "scale")

        def __init__(self):
            self.norm = cupy.ReductionKernel("T x", "T y", "x", "a + b", "y = a", "0", "norm")

        def __call__(self, x):
            self.kernel((1,), (32,), (x, len(x)))
            return self.norm(x)

    step = Step()
    loaded, launch = yield step, lambda x: step(x) * FACTOR
    assert loaded.kernel.code == SOURCE
    assert loaded.norm.name == "norm"
    assert launch.__closure__[0].cell_contents is loaded


@travels("cupy", stock=False)
def test_bundles():
    import cupy

    from ferropickle import kernels

    kernel = cupy.RawKernel(SOURCE, "scale", ("-DK=3",))
    bundle = kernels.bundle(kernel, archs=["sm_80", "sm_90", "compute_80"])
    assert sorted(bundle.images) == ["sm_80", "sm_90"]
    assert all(code[:4] == b"\x7fELF" for code in bundle.images.values())
    assert b".target sm_80" in bundle.ptx
    assert "NVRTC" in bundle.versions
    module = cupy.RawModule(code=TEMPLATE, name_expressions=["fill<int>"])
    of_module = kernels.bundle(module, archs=["sm_90"])
    assert list(of_module.symbols) == ["fill<int>"]
    # There is no device here, so it is the source that is loaded.
    loaded, module = yield bundle, of_module
    assert type(loaded) is cupy.RawKernel
    assert state(loaded) == state(kernel)
    assert (module.code, module.name_expressions) == (TEMPLATE, ("fill<int>",))


@travels("cupy", stock=False)
def test_the_kernel_of_a_form_of_code():
    import cupy

    from ferropickle import kernels
    from ferropickle.kernels import _cupy

    module = cupy.RawModule(code=TEMPLATE, name_expressions=["fill<int>"])
    bundle = kernels.bundle(module, archs=["sm_90", "compute_80"])
    kernel = kernels.Bundle(**{**vars(bundle), "kind": "cupy.RawKernel", "entry": "fill<int>"})
    yield None
    for form, code in (("sm_90", bundle.images["sm_90"]), ("ptx", bundle.ptx)):
        loaded = _cupy.make(kernel, form, False)
        assert loaded.name == bundle.symbols["fill<int>"]
        assert loaded.name.encode() in code
        assert (loaded.code, loaded.backend) == (None, "nvcc")
        path = _cupy.make(bundle, form, False).file_path
        assert path == loaded.file_path
        with open(path, "rb") as file:
            assert file.read() == code


ATTRIBUTES = {"max_dynamic_shared_size_bytes": 1 << 16, "preferred_shared_memory_carveout": 50}


def driver_that_has(**values):
    """A stand-in for the driver: what it says of functions, and what it is told to set."""
    from cupy_backends.cuda.api import driver

    values = {getattr(driver, f"CU_FUNC_ATTRIBUTE_{name}"): x for name, x in values.items()}
    told = []
    driver.funcGetAttribute = lambda attribute, function: values[attribute]
    driver.funcSetAttribute = lambda *call: told.append(call)
    return driver, told


def loaded_kernel():
    """A kernel that looks as if the driver had loaded it."""
    import gc

    import cupy

    kernel = cupy.RawKernel(SOURCE, "scale", ("-DK=3",))
    function = cupy.cuda.function.Function.__new__(cupy.cuda.function.Function)
    function.ptr = PLANTED
    (cache,) = (part for part in gc.get_referents(kernel) if type(part) is list)
    cache.extend([None, function])
    return kernel


PLANTED = 0x7EADBEEF1234


@travels("cupy", stock=False)
def test_attributes_that_have_been_set():
    import cupy

    import ferropickle as fp
    from ferropickle import kernels

    driver_that_has(
        MAX_DYNAMIC_SHARED_SIZE_BYTES=1 << 16,
        SHARED_SIZE_BYTES=0,
        PREFERRED_SHARED_MEMORY_CARVEOUT=50,
    )
    kernel = loaded_kernel()
    assert kernels.bundle(kernel).attributes == ATTRIBUTES
    loaded = yield kernel
    assert isinstance(loaded, cupy.RawKernel)
    assert state(loaded) == state(kernel)
    assert loaded.attributes_to_set == ATTRIBUTES
    # Sent on before a device has loaded it.
    data = fp.dumps(loaded)
    assert PLANTED.to_bytes(6, "little") not in data
    assert fp.loads(data).attributes_to_set == ATTRIBUTES
    assert kernels.bundle(loaded).attributes == ATTRIBUTES


@travels("cupy")
def test_attributes_that_have_not_been_set():
    import cupy

    driver_that_has(
        MAX_DYNAMIC_SHARED_SIZE_BYTES=(48 << 10) - 512,
        SHARED_SIZE_BYTES=512,
        PREFERRED_SHARED_MEMORY_CARVEOUT=-1,
    )
    loaded = yield loaded_kernel()
    assert type(loaded) is cupy.RawKernel


@travels("cupy", stock=False)
def test_attributes_are_set_on_each_device():
    import cupy

    from ferropickle import kernels
    from ferropickle.kernels import _attributes

    bundle = kernels.bundle(cupy.RawKernel(SOURCE, "scale"), attributes=ATTRIBUTES)
    loaded = yield bundle
    assert loaded.attributes_to_set == ATTRIBUTES
    driver, told = driver_that_has()

    class OnDevices:
        """In the place of CuPy's class, which needs a device to load."""

        device = 0

        def __init__(self, code, name):
            self.functions = [loaded_function(10), loaded_function(20)]

        def __setstate__(self, state):
            pass

        @property
        def kernel(self):
            return self.functions[self.device]

    def loaded_function(address):
        return type("Function", (), {"ptr": address})()

    cupy.RawKernel = OnDevices
    kernel = _attributes.raw_kernel({}, ATTRIBUTES)
    assert not told
    assert kernel.kernel.ptr == kernel.kernel.ptr == 10
    dynamic = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    carveout = driver.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
    assert told == [(10, dynamic, 1 << 16), (10, carveout, 50)]
    kernel.device = 1
    assert kernel.kernel.ptr == 20
    assert told[2:] == [(20, dynamic, 1 << 16), (20, carveout, 50)]
