"""Which library a kernel is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferropickle.kernels._load import library_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ferropickle.kernels._bundle import Bundle
    from ferropickle.kernels._numba import NumbaBundle

_NUMBA = "numba.cuda.dispatcher.CUDADispatcher"
_KINDS = {
    "cupy._core.raw.RawKernel": "cupy.RawKernel",
    "cupy._core.raw.RawModule": "cupy.RawModule",
    "cuda.core._module.Kernel": "cuda.core.Kernel",
    "cuda.core._module.ObjectCode": "cuda.core.ObjectCode",
    "cuda.core._program.Program": "cuda.core.Program",
}


def describe(
    kernel: Any,
    images: dict[str, bytes],
    ptx: bytes | None,
    archs: Sequence[str],
    attributes: dict[str, int],
    signatures: Iterable[Any],
) -> Bundle | NumbaBundle:
    """The bundle of a kernel. TypeError if there is none of its kind."""
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(kernel).__mro__]
    if names[0] == _NUMBA:
        if images or ptx or attributes:
            raise TypeError("Numba compiles its kernels itself: give archs and signatures")
        from ferropickle.kernels import _numba

        return _numba.describe(kernel, signatures, archs)
    kind = next((_KINDS[name] for name in names if name in _KINDS), None)
    if kind is None:
        raise TypeError(f"a bundle is made of kernels, not of {type(kernel).__name__!r}")
    if signatures:
        raise TypeError("only kernels of Numba have signatures")
    made: Bundle = library_of(kind).describe(kernel, images, ptx, archs, attributes)
    return made
