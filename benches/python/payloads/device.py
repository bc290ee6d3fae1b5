"""Workloads in device memory. They need a device; what is timed includes the copy to the host."""

from __future__ import annotations

from typing import Any

from .table import Unavailable, payload

_CONTENDERS = ("ferropickle", "cloudpickle")


def _cupy() -> Any:
    """CuPy, where it finds a device."""
    import cupy

    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise Unavailable("needs a CUDA device") from error
    return cupy


def _torch() -> Any:
    """PyTorch, where it finds a device."""
    import torch

    if not torch.cuda.is_available():
        raise Unavailable("needs a CUDA device")
    return torch


@payload(64, "MiB of a CuPy array", needs=("cupy",), contenders=_CONTENDERS, clock="wall")
def cupy_array(n: int) -> Any:
    cupy = _cupy()
    return cupy.arange(n * 2**17, dtype=cupy.float64)


@payload(1_000, "CuPy arrays of 64 KiB", needs=("cupy",), contenders=_CONTENDERS, clock="wall")
def cupy_arrays(n: int) -> Any:
    cupy = _cupy()
    return [cupy.arange(i, i + 8192, dtype=cupy.float64) for i in range(n)]


@payload(64, "MiB of a CUDA tensor", needs=("torch",), contenders=_CONTENDERS, clock="wall")
def torch_tensor(n: int) -> Any:
    torch = _torch()
    return torch.arange(n * 2**17, dtype=torch.float64, device="cuda")


@payload(100, "CUDA tensors of 256 KiB", needs=("torch",), contenders=_CONTENDERS, clock="wall")
def torch_state(n: int) -> Any:
    torch = _torch()
    return {f"layer {i}": torch.ones(32_768, device="cuda") * i for i in range(n)}
