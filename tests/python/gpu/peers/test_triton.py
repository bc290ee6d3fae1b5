"""Kernels of Triton, made where there is no device and loaded in another process."""

from helpers.travel import travels

INTERPRET = {"TRITON_INTERPRET": "1"}


def kernels():
    """A kernel, the function that it calls, and the module of the tl."""
    global triton, tl, double, SCALE

    import triton
    import triton.language as tl

    SCALE = tl.constexpr(3)

    @triton.jit
    def double(x):
        return x * 2 * SCALE

    @triton.jit(do_not_specialize=["n"], debug=False, noinline=False)
    def scale(x_ptr, n, BLOCK: tl.constexpr):
        """Scales."""
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n)
        tl.store(x_ptr + at, double(x), mask=at < n)

    return scale


def ptx(kernel, block=32):
    """What the kernel is compiled to for sm_90; no device is needed."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    signature = {"x_ptr": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    source = ASTSource(kernel, signature, {(2,): block})
    return compile(source, target=GPUTarget("cuda", 90, 32))


def run(kernel, **meta):
    """The kernel, run by Triton's interpreter on ten numbers."""

    x = Tensor(range(10))
    kernel[(2,)](x, 10, **meta)
    return x.values()


class Tensor:
    """As much of a tensor of PyTorch as the interpreter asks for: its own storage too."""

    dtype = "float32"

    def __init__(self, values=()):
        import numpy as np

        self.array = np.array(values, np.float32)

    def data_ptr(self):
        return self.array.ctypes.data

    def untyped_storage(self):
        return self

    def cpu(self):
        return Tensor(self.array)

    def copy_(self, other):
        self.array[:] = other.array

    def new_empty(self, size, device):
        return Tensor()

    def set_(self, storage, offset, size, stride):
        self.array = storage.array

    def storage_offset(self):
        return 0

    def size(self):
        return self.array.shape

    def stride(self):
        return (1,)

    def values(self):
        return self.array.tolist()


@travels("triton")
def test_kernel():
    scale = kernels()
    scale.device_caches["key"] = "what it was compiled to"
    loaded = yield scale
    assert type(loaded) is type(scale)
    assert dict(loaded.device_caches) == {}
    assert loaded.raw_src == scale.raw_src
    assert loaded.starting_line_number == scale.starting_line_number
    assert loaded.do_not_specialize == ["n"]
    assert (loaded.debug, loaded.noinline) == (False, False)
    assert (loaded.__name__, loaded.__doc__) == ("scale", "Scales.")
    # Of the text, of the functions that it calls, of constants.
    assert loaded.cache_key == scale.cache_key
    assert "mul.f32" in ptx(loaded).asm["ptx"]


@travels("triton")
def test_a_kernel_is_one_however_often_it_is_loaded():
    import pickle
    import sys

    scale = kernels()
    data = None
    if "ferropickle" in sys.modules:
        import ferropickle as fp

        data = fp.dumps(scale)
        assert fp.loads(data) is scale
    kernel, data = yield scale, data
    assert pickle.loads(data) is kernel
    assert pickle.loads(data) is kernel


@travels("triton")
def test_closures_hooks_and_launches():
    scale = kernels()
    seen = []
    scale.add_pre_run_hook(seen.append)
    loaded, launch, hooks = yield scale, lambda x: scale[(1,)](x, 10, BLOCK=16), seen
    assert launch.__closure__[0].cell_contents is loaded
    loaded.pre_run_hooks[0](1)
    assert hooks == [1]


@travels("triton")
def test_autotuner_with_its_results():
    scale = kernels()
    configs = [triton.Config({"BLOCK": 16}, num_warps=2), triton.Config({"BLOCK": 32})]
    tuned = triton.autotune(
        configs, key=["n"], reset_to_zero=["x_ptr"], prune_configs_by={"top_k": 1}
    )(scale)
    tuned.cache[(10, "fp32")] = configs[1]
    loaded = yield tuned
    assert type(loaded) is type(tuned)
    assert loaded.configs == configs
    assert loaded.cache == {(10, "fp32"): configs[1]}
    assert (loaded.keys, loaded.reset_to_zero) == (["n"], ["x_ptr"])
    assert (loaded.configs_top_k, loaded.early_config_prune) == (1, None)
    assert loaded.user_defined_pre_hook is False
    assert loaded.fn.cache_key == scale.cache_key
    assert loaded.base_fn is loaded.fn.fn


