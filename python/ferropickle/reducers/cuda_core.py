"""cuda.core: programs, object code, kernels, launch configurations; streams and other handles.

Object code goes as the bytes it is, also where cuda.core holds the name of a file.
Nothing here prints object code or asks the driver about it: where there is no driver that can
stop the process for ever.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import operator
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._fields import WORD, numbers, objects
from ferropickle.reducers._forms import Call, by_name, refuse
from ferropickle.reducers._kernels import handle
from ferropickle.reducers._kernels import stream as _stream
from ferropickle.reducers._once import once

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Fields of a program, one after another. The two flags after the lock take one word.
_FIELDS = (
    "_compile_lock _use_libdevice _libdevice_added _code _code_type _pch_status _nvrtc_name"
    " _extra_options"
)


def object_code(obj: Any, policy: Any) -> ReduceValue:
    """Compiled code: a process makes it once, by its digest."""
    code, kind, name, symbols = parts(obj)
    digest = hashlib.sha256(repr((kind, name, sorted(symbols.items()))).encode())
    digest.update(code)
    make = operator.methodcaller(f"from_{kind}", code, name=name, symbol_mapping=symbols)
    return once(obj, Call(make, type(obj)), key=digest.hexdigest())


def parts(obj: Any) -> tuple[bytes, str, str, dict[str, str]]:
    """Of object code: the code, its type, its name, names in the source and in the code."""
    _function, (code, kind, name, symbols, *_) = obj.__reduce__()
    if isinstance(code, str | os.PathLike):
        with open(code, "rb") as file:
            code = file.read()
    return bytes(code), kind, name, symbols


def kernel(obj: Any, policy: Any) -> ReduceValue:
    """A kernel: the object code that it is of, asked for it by name.

    The driver tells the name (12.3) and the library (12.5). The object code has to be alive.
    """
    driver = sys.modules["cuda.bindings.driver"]
    try:
        status, library = driver.cuKernelGetLibrary(obj.handle)
        named, name = driver.cuKernelGetName(obj.handle)
    except (AttributeError, RuntimeError):
        status = named = None
    if status == named == driver.CUresult.CUDA_SUCCESS:
        kind = sys.modules["cuda.core"].ObjectCode
        for code in gc.get_objects():
            if type(code) is kind and _library(code) == int(library):
                return operator.methodcaller("get_kernel", name.decode()), (code,)
    refuse(obj, "its ObjectCode is not known any more; pickle that, and ask it for the kernel")


def _library(code: Any) -> int | None:
    """The library of object code, which is loaded by this; None if it cannot be loaded here."""
    try:
        return int(code.handle)
    except Exception:
        return None


def program(obj: Any, policy: Any) -> ReduceValue:
    """A program: its source and options, read from the object if its layout is the known one."""
    kept = {id(x): x for x in gc.get_referents(obj) if x is not None}
    options = next((x for x in kept.values() if type(x).__name__ == "ProgramOptions"), None)
    at = _source_field(obj, kept)
    if options is None or at is None:
        refuse(
            obj, "its source cannot be read; pickle the source, or the ObjectCode it compiles to"
        )
    source, kind = objects(obj, 2, at)
    return type(obj), (source if kind == "nvvm" else source.decode(), kind, options)


def _source_field(obj: Any, kept: dict[int, Any]) -> int | None:
    """Where the source is in a program, in words after the head; None if that cannot be told.

    cuda.core ships the declaration of its fields. Those around the source, which the collector
    knows, have to be where it says.
    """
    folder = os.path.dirname(sys.modules[type(obj).__module__].__file__ or "")
    try:
        with open(os.path.join(folder, "_program.pxd")) as file:
            declared = re.findall(r"^ +(?:\w+ )+(_?\w+) *(?:#.*)?$", file.read(), re.MULTILINE)
    except OSError:
        return None
    if _FIELDS not in " ".join(declared):
        return None
    count = (type(obj).__basicsize__ - object.__basicsize__) // WORD
    found = [type(kept.get(address)).__name__ for address in numbers(obj, count)]
    for at in range(count - 6):
        if found[at] in ("lock", "RLock") and found[at + 6] == "list":
            return at + 2
    return None


def launch_config(obj: Any, policy: Any) -> ReduceValue:
    names = (
        "grid",
        "cluster",
        "block",
        "shmem_size",
        "is_cooperative",
        "programmatic_stream_serialization",
    )
    given = {name: getattr(obj, name) for name in names if getattr(obj, name, None)}
    cls: Any = type(obj)
    return functools.partial(cls, **given), ()


def stream(obj: Any, policy: Any) -> ReduceValue:
    where = "cuda.core"
    legacy = by_name(where, "LEGACY_DEFAULT_STREAM")
    return _stream(obj, int(obj.handle), legacy, by_name(where, "PER_THREAD_DEFAULT_STREAM"))


def event(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "an event", "record one where it is loaded")


def context(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a context", "pickle the device's number or UUID")


def graph(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a graph", "build it where it is loaded")


def linker(obj: Any, policy: Any) -> NoReturn:
    handle(obj, "a linker", "pickle the ObjectCode that it links")
