"""Bundles of cuda.core: programs, object code, kernels."""

from __future__ import annotations

import dataclasses
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferropickle.kernels._bundle import Bundle
from ferropickle.kernels._choose import Target

if TYPE_CHECKING:
    from collections.abc import Sequence


def describe(
    kernel: Any,
    images: dict[str, bytes],
    ptx: bytes | None,
    archs: Sequence[str],
    attributes: dict[str, int],
) -> Bundle:
    """The bundle of a program (compiled to `ObjectCode` when loaded), object code or kernel."""
    from ferropickle.reducers import cuda_core

    name = type(kernel).__name__
    source = entry = None
    options: dict[str, Any] = {}
    symbols: dict[str, str] = {}
    code = kernel
    if name == "Kernel":
        call, (code,) = cuda_core.kernel(kernel, None)
        entry = call.__reduce__()[1][1]
    if name == "Program":
        cls, (source, kind, given) = cuda_core.program(kernel, None)
        if kind != "c++":
            raise TypeError(f"a bundle is made of C++, not of {kind}")
        options = {
            field.name: value
            for field in dataclasses.fields(given)
            if field.name != "arch" and (value := getattr(given, field.name)) != field.default
        }
        for arch in archs:
            compiled, names = _compiled(cls, source, given, arch)
            symbols.update(names)
            if arch.startswith("compute_"):
                ptx = compiled
            else:
                images[arch] = compiled
    else:
        images, ptx, symbols = _of_object_code(code, images, ptx)
    return Bundle(
        kind="cuda.core.Kernel" if name == "Kernel" else "cuda.core.ObjectCode",
        entry=entry,
        source=source,
        options=options,
        images=images,
        ptx=ptx,
        symbols=symbols,
        attributes=attributes,
        versions={"cuda.core": sys.modules["cuda.core"].__version__},
    )


def _compiled(cls: Any, source: str, options: Any, arch: str) -> tuple[bytes, dict[str, str]]:
    form = "ptx" if arch.startswith("compute_") else "cubin"
    made = cls(source, "c++", dataclasses.replace(options, arch=arch)).compile(form)
    _function, (code, _kind, _name, symbols, *_) = made.__reduce__()
    return bytes(code), symbols


def _of_object_code(
    code: Any, images: dict[str, bytes], ptx: bytes | None
) -> tuple[dict[str, bytes], bytes | None, dict[str, str]]:
    from ferropickle.reducers import cuda_core

    data, kind, _name, symbols = cuda_core.parts(code)
    if kind == "ptx":
        ptx = data if ptx is None else ptx
    elif kind == "cubin":
        arch = arch_of_cubin(data)
        if arch is None:
            raise TypeError("the architecture of the machine code is not known; give it as images")
        images.setdefault(arch, data)
    else:
        raise TypeError(f"a bundle is made of PTX or machine code, not of {kind}")
    return images, ptx, symbols


def arch_of_cubin(code: bytes) -> str | None:
    """The architecture in the flags of an ELF file with machine code, or None."""
    if code[:4] != b"\x7fELF" or code[4:6] != b"\x02\x01" or len(code) < 64:
        return None
    flags = int.from_bytes(code[48:52], "little")
    # Up to CUDA 12 the number is in the lowest byte, from ABI version 8 on in the second.
    number = (flags >> 8 if code[8] >= 8 else flags) & 0xFF
    return f"sm_{number}" if number >= 20 else None


def target() -> tuple[Target, int | None]:
    """The current device of cuda.core, and its number."""
    if not _has_driver():
        return Target(), None
    driver = import_module("cuda.bindings.driver")
    status, number = driver.cuDriverGetVersion()
    if status:
        return Target(), None
    version = number // 1000, number % 1000 // 10
    try:
        device = import_module("cuda.core").Device()
        device.set_current()
        capability = device.compute_capability
    except Exception:
        return Target(driver=version), None
    return Target((capability.major, capability.minor), version), device.device_id


def _has_driver() -> bool:
    """Whether there is a driver. cuda.bindings must not be asked first where there is none."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def make(bundle: Bundle, form: str, on_device: bool) -> Any:
    """The object code or kernel of a form of code; loaded at once if there is a device."""
    core = import_module("cuda.core")
    if form == "source":
        options = core.ProgramOptions(**bundle.options)
        code = core.Program(bundle.source, "c++", options).compile("cubin")
    else:
        load = core.ObjectCode.from_ptx if form == "ptx" else core.ObjectCode.from_cubin
        data = bundle.ptx if form == "ptx" else bundle.images[form]
        code = load(data, symbol_mapping=dict(bundle.symbols))
    if not on_device:
        raise RuntimeError("there is no device to load it on")
    if bundle.entry is None:
        _ = code.handle
        return code
    return code.get_kernel(bundle.entry)
