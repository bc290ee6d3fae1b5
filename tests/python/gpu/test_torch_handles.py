"""Handles of PyTorch are refused. Its classes stand in here: they need a device to be made."""

import pickle
import sys
import types

import pytest

import ferropickle as fp

PLANTED = 0x7EADBEEF1234


@pytest.fixture
def torch(monkeypatch):
    """Modules with the names of PyTorch's, and classes with nothing but the handles."""
    modules = {}
    for name in ("torch", "torch.cuda", "torch.cuda.streams", "torch.cuda.graphs"):
        modules[name] = types.ModuleType(name)
    for name in ("torch.cuda.memory", "torch.cuda._utils"):
        modules[name] = types.ModuleType(name)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def add(module, name, bases=(), **members):
        cls = type(name, bases, {"__module__": module, **members})
        setattr(modules[module], name, cls)
        return cls

    # These two are written in C, so they are never taken for plain classes.
    stream = add("torch", "Stream", __getstate__=vars)
    add("torch", "Event", __getstate__=vars)
    add("torch.cuda.streams", "Stream", (stream,))
    add("torch.cuda.streams", "ExternalStream", (modules["torch.cuda.streams"].Stream,))
    add("torch.cuda.streams", "Event", (modules["torch"].Event,))
    add("torch.cuda.graphs", "CUDAGraph")
    add("torch.cuda.memory", "MemPool")
    add("torch.cuda._utils", "_CudaKernel")
    add("torch.cuda._utils", "_CudaModule")
    default_stream = types.FunctionType(
        (lambda: "the default stream").__code__, vars(modules["torch.cuda"]), "default_stream"
    )
    default_stream.__module__ = "torch.cuda"
    default_stream.__qualname__ = "default_stream"
    modules["torch.cuda"].default_stream = default_stream
    return modules


@pytest.mark.parametrize(
    ("module", "name", "word"),
    [
        ("torch", "Stream", "a stream"),
        ("torch", "Event", "an event"),
        ("torch.cuda.streams", "Stream", "a stream"),
        ("torch.cuda.streams", "ExternalStream", "a stream"),
        ("torch.cuda.streams", "Event", "an event"),
        ("torch.cuda.graphs", "CUDAGraph", "a graph"),
        ("torch.cuda.memory", "MemPool", "a pool of memory"),
        ("torch.cuda._utils", "_CudaKernel", "a compiled kernel"),
        ("torch.cuda._utils", "_CudaModule", "a compiled kernel"),
    ],
)
def test_handles_are_refused(torch, module, name, word):
    handle = getattr(torch[module], name)()
    handle.cuda_stream = handle.cuda_event = handle.func = PLANTED
    for found in (handle, {"key": [handle]}, lambda: handle):
        with pytest.raises(pickle.PicklingError, match=f"{word} is a handle of this process"):
            fp.dumps(found)


def test_the_default_stream_is_the_receivers(torch):
    stream = torch["torch.cuda.streams"].Stream()
    stream.cuda_stream = 0
    assert fp.loads(fp.dumps([stream])) == ["the default stream"]
