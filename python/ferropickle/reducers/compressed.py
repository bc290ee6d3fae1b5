"""Compressed files: `gzip`, `bz2` and `lzma`, over the file below, at the position they had.

The file below goes as files do, contents by policy. One that is being written
is refused: the state of its compressor cannot be read, nor can another process
take it over.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import operator
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue


def gzip_file(obj: Any, policy: Any) -> ReduceValue:
    """`gzip.GzipFile`."""
    # Under this name the file is closed with the one that was opened over it.
    owned = [] if obj.myfileobj is None else [Call(setattr, obj, "myfileobj", obj.fileobj)]
    return _reading(obj, functools.partial(gzip.GzipFile, obj.name, "rb", 9), obj.fileobj, owned)


def bz2_file(obj: Any, policy: Any) -> ReduceValue:
    """`bz2.BZ2File`."""
    return _reading(obj, bz2.BZ2File, obj._fp, _closing_too(obj))


def lzma_file(obj: Any, policy: Any) -> ReduceValue:
    """`lzma.LZMAFile`, with the format and the filters that it was opened with."""
    make: Callable[..., Any] = lzma.LZMAFile
    if not obj.closed and obj.readable():
        given = {name: x for name, x in obj._buffer.raw._decomp_args.items() if x is not None}
        make = functools.partial(lzma.LZMAFile, **given)
    return _reading(obj, make, obj._fp, _closing_too(obj))


def _closing_too(obj: Any) -> list[Call]:
    return [Call(setattr, obj, "_closefp", True)] if obj._closefp else []


def _reading(obj: Any, make: Callable[..., Any], file: Any, owned: list[Call]) -> ReduceValue:
    if obj.closed:
        return after(make, (Call(io.BytesIO),), [Call(type(obj).close, obj)])
    if not obj.readable():
        refuse(
            obj,
            "the state of its compressor cannot be read; close it, and pickle its name, or a file "
            "opened for reading",
        )
    position = obj.tell()
    # What is read from the copy is read from the start.
    calls = [Call(operator.methodcaller("seek", 0), file)]
    if position:
        calls.append(Call(type(obj).seek, obj, position))
    return after(make, (file,), calls + owned)
