"""The record of a kernel with its code in every form, and the hash over it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ferropickle.kernels._choose import Arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ferropickle.kernels._numba import NumbaBundle

# What `Bundle.attributes` may have: what a program may set of a kernel.
_ATTRIBUTES = ("max_dynamic_shared_size_bytes", "preferred_shared_memory_carveout")


class KernelError(RuntimeError):
    """A kernel cannot be loaded here: it is damaged, or no form of its code fits."""

    __module__ = "ferropickle.kernels"


@dataclass(frozen=True)
class Bundle:
    """A kernel with its code in every form. It is loaded as the kernel itself.

    kind: the library's class, such as "cupy.RawKernel".
    entry: the name of the kernel in the code, or None for a module.
    source: CUDA C++, or None.
    options: what the compiler is told.
    name_expressions: names of C++ that the compiler is to make available.
    images: from names of architectures ("sm_90") to machine code.
    ptx: intermediate code, or None.
    symbols: from names of the source to names in the code.
    attributes: what is set of the kernel before it is launched.
    versions: of the library, the compiler and the driver, for whoever reads an error.
    """

    kind: str
    entry: str | None
    source: str | None = None
    options: Any = ()
    name_expressions: tuple[str, ...] = ()
    images: Mapping[str, bytes] = field(default_factory=dict)
    ptx: bytes | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.images:
            if not str(Arch.of(name)) == name:
                raise ValueError(
                    f"machine code is for an architecture such as 'sm_90', not {name!r}"
                )
        unknown = set(self.attributes) - set(_ATTRIBUTES)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is not an attribute that can be set")
        if self.source is None and self.ptx is None and not self.images:
            raise ValueError("there is no code in the bundle")

    @property
    def sha256(self) -> str:
        """The digest of all that the kernel is made of; versions are not."""
        digest = hashlib.sha256()
        for part in _parts(self._content()):
            digest.update(part)
        return digest.hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "entry": self.entry,
            "source": self.source,
            "options": self.options,
            "name_expressions": tuple(self.name_expressions),
            "images": dict(self.images),
            "ptx": self.ptx,
            "symbols": dict(self.symbols),
            "attributes": dict(self.attributes),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """What is loaded is the kernel."""
        from ferropickle.kernels._load import load

        return load, (self._content(), dict(self.versions), self.sha256)


def _parts(value: object) -> Iterator[bytes]:
    """Plain data as bytes that no other data has."""
    if isinstance(value, dict):
        yield b"{%d;" % len(value)
        for name in sorted(value):
            yield from _parts(name)
            yield from _parts(value[name])
    elif isinstance(value, list | tuple):
        yield b"(%d;" % len(value)
        for item in value:
            yield from _parts(item)
    else:
        kind = type(value).__name__.encode()
        text = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
        yield b"%s%d;" % (kind, len(text))
        yield text


def bundle(
    kernel: Any,
    *,
    images: Mapping[str, bytes] | None = None,
    ptx: bytes | str | None = None,
    archs: Sequence[str] = (),
    attributes: Mapping[str, int] | None = None,
    signatures: Iterable[Any] = (),
) -> Bundle | NumbaBundle:
    """Return a bundle of a kernel with compiled code.

    kernel: a `RawKernel` or `RawModule` of CuPy, a `Program`, `ObjectCode` or `Kernel` of
        cuda.core, or what `numba.cuda.jit` gives.
    images: machine code by architecture, such as {"sm_90": cubin}.
    ptx: intermediate code.
    archs: architectures to compile for here and now: "sm_90" for machine code, one "compute_80"
        for PTX. For what has source: kernels and modules of CuPy, programs of cuda.core, kernels of
        Numba (machine code alone, and a driver is needed).
    attributes: max_dynamic_shared_size_bytes, preferred_shared_memory_carveout: what to set of a
        kernel of CuPy when a device loads it, besides what has been set here.

    signatures: of kernels of Numba, argument types to compile for, as `numba.cuda.jit` takes them,
        besides those that the kernel has been compiled for.

    TypeError for anything else; the library's own error if it does not compile.
    """
    from ferropickle.kernels import _libraries

    code = ptx.encode() if isinstance(ptx, str) else ptx
    given = dict(images or {}), code, archs, dict(attributes or {})
    return _libraries.describe(kernel, *given, signatures)