@travels("triton")
def test_results_of_an_autotuner_are_added_to_those_of_the_receiver():
    import pickle
    import sys

    scale = kernels()
    configs = [triton.Config({"BLOCK": 16}), triton.Config({"BLOCK": 32})]
    hooks = {"pre_hook": lambda args, reset_only=False: args, "post_hook": lambda args, e: e}
    tuned = triton.autotune(configs, key=["n"], **hooks)(scale)
    later = None
    if "ferropickle" in sys.modules:
        import ferropickle as fp

        fp.dumps(tuned)  # From now on it is known.
        tuned.cache.update({1: configs[0], 2: configs[0]})
        later = fp.dumps(tuned)
        tuned.cache.clear()
    loaded, later = yield tuned, later
    assert loaded.pre_hook("x") == "x"
    assert loaded.post_hook("x", "y") == "y"
    loaded.cache[2] = loaded.configs[1]
    assert pickle.loads(later) is loaded
    assert [loaded.cache[i].kwargs["BLOCK"] for i in (1, 2)] == [16, 32]


@travels("triton")
def test_heuristics():
    scale = kernels()
    made = triton.heuristics({"BLOCK": lambda args: triton.next_power_of_2(args["n"])})(scale)
    loaded = yield made
    assert type(loaded) is type(made)
    assert loaded.values["BLOCK"]({"n": 9}) == 16
    assert loaded.fn.cache_key == scale.cache_key


@travels("triton")
def test_compiled_kernel():
    scale = kernels()
    made = ptx(scale)
    made.module, made.function, made._module_pid = 0x7EADBEEF1234, 0x7EADBEEF5678, 1
    made.n_regs = 16
    loaded = yield made
    made.module = None
    assert type(loaded) is type(made)
    assert (loaded.module, loaded.function, loaded._run) == (None, None, None)
    assert loaded.kernel == loaded.asm["cubin"]
    assert loaded.asm["cubin"][:4] == b"\x7fELF"
    assert loaded.metadata.target.arch == 90
    assert loaded.metadata == made.metadata or loaded.metadata._asdict() == made.metadata._asdict()
    assert loaded.packed_metadata == made.packed_metadata


@travels("triton", receiver=INTERPRET)
def test_a_kernel_runs_in_the_interpreter():
    scale = kernels()
    loaded = yield scale
    assert type(loaded).__name__ == "InterpretedFunction"
    assert run(loaded, BLOCK=8) == [6.0 * x for x in range(10)]


@travels("triton", sender=INTERPRET, receiver=INTERPRET)
def test_interpreted_kernels_travel_too():
    scale = kernels()
    made = triton.heuristics({"BLOCK": lambda args: 8})(scale)
    loaded = yield made
    assert run(loaded) == [6.0 * x for x in range(10)]


@travels("triton")
def test_kernels_of_modules_go_by_name():
    import sys

    import triton.language.standard as standard

    loaded = yield [standard.softmax, standard.zeros]
    assert loaded[0] is standard.softmax
    assert loaded[1] is sys.modules["triton.language.standard"].zeros


@travels("triton")
def test_gluon_and_constexpr_functions():
    import triton
    from triton.experimental import gluon

    @gluon.jit
    def nothing(x):
        pass

    @triton.constexpr_function
    def twice(x):
        return 2 * x

    kernel, function = yield nothing, twice
    assert type(kernel) is type(nothing)
    assert kernel.is_gluon()
    assert kernel.cache_key == nothing.cache_key
    assert type(function) is type(twice)
    assert function.fn(4) == 8


@travels("triton", stock=False)
def test_what_was_received_can_be_sent_on():
    import inspect
    import linecache

    import ferropickle as fp

    scale = kernels()
    loaded = yield scale
    data = fp.dumps(loaded)
    text = inspect.getsource(loaded.fn)
    assert fp.loads(data) is loaded
    key = loaded.cache_key
    linecache.clearcache()
    del loaded
    again = fp.loads(data)
    assert inspect.getsource(again.fn) == text
    assert again.cache_key == key == scale.cache_key


@travels("triton")
def test_the_text_is_what_triton_has_read():
    """Not what the file has by now."""
    import linecache

    scale = kernels()
    file = scale.fn.__code__.co_filename
    linecache.cache[file] = (1, None, ["# another text\n"] * 100, file)
    loaded = yield scale
    assert loaded.raw_src == scale.raw_src
    assert loaded.cache_key == scale.cache_key
