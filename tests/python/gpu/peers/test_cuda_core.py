"""Programs, code and kernels of cuda.core, launched on the simulated driver after the journey."""

import re

from helpers.travel import travels

DRIVER = "13.2"
NAME = "scale"
NICE = {"nice": b"scale"}

# What the simulated driver can run: PTX of version 8.0.
PTX = b"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry scale(.param .u64 at, .param .u32 factor)
{
    .reg .b32 %r<5>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [at];
    ld.param.u32 %r1, [factor];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r2, %tid.x;
    mul.wide.u32 %rd3, %r2, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.u32 %r3, [%rd4];
    mul.lo.s32 %r4, %r3, %r1;
    st.global.u32 [%rd4], %r4;
    ret;
}
"""


def launched(kernel):
    """Numbers that the kernel has multiplied by 7 on the device."""
    import ctypes

    import numpy as np
    from cuda.bindings import driver
    from cuda.core import Device, LaunchConfig, launch

    device = Device()
    device.set_current()
    stream = device.create_stream()
    array = np.arange(32, dtype=np.uint32)
    buffer = device.allocate(array.nbytes, stream=stream)
    stream.sync()
    driver.cuMemcpyHtoD(int(buffer.handle), array.ctypes.data, array.nbytes)
    driver.cuCtxSynchronize()
    launch(stream, LaunchConfig(grid=1, block=32), kernel, buffer, ctypes.c_uint32(7))
    stream.sync()
    driver.cuMemcpyDtoH(array.ctypes.data, int(buffer.handle), array.nbytes)
    return array.tolist()


TIMES_7 = [7 * i for i in range(32)]


def device():
    from cuda.core import Device

    Device().set_current()


@travels("cuda.core", driver=DRIVER)
def test_object_code():
    from cuda.core import ObjectCode

    made = ObjectCode.from_ptx(PTX, name="a name", symbol_mapping=NICE)
    same = ObjectCode.from_ptx(PTX, name="a name", symbol_mapping=NICE)
    loaded, again = yield made, same
    assert (loaded.code, loaded.code_type, loaded.name) == (PTX, "ptx", "a name")
    assert loaded.symbol_mapping == NICE
    # By what it is, so it is loaded once.
    assert loaded is again
    device()
    assert launched(loaded.get_kernel("nice")) == TIMES_7


@travels("cuda.core", driver=DRIVER)
def test_object_code_of_a_file_goes_with_the_bytes():
    import tempfile

    from cuda.core import ObjectCode

    with tempfile.NamedTemporaryFile(suffix=".ptx") as file:
        file.write(PTX)
        file.flush()
        loaded = yield ObjectCode.from_ptx(file.name)
    assert loaded.code == PTX
    device()
    assert launched(loaded.get_kernel(NAME)) == TIMES_7


@travels("cuda.core")
def test_machine_code_without_a_driver():
    from cuda.core import Program, ProgramOptions

    program = Program('extern "C" __global__ void f() {}', "c++", ProgramOptions(arch="sm_90"))
    made = program.compile("cubin")
    loaded = yield made
    assert loaded.code == made.code
    assert loaded.code_type == "cubin"


@travels("cuda.core", driver=DRIVER)
def test_kernel():
    from cuda.core import ObjectCode

    device()
    code = ObjectCode.from_ptx(PTX)
    loaded = yield {"kernel": code.get_kernel(NAME), "code": code}
    assert launched(loaded["kernel"]) == TIMES_7
    assert loaded["kernel"] == loaded["code"].get_kernel(NAME)


@travels("cuda.core", driver=DRIVER)
def test_callables_around_kernels():
    from cuda.core import ObjectCode

    device()

    class Step:
        code = ObjectCode.from_ptx(PTX)
        kernel = code.get_kernel(NAME)

        def __call__(self):
            return launched(self.kernel)

    loaded = yield Step()
    assert loaded() == TIMES_7


@travels("cuda.core")
def test_program():
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(arch="sm_90", define_macro=("X", "2"), max_register_count=32)
    made = Program('extern "C" __global__ void f(int *x) { *x = X; }', "c++", options)
    loaded, intermediate = yield made, Program(PTX.decode(), "ptx", ProgramOptions(arch="sm_90"))
    assert type(loaded) is type(made)
    assert loaded.compile("cubin").code == made.compile("cubin").code
    assert intermediate.backend == "nvJitLink"


@travels("cuda.core")
def test_launch_configuration():
    from cuda.core import LaunchConfig

    made = LaunchConfig(grid=(4, 2), block=64, shmem_size=1024, is_cooperative=False)
    clustered = LaunchConfig(grid=4, block=32)
    loaded, other = yield made, clustered
    assert loaded == made
    assert other == clustered
    assert loaded.shmem_size == 1024


@travels("cuda.core", driver=DRIVER)
def test_default_streams_are_those_of_the_receiver():
    from cuda.core import LEGACY_DEFAULT_STREAM, PER_THREAD_DEFAULT_STREAM

    loaded = yield [LEGACY_DEFAULT_STREAM, PER_THREAD_DEFAULT_STREAM]
    assert loaded[0] is LEGACY_DEFAULT_STREAM
    assert loaded[1] is PER_THREAD_DEFAULT_STREAM


def cubins(*archs):
    return dict.fromkeys(archs, b"\x7fELF not for this device")


@travels("cuda.core", stock=False, driver=DRIVER)
def test_bundle_of_a_kernel():
    from cuda.core import ObjectCode

    from ferropickle import kernels

    device()
    code = ObjectCode.from_ptx(PTX)
    # The simulated driver runs no machine code, so the first form fails and the second is taken.
    bundle = kernels.bundle(code.get_kernel(NAME), images=cubins("sm_90", "sm_120"))
    assert bundle.ptx == PTX
    loaded, again = yield bundle, kernels.bundle(code.get_kernel(NAME), images=bundle.images)
    assert type(loaded).__name__ == "Kernel"
    assert launched(loaded) == TIMES_7
    assert loaded is again


@travels("cuda.core", stock=False, driver=DRIVER)
def test_bundle_of_a_program():
    from cuda.core import Program, ProgramOptions

    from ferropickle import kernels

    program = Program(
        'extern "C" __global__ void scale(unsigned *at, UNSIGNED factor)'
        "{ at[threadIdx.x] *= factor; }",
        "c++",
        ProgramOptions(define_macro=("UNSIGNED", "unsigned")),
    )
    bundle = kernels.bundle(program, archs=["sm_80", "sm_90"], ptx=PTX)
    assert sorted(bundle.images) == ["sm_80", "sm_90"]
    assert all(code[:4] == b"\x7fELF" for code in bundle.images.values())
    loaded = yield bundle
    # The simulated driver runs no machine code, but the PTX beside it.
    assert launched(loaded.get_kernel(NAME)) == TIMES_7


@travels("cuda.core", stock=False, driver=DRIVER, simulated=True)
def test_an_error_says_why_each_form_does_not_fit():
    from cuda.core import Program, ProgramOptions

    import ferropickle as fp
    from ferropickle import kernels

    newer = re.sub(rb"sm_80", b"sm_100", PTX)
    program = Program("not C++", "c++", ProgramOptions())
    bundle = kernels.bundle(program, images=cubins("sm_90", "sm_80", "sm_120"), ptx=newer)
    data = yield fp.dumps(bundle)
    try:
        fp.loads(data)
    except kernels.KernelError as error:
        text = str(error)
    assert "sm_120: the device is sm_90, of another major version" in text
    assert "ptx: the device is sm_90, and it needs sm_100" in text
    assert "sm_90: " in text
    assert "\n  source: " in text
    assert text.index("sm_120") < text.index("sm_90: ")
