"""Stand-ins for CuPy and PyTorch, which run on no simulated driver.

They have as much of the libraries' interface as streams call, over memory of `producers.Placed`:
each array has a twin on the host that says where its elements are. What they show is that streams
ask for the right elements in the right order, not that the libraries do as they are asked.
"""

import sys
import types

import numpy as np

from helpers.producers import Placed, Produced


class _Memory:
    """Memory on the device, and its twin."""

    def __init__(self, driver, base):
        self.placed = Placed(driver, base)

    def address(self, twin):
        first = twin.__array_interface__["data"][0]
        return self.placed.address + first - self.placed.base.__array_interface__["data"][0]


class _Array:
    """An array on the device."""

    # Not in a `__dict__`: what is there is the user's.
    __slots__ = ("memory", "twin", "requires_grad")

    def __init__(self, memory, twin):
        self.memory, self.twin, self.requires_grad = memory, twin, False

    @classmethod
    def of(cls, driver, array):
        """A copy of an array of the host's, with its strides."""
        line = np.ascontiguousarray(array.ravel("K")).view(np.uint8).reshape(-1)
        memory = _Memory(driver, line)
        base = memory.placed.base
        return cls(memory, np.ndarray(array.shape, array.dtype, base, 0, array.strides))

    @classmethod
    def empty(cls, driver, twin):
        """One whose memory nobody has filled."""
        memory = _Memory.__new__(_Memory)
        memory.placed = Placed.__new__(Placed)
        memory.placed.driver, memory.placed.base = driver, twin
        memory.placed.address = driver.alloc(twin.nbytes)
        return cls(memory, twin)

    def _with(self, twin):
        return type(self)(self.memory, twin)

    @property
    def address(self):
        return self.memory.address(self.twin) if self.twin.size else 0

    def produced(self):
        """The same memory by an array interface."""
        return Produced(self.address, self.twin.shape, self.twin.strides, self.twin.dtype)

    @property
    def __cuda_array_interface__(self):
        return self.produced().__cuda_array_interface__

    def __getitem__(self, index):
        return self._with(self.twin[index])


class _Device:
    """The current device, for a while."""

    def __init__(self, ordinal):
        assert ordinal == 0

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass


def cupy(driver):
    """Put a module in the place of CuPy, whose arrays live on this driver; the module."""

    class ndarray(_Array):
        dtype = property(lambda self: self.twin.dtype)
        shape = property(lambda self: self.twin.shape)
        strides = property(lambda self: self.twin.strides)
        size = property(lambda self: self.twin.size)
        flags = property(lambda self: self.twin.flags)
        device = property(lambda self: types.SimpleNamespace(id=0))
        data = property(lambda self: types.SimpleNamespace(ptr=self.address))

        def view(self, dtype):
            return self._with(self.twin.view(dtype))

        def reshape(self, shape, order="C"):
            assert self.twin.flags[f"{order}_CONTIGUOUS"], "it would be a copy"
            return self._with(self.twin.reshape(shape, order=order))

    def array(source):
        return ndarray.of(driver, source)

    def empty(shape, dtype=float, order="C"):
        return ndarray.empty(driver, np.empty(shape, dtype, order))

    def as_strided(first, shape, strides):
        return first._with(np.lib.stride_tricks.as_strided(first.twin, shape, strides))

    module = _module("cupy", ndarray=ndarray, array=array, empty=empty)
    module.stream = 1
    stream = types.SimpleNamespace
    current = lambda ordinal=0: stream(ptr=module.stream)
    module.cuda = types.SimpleNamespace(Device=_Device, get_current_stream=current)
    tricks = _module("cupy.lib.stride_tricks", as_strided=as_strided)
    module.lib = types.SimpleNamespace(stride_tricks=tricks)
    return module


def torch(driver):
    """Put a module in the place of PyTorch, whose tensors live on this driver; the module."""

    class Tensor(_Array):
        __slots__ = ()
        is_quantized = False
        layout = "strided"
        is_cuda = property(lambda self: self.memory is not None)
        shape = property(lambda self: self.twin.shape)
        dtype = property(lambda self: DTYPES[self.twin.dtype.str])
        device = property(lambda self: "cuda:0")

        def stride(self):
            return tuple(step // self.twin.itemsize for step in self.twin.strides)

        def element_size(self):
            return self.twin.itemsize

        def data_ptr(self):
            return self.address

        def get_device(self):
            return 0

        def numel(self):
            return self.twin.size

        def is_conj(self):
            return False

        is_neg = is_conj

        def cuda(self):
            return Tensor.of(driver, self.twin)

        def numpy(self):
            assert not self.is_cuda
            return self.twin

        def view(self, dtype):
            return self._with(self.twin.view(dtype.name))

        def requires_grad_(self):
            self.requires_grad = True
            return self

        def as_subclass(self, cls):
            return cls(self.memory, self.twin)

    class Parameter(Tensor):
        __slots__ = ()

        def __new__(cls, data, requires_grad):
            made = object.__new__(cls)
            made.memory, made.twin, made.requires_grad = data.memory, data.twin, requires_grad
            return made

        def __init__(self, *args):
            pass

    class dtype:
        def __init__(self, name, text):
            self.name, self.text = name, text

        def __reduce__(self):
            return self.text

    def frombuffer(buffer, *, dtype):
        return Tensor(None, np.frombuffer(buffer, dtype.name))

    def empty(size, *, dtype, device):
        assert device == "cuda:0"
        return Tensor.empty(driver, np.empty(size, dtype.name))

    def as_strided(tensor, shape, strides, offset):
        first = tensor.twin.reshape(-1)[offset:]
        steps = tuple(step * tensor.twin.itemsize for step in strides)
        return tensor._with(np.lib.stride_tricks.as_strided(first, shape, steps))

    functions = {"frombuffer": frombuffer, "empty": empty, "as_strided": as_strided}
    module = _module("torch", Tensor=Tensor, **functions)
    names = {"<f4": "float32", "<f8": "float64", "|u1": "uint8", "<i8": "int64"}
    DTYPES = {name: dtype(name, text) for name, text in names.items()}
    for made in DTYPES.values():
        setattr(module, made.text, made)
    dtype.__module__ = "torch"
    module.strided = "strided"
    parameter = _module("torch.nn.parameter", Parameter=Parameter)
    module.nn = types.SimpleNamespace(Parameter=Parameter, parameter=parameter)

    stream = types.SimpleNamespace(cuda_stream=0)
    module.cuda = types.SimpleNamespace(
        device=_Device, current_stream=lambda device: stream, is_initialized=lambda: False
    )
    return module


def _module(name, **contents):
    module = types.ModuleType(name)
    for key, value in contents.items():
        value.__module__, value.__qualname__ = name, key
        if isinstance(value, types.FunctionType):
            value.__name__ = key
        setattr(module, key, value)
    sys.modules[name] = module
    return module
