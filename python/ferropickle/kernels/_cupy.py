"""Bundles of CuPy's `RawKernel` and `RawModule`."""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferropickle.kernels import _attributes
from ferropickle.kernels._bundle import Bundle
from ferropickle.kernels._choose import Target
from ferropickle.kernels._files import file_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RUNTIME = "cupy_backends.cuda.api.runtime"


def describe(
    kernel: Any,
    images: dict[str, bytes],
    ptx: bytes | None,
    archs: Sequence[str],
    attributes: dict[str, int],
) -> Bundle:
    """The bundle of a kernel or module that has source."""
    cupy = sys.modules["cupy"]
    if kernel.code is None:
        raise TypeError("a bundle is made of kernels with source; give the module of the source")
    is_kernel = isinstance(kernel, cupy.RawKernel)
    if is_kernel:
        attributes = {**_attributes.attributes_of(kernel), **attributes}
    expressions = _expressions(kernel)
    symbols: dict[str, str] = {}
    for arch in archs:
        code, symbols = _compiled(kernel, arch, expressions)
        if arch.startswith("compute_"):
            ptx = code
        else:
            images[arch] = code
    return Bundle(
        kind="cupy.RawKernel" if is_kernel else "cupy.RawModule",
        entry=kernel.name if is_kernel else None,
        source=kernel.code,
        options={
            "options": kernel.options,
            "backend": kernel.backend,
            "enable_cooperative_groups": kernel.enable_cooperative_groups,
        },
        name_expressions=expressions,
        images=images,
        ptx=ptx,
        symbols=symbols,
        attributes=attributes,
        versions=_versions(cupy),
    )


def _expressions(kernel: Any) -> tuple[str, ...]:
    if hasattr(kernel, "name_expressions"):
        return tuple(kernel.name_expressions or ())
    return tuple(kernel.__getstate__()["name_expressions"] or ())


def _compiled(kernel: Any, arch: str, expressions: tuple[str, ...]) -> tuple[bytes, dict[str, str]]:
    """Code of a kernel for an architecture, and the names in it; by NVRTC, without a device."""
    nvrtc = import_module("cupy.cuda").nvrtc
    options = [*kernel.options, f"--gpu-architecture={arch}"]
    if not any("std=" in option for option in options):
        options.append("--std=c++17")
    program = nvrtc.createProgram(kernel.code, "kernel.cu", (), ())
    try:
        for expression in expressions:
            nvrtc.addNameExpression(program, expression)
        try:
            nvrtc.compileProgram(program, tuple(options))
        except Exception as error:
            raise ValueError(f"{arch}: {nvrtc.getProgramLog(program)}") from error
        names = {name: nvrtc.getLoweredName(program, name) for name in expressions}
        code = nvrtc.getPTX(program) if arch.startswith("compute_") else nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)
    return code, names


def _versions(cupy: Any) -> dict[str, str]:
    nvrtc = import_module("cupy.cuda").nvrtc
    versions = {"cupy": cupy.__version__, "NVRTC": "{}.{}".format(*nvrtc.getVersion())}
    driver = _driver()
    if driver is not None:
        versions["CUDA driver"] = "{}.{}".format(*driver)
    return versions


def _driver() -> tuple[int, int] | None:
    runtime = import_module(_RUNTIME)
    try:
        number = runtime.driverGetVersion()
    except Exception:
        return None
    return (number // 1000, number % 1000 // 10) if number else None


def target() -> tuple[Target, int | None]:
    """The current device of CuPy, and its number."""
    runtime = import_module(_RUNTIME)
    driver = _driver()
    if driver is None:
        return Target(), None
    try:
        device = runtime.getDevice()
        properties = runtime.getDeviceProperties(device)
    except Exception:
        return Target(driver=driver), None
    return Target((properties["major"], properties["minor"]), driver), device


def make(bundle: Bundle, form: str, on_device: bool) -> Any:
    """The kernel or module of a form of code; loaded at once if there is a device."""
    cupy = import_module("cupy")
    name = bundle.kind.partition(".")[2]
    if form == "source":
        state = _with_source(bundle)
    else:
        code: bytes = bundle.ptx if form == "ptx" else bundle.images[form]  # type: ignore[assignment]
        state = _with_file(file_with(code, hashlib.sha256(code).hexdigest()))
    if name == "RawModule":
        made = cupy.RawModule(**_constructor(state, bundle))
        if on_device:
            made.compile()
        return made
    own = cupy.RawKernel("", bundle.entry).__getstate__()
    entry = bundle.entry if form == "source" else _entry(bundle)
    made = _attributes.raw_kernel({**own, **state, "name": entry}, bundle.attributes)
    if on_device:
        _ = made.kernel
    return made


def _entry(bundle: Bundle) -> str:
    """The kernel's name in compiled code."""
    name = bundle.entry or ""
    return bundle.symbols.get(name, name)


def _with_source(bundle: Bundle) -> dict[str, Any]:
    return {
        "code": bundle.source,
        "name_expressions": tuple(bundle.name_expressions) or None,
        **bundle.options,
    }


def _with_file(path: str) -> dict[str, Any]:
    return {"code": None, "file_path": path, "backend": "nvcc", "name_expressions": None}


def _constructor(state: Mapping[str, Any], bundle: Bundle) -> dict[str, Any]:
    if state["code"] is not None:
        return dict(state)
    together = bundle.options["enable_cooperative_groups"]
    return {"path": state["file_path"], "enable_cooperative_groups": together}
