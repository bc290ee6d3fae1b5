"""Loading a bundle: verified, then the forms of its code tried in order."""

from __future__ import annotations

import contextlib
import os
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferropickle.kernels._bundle import Bundle, KernelError
from ferropickle.kernels._choose import order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

# What knows a library's kernels, by the first words of a kind.
_LIBRARIES = {"cupy.": "_cupy", "cuda.core.": "_cuda_core"}

# What is loaded, by process, device and digest, for as long as it is used.
_loaded: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()


def library_of(kind: str) -> ModuleType:
    """Our module for the library of a kind of kernel. KernelError if there is none."""
    for words, name in _LIBRARIES.items():
        if kind.startswith(words):
            return import_module(f"ferropickle.kernels.{name}")
    raise KernelError(f"{kind!r} is not a kind of kernel that this version of ferropickle knows")


def load(content: Mapping[str, Any], versions: Mapping[str, str], digest: str) -> Any:
    """Return the kernel of a bundle.

    content: the fields of the bundle but for the versions.
    digest: its `sha256`; nothing is given to the library before it is verified.

    KernelError if the bundle is damaged or no form of its code can be loaded here; it says why not
    for each. Where the library is not installed, ImportError.
    """
    try:
        bundle = Bundle(**content, versions=versions)
    except (TypeError, ValueError) as error:
        raise KernelError(f"the bundle is damaged: {error}") from error
    if bundle.sha256 != digest:
        raise KernelError("the bundle is damaged: its SHA-256 is not the one that came with it")
    library = library_of(bundle.kind)
    target, device = library.target()
    key = os.getpid(), device, digest
    found = _loaded.get(key)
    if found is not None:
        return found
    made = first_that_loads(bundle, target, library.make)
    # Some kernels allow no weak references: their library keeps what it has loaded.
    with contextlib.suppress(TypeError):
        _loaded[key] = made
    return made


def first_that_loads(bundle: Bundle, target: Any, make: Callable[[Bundle, str, bool], Any]) -> Any:
    """What `make` gives for the first form of code that it can load.

    make: called with the bundle, the form, and whether there is a device to
        try it on; any exception of its means that the form does not load.
    """
    forms, reasons = order(bundle.images, bundle.ptx, bundle.source is not None, target)
    for form in forms:
        try:
            return make(bundle, form, target.capability is not None)
        except Exception as error:
            reasons[form] = f"{type(error).__name__}: {error}"
    name = bundle.entry or bundle.kind
    listed = "".join(f"\n  {form}: {reason}" for form, reason in reasons.items())
    made_with = ", ".join(f"{name} {version}" for name, version in bundle.versions.items())
    tail = f"\nIt was made with {made_with}." if made_with else ""
    raise KernelError(f"no code of the kernel {name!r} can be loaded here:{listed}{tail}")
