"""Bundles of Numba's kernels: the dispatcher, and beside it what it was compiled to.

What Numba compiles holds code for each architecture and the LLVM IR that it was made of. It picks
the code for its device itself, and makes more of the IR. Only the version of numba-cuda that
has written it reads it; any other compiles the kernel from its source.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ferropickle.kernels._bundle import KernelError
from ferropickle.kernels._choose import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class NumbaBundle:
    """A kernel of Numba with compiled code. It is loaded as the kernel itself.

    dispatcher: what `numba.cuda.jit` gave.
    compiled: pairs of argument types and Numba's compiled kernels, pickled.
    version: of numba-cuda.
    """

    dispatcher: Any
    compiled: bytes
    version: str

    @property
    def sha256(self) -> str:
        """The digest of what was compiled."""
        return hashlib.sha256(self.compiled).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        """What is loaded is the kernel."""
        return load, (self.dispatcher, self.compiled, self.sha256, self.version)


def describe(dispatcher: Any, signatures: Iterable[Any], archs: Sequence[str]) -> NumbaBundle:
    """The bundle of a dispatcher: for these signatures and those that it has been compiled for."""
    import ferropickle

    if dispatcher.targetoptions.get("device"):
        raise TypeError("a bundle is made of kernels, not of device functions")
    kernels = dict(dispatcher.overloads)
    for signature in signatures:
        types, _result = sys.modules["numba.cuda.core.sigutils"].normalize_signature(signature)
        if types not in kernels:
            kernels[types] = _compiled(dispatcher, types)
    for kernel in kernels.values():
        for arch in archs:
            wanted = Arch.of(arch)
            if str(wanted) != arch or wanted.kind:
                raise ValueError(
                    f"Numba's kernels are compiled for 'sm_90' and the like, not {arch!r}"
                )
            kernel._codelibrary.get_cubin(cc=(wanted.major, wanted.minor))
    compiled = ferropickle.dumps(list(kernels.items()))
    return NumbaBundle(dispatcher, compiled, metadata.version("numba-cuda"))


def _compiled(dispatcher: Any, types: Any) -> Any:
    make = sys.modules["numba.cuda.dispatcher"]._Kernel
    return make(dispatcher.py_func, types, **dispatcher.targetoptions)


def load(dispatcher: Any, compiled: bytes, digest: str, version: str) -> Any:
    """Return the dispatcher, with what was compiled for it if Numba is the same here.

    KernelError if `digest` is not that of `compiled`.
    """
    import ferropickle

    if hashlib.sha256(compiled).hexdigest() != digest:
        raise KernelError("the bundle is damaged: its SHA-256 is not the one that came with it")
    # Numba's simulator has no use for it.
    simulated = type(dispatcher).__name__ != "CUDADispatcher"
    if simulated or metadata.version("numba-cuda") != version:
        return dispatcher
    for types, kernel in ferropickle.loads(compiled):
        if types not in dispatcher.overloads:
            dispatcher.add_overload(kernel, types)
    return dispatcher
