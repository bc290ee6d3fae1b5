"""The standard library's `pickle`, by ferropickle's engine.

Same names, same defaults, same exceptions with the same texts: change one
import and nothing else. What the standard library refuses is refused here.
The path to an object that failed is in the exception's notes.
"""

from __future__ import annotations

import pickle as _stdlib
from functools import partial
from pickle import *  # noqa: F403
from typing import IO, TYPE_CHECKING, Any

from ferropickle import _native
from ferropickle._native import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = list(_stdlib.__all__)

DEFAULT_PROTOCOL = _stdlib.DEFAULT_PROTOCOL
HIGHEST_PROTOCOL = _native.HIGHEST_PROTOCOL
format_version = _stdlib.format_version
compatible_formats = _stdlib.compatible_formats

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
