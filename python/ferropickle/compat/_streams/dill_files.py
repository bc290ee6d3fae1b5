"""Open files in streams of dill.

A stream has a file's name, mode and position; by the mode of its dump the file
is opened anew (a handle), opened without being cut off (contents), or made
again from its text (file).
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pickle import UnpicklingError
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    _Opener = Callable[[str, str], IO[Any]]

_HANDLE, _CONTENTS, _FILE = range(3)


def create_filehandle(
    name: str,
    mode: str,
    position: int,
    closed: bool,
    opener: _Opener,
    strict: bool,
    fmode: int,
    text: str,
) -> Any:
    """Return the file that dill stored, as its mode of storing files asks.

    A file to be read that is not there becomes an empty temporary one, unless
    `strict`. Raises UnpicklingError for a file that cannot be opened, and with
    `strict` FileNotFoundError or ValueError for one that is not there or short.
    """
    standard = {"<stdin>": sys.__stdin__, "<stdout>": sys.__stdout__, "<stderr>": sys.__stderr__}
    if name in standard:
        file: Any = standard[name]
    elif name in ("<fdopen>", "<tmpfile>"):
        file = tempfile.TemporaryFile(mode)  # noqa: SIM115  handed to the caller
    else:
        exists = _exists(name)
        if strict and not exists:
            raise FileNotFoundError(2, "No such file or directory", name)
        size = os.path.getsize(name) if exists else 0
        if strict and position > size:
            raise ValueError(f"{name} has {size} bytes, and was at byte {position} when stored")
        if fmode == _CONTENTS:
            position = min(position, size)
        try:
            file = _reopen(name, mode, opener, exists, fmode, text)
        except OSError as error:
            raise UnpicklingError(f"cannot open {name}: {error}") from error
    if closed:
        file.close()
    elif position >= 0 and fmode != _HANDLE:
        file.seek(position)
    return file


def _exists(name: object) -> bool:
    try:
        return os.path.exists(name)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _reopen(name: str, mode: str, opener: _Opener, exists: bool, fmode: int, text: str) -> Any:
    if fmode == _FILE:
        file = opener(name, mode if "w" in mode else "w")
        file.write(text.encode() if "b" in mode and "w" in mode else text)
        if "w" in mode:
            return file
        file.close()
        return opener(name, mode)
    if "r" in mode and not exists:
        return tempfile.TemporaryFile(mode)
    if fmode == _CONTENTS and ("w" in mode or "x" in mode):
        return _open_uncut(name, mode)
    return opener(name, mode)


def _open_uncut(name: str, mode: str) -> Any:
    """Open for writing without cutting off what the file holds."""
    flags = os.O_CREAT | (os.O_RDWR if "+" in mode else os.O_WRONLY)
    file: Any = os.fdopen(os.open(name, flags), mode)
    raw = getattr(file, "buffer", file)
    getattr(raw, "raw", raw).name = name
    return file


def create_stringio(value: str | bytes, position: int, closed: bool) -> IO[Any]:
    """Return a file in memory at a position, for one of Python 2's `cStringIO`."""
    file: IO[Any] = io.BytesIO(value) if isinstance(value, bytes) else io.StringIO(value)
    file.seek(position)
    if closed:
        file.close()
    return file
