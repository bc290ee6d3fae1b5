"""The standard library's `pickle`, by ferropickle's engine.

Same names, same defaults, same exceptions with the same texts: change one
import and nothing else. What the standard library refuses is refused here.
The path to an object that failed is in the exception's notes; from 3.14 on
these are the standard library's own.
"""

from __future__ import annotations

import pickle as _stdlib
from functools import partial
from pickle import (
    ADDITEMS,
    APPEND,
    APPENDS,
    BINBYTES,
    BINBYTES8,
    BINFLOAT,
    BINGET,
    BININT,
    BININT1,
    BININT2,
    BINPERSID,
    BINPUT,
    BINSTRING,
    BINUNICODE,
    BINUNICODE8,
    BUILD,
    BYTEARRAY8,
    DICT,
    DUP,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_SET,
    EMPTY_TUPLE,
    EXT1,
    EXT2,
    EXT4,
    FALSE,
    FLOAT,
    FRAME,
    FROZENSET,
    GET,
    GLOBAL,
    INST,
    INT,
    LIST,
    LONG,
    LONG1,
    LONG4,
    LONG_BINGET,
    LONG_BINPUT,
    MARK,
    MEMOIZE,
    NEWFALSE,
    NEWOBJ,
    NEWOBJ_EX,
    NEWTRUE,
    NEXT_BUFFER,
    NONE,
    OBJ,
    PERSID,
    POP,
    POP_MARK,
    PROTO,
    PUT,
    READONLY_BUFFER,
    REDUCE,
    SETITEM,
    SETITEMS,
    SHORT_BINBYTES,
    SHORT_BINSTRING,
    SHORT_BINUNICODE,
    STACK_GLOBAL,
    STOP,
    STRING,
    TRUE,
    TUPLE,
    TUPLE1,
    TUPLE2,
    TUPLE3,
    UNICODE,
    PickleBuffer,
    PickleError,
    PicklingError,
    UnpicklingError,
)
from typing import IO, TYPE_CHECKING, Any

from ferropickle import _native
from ferropickle._native import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "PickleError",
    "PicklingError",
    "UnpicklingError",
    "Pickler",
    "Unpickler",
    "dump",
    "dumps",
    "load",
    "loads",
    "PickleBuffer",
    "ADDITEMS",
    "APPEND",
    "APPENDS",
    "BINBYTES",
    "BINBYTES8",
    "BINFLOAT",
    "BINGET",
    "BININT",
    "BININT1",
    "BININT2",
    "BINPERSID",
    "BINPUT",
    "BINSTRING",
    "BINUNICODE",
    "BINUNICODE8",
    "BUILD",
    "BYTEARRAY8",
    "DEFAULT_PROTOCOL",
    "DICT",
    "DUP",
    "EMPTY_DICT",
    "EMPTY_LIST",
    "EMPTY_SET",
    "EMPTY_TUPLE",
    "EXT1",
    "EXT2",
    "EXT4",
    "FALSE",
    "FLOAT",
    "FRAME",
    "FROZENSET",
    "GET",
    "GLOBAL",
    "HIGHEST_PROTOCOL",
    "INST",
    "INT",
    "LIST",
    "LONG",
    "LONG1",
    "LONG4",
    "LONG_BINGET",
    "LONG_BINPUT",
    "MARK",
    "MEMOIZE",
    "NEWFALSE",
    "NEWOBJ",
    "NEWOBJ_EX",
    "NEWTRUE",
    "NEXT_BUFFER",
    "NONE",
    "OBJ",
    "PERSID",
    "POP",
    "POP_MARK",
    "PROTO",
    "PUT",
    "READONLY_BUFFER",
    "REDUCE",
    "SETITEM",
    "SETITEMS",
    "SHORT_BINBYTES",
    "SHORT_BINSTRING",
    "SHORT_BINUNICODE",
    "STACK_GLOBAL",
    "STOP",
    "STRING",
    "TRUE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "UNICODE",
]

DEFAULT_PROTOCOL = _stdlib.DEFAULT_PROTOCOL
HIGHEST_PROTOCOL = _native.HIGHEST_PROTOCOL
format_version: str = vars(_stdlib)["format_version"]
compatible_formats: list[str] = vars(_stdlib)["compatible_formats"]

_POLICY = Policy(face="pickle")


def dumps(
    obj: Any,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> bytes:
    """Return the pickled form of an object as bytes; see `pickle.dumps`."""
    return _native.dumps(
        obj,
        DEFAULT_PROTOCOL if protocol is None else protocol,
        fix_imports=fix_imports,
        buffer_callback=buffer_callback,
        policy=_POLICY,
    )


def dump(
    obj: Any,
    file: IO[bytes],
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> None:
    """Write the pickled form of an object to a file; see `pickle.dump`."""
    _native.dump(
        obj,
        file,
        DEFAULT_PROTOCOL if protocol is None else protocol,
        fix_imports=fix_imports,
        buffer_callback=buffer_callback,
        policy=_POLICY,
    )


loads = partial(_native.loads, policy=_POLICY)
load = partial(_native.load, policy=_POLICY)


class Pickler(_native.Pickler):
    """Writes objects to a file; see `pickle.Pickler`."""

    def __init__(
        self,
        file: IO[bytes],
        protocol: int | None = None,
        fix_imports: bool = True,
        buffer_callback: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(
            file,
            DEFAULT_PROTOCOL if protocol is None else protocol,
            fix_imports,
            buffer_callback,
            policy=_POLICY,
        )


class Unpickler(_native.Unpickler):
    """Reads objects from a file; see `pickle.Unpickler`."""

    def __init__(
        self,
        file: IO[bytes],
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Any = (),
    ) -> None:
        super().__init__(
            file,
            fix_imports=fix_imports,
            encoding=encoding,
            errors=errors,
            buffers=buffers,
            policy=_POLICY,
        )
