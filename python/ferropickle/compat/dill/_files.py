"""Open files, the way `fmode` says.

=============  ===========================================================
HANDLE_FMODE   opened again by its name, as `open` would: for writing it is
               emptied, for reading it begins at the start
CONTENTS_FMODE opened again as it is there, nothing emptied, at the position
               that it had, or at its end if it is shorter
FILE_FMODE     with the contents that it had, at the position that it had
=============  ===========================================================

Where a file to be read is missing, an empty one stands in for it. A file that
was open for reading never has its contents written over: a copy of the sender's
stands in for it.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

from ferropickle.compat.dill._errors import PicklingError
from ferropickle.reducers._forms import by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

_HANDLE, _CONTENTS, _FILE = range(3)

_TYPES = (
    io.TextIOWrapper,
    io.BufferedRandom,
    io.BufferedReader,
    io.BufferedWriter,
    io.FileIO,
)

_STANDARD = {0: "stdin", 1: "stdout", 2: "stderr"}


def reducers(fmode: int) -> dict[type, Callable[[Any], Any]]:
    """Reducers of the types of open files.

    Raises ValueError for an unknown mode.
    """
    if fmode not in (_HANDLE, _CONTENTS, _FILE):
        raise ValueError(f"fmode must be 0, 1 or 2, not {fmode}")
    return {kind: partial(_reduce, fmode=fmode) for kind in _TYPES}


def _reduce(file: Any, fmode: int) -> ReduceValue:
    options: dict[str, Any] = {}
    if isinstance(file, io.TextIOWrapper):
        options = {"encoding": file.encoding, "errors": file.errors}
    elif isinstance(file, io.FileIO):
        options = {"buffering": 0}
    if file.closed:
        return _open_closed, (_path(file) or os.devnull, file.mode, options)
    try:
        number = file.fileno()
    except OSError as error:
        raise PicklingError(f"cannot pickle {file!r}: it is no file of the system") from error
    if number in _STANDARD:
        layer = "" if isinstance(file, io.TextIOWrapper) else ".buffer"
        return by_name("sys", _STANDARD[number] + layer)
    if file.writable():
        file.flush()
    path = _path(file)
    if path is None:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise PicklingError(f"cannot pickle {file!r}: it has no name to open it again by")
        data = os.pread(number, os.fstat(number).st_size, 0) if file.readable() else b""
        return _open_temporary, (file.mode, options, file.tell(), data)
    position = 0 if fmode == _HANDLE else file.tell()
    contents = None
    if fmode == _FILE:
        with open(path, "rb") as opened:
            contents = opened.read()
    return _open, (path, file.mode, options, fmode, position, contents)


def _path(file: Any) -> str | None:
    name = file.name
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else None


# ---- in streams: these names stay -----------------------------------------------------


def _open_closed(name: str, mode: str, options: dict[str, Any]) -> Any:
    """A closed file of that name and mode; nothing is opened under the name."""
    file = _as_mode(os.devnull, name, mode, options)
    file.close()
    return file


def _open_temporary(mode: str, options: dict[str, Any], position: int, data: bytes) -> Any:
    """A file without a name, which had contents if they could be read."""
    descriptor, path = tempfile.mkstemp()
    try:
        with open(descriptor, "wb") as contents:
            contents.write(data)
        file = _as_mode(path, path, mode, options)
    finally:
        os.unlink(path)
    _seek(file, position)
    return file


def _open(
    name: str,
    mode: str,
    options: dict[str, Any],
    fmode: int,
    position: int,
    data: bytes | None,
) -> Any:
    """Open a file as the sender had it."""
    creates = mode[0] in "wax"
    there = os.path.exists(name)
    if data is not None:
        file = _with_data(name, mode, options, data, creates)
    elif not there and not creates:
        file = _as_mode(os.devnull, name, mode, options)
    elif fmode == _HANDLE:
        return open(name, mode, **options)
    else:
        file = _as_mode(name, name, mode, options)
    if fmode != _HANDLE:
        _seek(file, position)
    return file


def _seek(file: Any, position: int) -> None:
    """Go to a position, or to the end of a shorter file."""
    if file.seekable():
        end = file.seek(0, io.SEEK_END)
        # in text a position may have a decoder's state in its upper bits
        file.seek(position if position > end and position >> 63 else min(position, end))


def _with_data(name: str, mode: str, options: dict[str, Any], data: bytes, creates: bool) -> Any:
    folder = os.path.dirname(name)
    if creates or ("+" in mode) or not os.path.exists(name) and os.path.isdir(folder or "."):
        with open(name, "wb") as contents:
            contents.write(data)
        return _as_mode(name, name, mode, options)
    with open(name, "rb") as contents:
        if contents.read(len(data) + 1) == data:
            return _as_mode(name, name, mode, options)
    copy, path = tempfile.mkstemp()
    try:
        with open(copy, "wb") as contents:
            contents.write(data)
        return _as_mode(path, name, mode, options)
    finally:
        os.unlink(path)


def _as_mode(path: str, name: str, mode: str, options: dict[str, Any]) -> Any:
    """Open a path so that the file calls itself by another name, with nothing emptied."""

    def opener(_name: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_TRUNC | os.O_EXCL), 0o666)

    return open(name, mode, opener=opener, **options)
