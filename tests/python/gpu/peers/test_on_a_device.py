"""Kernels that have travelled, launched on a device: FERROPICKLE_DRIVER=real."""

import os

import pytest

from helpers.travel import travels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        os.environ.get("FERROPICKLE_DRIVER") != "real",
        reason="needs a CUDA device: FERROPICKLE_DRIVER=real",
    ),
]

DRIVER = "13.2"
SOURCE = """
extern "C" __global__ void scale(float *x, float factor)
{
    extern __shared__ float room[];
    room[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = room[threadIdx.x] * factor;
}
"""
TEMPLATE = "template <class T> __global__ void fill(T *x) { x[threadIdx.x] = 7; }"


def scaled(kernel, shared=4 * 32):
    """Thirty-two numbers, multiplied by 3 by the kernel."""
    import cupy
    import numpy as np

    x = cupy.arange(32, dtype=np.float32)
    kernel((1,), (32,), (x, np.float32(3)), shared_mem=shared)
    return x.get().tolist()


TIMES_3 = [3.0 * i for i in range(32)]


@travels("cupy", driver=DRIVER)
def test_raw_kernel():
    import cupy

    made = cupy.RawKernel(SOURCE, "scale")
    assert scaled(made) == TIMES_3  # What has been loaded stays behind.
    loaded = yield made
    assert scaled(loaded) == TIMES_3


@travels("cupy", driver=DRIVER, stock=False)
def test_attributes():
    import cupy

    made = cupy.RawKernel(SOURCE, "scale")
    made.max_dynamic_shared_size_bytes = 64 << 10
    made.preferred_shared_memory_carveout = 50
    loaded = yield made
    # More than any kernel may have.
    assert scaled(loaded, shared=60 << 10) == TIMES_3
    assert loaded.max_dynamic_shared_size_bytes == 64 << 10
    assert loaded.preferred_shared_memory_carveout == 50


@travels("cupy", driver=DRIVER, stock=False)
def test_bundle():
    import cupy

    from ferropickle import kernels

    arch = "sm_" + cupy.cuda.Device().compute_capability
    kernel = cupy.RawKernel(SOURCE, "scale")
    module = cupy.RawModule(code=TEMPLATE, name_expressions=["fill<int>"])
    whole = kernels.bundle(kernel, archs=[arch, "compute_75"])
    content = {name: value for name, value in vars(whole).items() if name != "source"}
    only_ptx = kernels.Bundle(**{**content, "images": {}})
    only_code = kernels.Bundle(**{**content, "ptx": None})
    one, two, three, four = yield whole, only_ptx, only_code, kernels.bundle(module, archs=[arch])
    for loaded in (one, two, three):
        assert loaded.file_path is not None
        assert scaled(loaded) == TIMES_3
    x = cupy.zeros(32, dtype=cupy.int32)
    name = kernels.bundle(module, archs=[arch]).symbols["fill<int>"]
    four.get_function(name)((1,), (32,), (x,))
    assert x.get().tolist() == [7] * 32


@travels("cupy", driver=DRIVER)
def test_kernels_of_expressions_and_functions():
    import warnings

    import cupy
    import cupyx.jit

    warnings.simplefilter("ignore")  # CuPy says that a part of it is experimental.
    x = cupy.arange(8, dtype=cupy.float32)

    @cupy.fuse()
    def fused(x, y):
        return x * y + 1

    @cupyx.jit.rawkernel()
    def fill(x, value):
        x[cupyx.jit.threadIdx.x] = value

    made = {
        "add": cupy.ElementwiseKernel("T x, T y", "T z", "z = x + y", "add"),
        "norm": cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "norm"),
        "fused": fused,
        "jit": fill,
        "vectorized": cupy.vectorize(lambda x: x + 5),
    }
    made["add"](x, x), made["norm"](x), made["fused"](x, x), made["vectorized"](x)
    made["jit"]((1,), (8,), (x.copy(), 2.0))
    loaded = yield made
    assert loaded["add"](x, x).get().tolist() == [2.0 * i for i in range(8)]
    assert float(loaded["norm"](x)) == 140
    assert loaded["fused"](x, x).get().tolist() == [i * i + 1.0 for i in range(8)]
    assert loaded["vectorized"](x).get().tolist() == [i + 5.0 for i in range(8)]
    loaded["jit"]((1,), (8,), (x, 2.0))
    assert x.get().tolist() == [2.0] * 8


@travels("numba_cuda", driver=DRIVER)
def test_kernels_of_numba():
    import numpy as np
    from numba import cuda, vectorize

    @cuda.jit(device=True)
    def double(x):
        return 2 * x

    @cuda.jit
    def scale(x):
        i = cuda.grid(1)
        if i < x.size:
            x[i] = double(x[i])

    @cuda.jit("void(float32[::1])")
    def with_signature(x):
        x[cuda.grid(1)] = 1

    @vectorize(["float32(float32)"], target="cuda")
    def vectorized(x):
        return x + 5

    scale[1, 32](np.ones(8, np.float32))
    lazy, eager, ufunc, launch = yield scale, with_signature, vectorized, scale[1, 32]
    x = np.arange(8, dtype=np.float32)
    lazy[1, 32](x)
    launch(x)
    assert x.tolist() == [4.0 * i for i in range(8)]
    assert ufunc(x).tolist() == [4.0 * i + 5 for i in range(8)]
    eager[1, 8](x)
    assert x.tolist() == [1.0] * 8


@travels("numba_cuda", driver=DRIVER, stock=False)
def test_bundle_of_numba():
    import numpy as np
    from numba import cuda

    from ferropickle import kernels

    @cuda.jit
    def scale(x):
        x[cuda.grid(1)] *= 2

    x = np.arange(8, dtype=np.float32)
    scale[1, 8](x)
    loaded = yield kernels.bundle(scale)
    assert len(loaded.overloads) == 1
    x = np.arange(8, dtype=np.float32)
    loaded[1, 8](x)
    assert x.tolist() == [2.0 * i for i in range(8)]
    assert len(loaded.overloads) == 1


@travels("triton", "torch", driver=DRIVER)
def test_kernels_of_triton():
    global torch, triton, tl

    import torch
    import triton
    import triton.language as tl

    @triton.autotune([triton.Config({"BLOCK": 16}), triton.Config({"BLOCK": 64})], key=["n"])
    @triton.jit
    def scale(x_ptr, n, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(x_ptr + at, tl.load(x_ptr + at, mask=at < n) * 0 + 3, mask=at < n)

    def run(kernel):
        x = torch.arange(100, device="cuda", dtype=torch.float32)
        kernel[lambda meta: (triton.cdiv(100, meta["BLOCK"]),)](x, 100)
        return x.cpu().tolist()

    run(scale)
    loaded = yield scale
    assert len(loaded.cache) == 1
    assert run(loaded) == [3.0] * 100
    assert len(loaded.cache) == 1
