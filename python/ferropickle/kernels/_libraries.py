"""Which library a kernel is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferropickle.kernels._load import library_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferropickle.kernels._bundle import Bundle

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
) -> Bundle:
    """The bundle of a kernel. TypeError if there is none of its kind."""
    cls = type(kernel)
    kind = _KINDS.get(f"{cls.__module__}.{cls.__qualname__}")
    if kind is None:
        raise TypeError(
            f"a bundle is made of kernels of CuPy or cuda.core, not of {cls.__name__!r}"
        )
    made: Bundle = library_of(kind).describe(kernel, images, ptx, archs, attributes)
    return made
