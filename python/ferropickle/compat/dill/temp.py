"""Objects, or their source code, in temporary files and in buffers.

The functions that write return the open file or buffer: a temporary file is
gone when it is closed or forgotten, so keep it as long as it is needed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from ferropickle.compat.dill import source
from ferropickle.compat.dill._functions import dump as dump_to
from ferropickle.compat.dill._functions import load as load_from
from ferropickle.compat.dill._functions import loads

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "capture",
    "dump",
    "dumpIO",
    "dumpIO_source",
    "dump_source",
    "load",
    "loadIO",
    "loadIO_source",
    "load_source",
]

_FILE_OPTIONS = ("suffix", "prefix", "dir")


@contextlib.contextmanager
def capture(stream: str = "stdout") -> Iterator[io.StringIO]:
    """Collect what is written to `sys.stdout` or another stream of `sys`, for a block.

    stream: the stream's name.
    """
    original = getattr(sys, stream)
    collected = io.StringIO()
    setattr(sys, stream, collected)
    try:
        yield collected
    finally:
        setattr(sys, stream, original)


def dump(object: Any, **kwds: Any) -> IO[Any]:
    """Pickle an object into a temporary file, and return the file.

    suffix, prefix, dir: as for `tempfile.NamedTemporaryFile`; the other
        keywords are those of `ferropickle.compat.dill.dump`.
    """
    options = _taken(kwds, _FILE_OPTIONS)
    pickled = io.BytesIO()
    dump_to(object, pickled, **kwds)
    return _written(pickled.getvalue(), options)


def load(file: IO[Any] | str | os.PathLike[str], **kwds: Any) -> Any:
    """Read an object that `dump` wrote.

    file: what `dump` returned, or a path.
    kwds: those of `ferropickle.compat.dill.load`.
    """
    kwds.pop("mode", None)
    with open(_path(file), "rb") as opened:
        return load_from(opened, **kwds)


def dumpIO(object: Any, **kwds: Any) -> io.BytesIO:
    """Pickle an object into a buffer, and return the buffer.

    kwds: those of `ferropickle.compat.dill.dump`.
    """
    buffer = io.BytesIO()
    dump_to(object, buffer, **kwds)
    return buffer


def loadIO(buffer: io.BytesIO | bytes, **kwds: Any) -> Any:
    """Read an object that `dumpIO` wrote.

    buffer: what `dumpIO` returned, or its contents.
    kwds: those of `ferropickle.compat.dill.load`.
    """
    return loads(_contents(buffer), **kwds)


def dump_source(object: Any, **kwds: Any) -> IO[Any]:
    """Write an object's source code into a temporary Python file, and return the file.

    alias: another name for the object.
    suffix, prefix, dir: as for `tempfile.NamedTemporaryFile`.

    The name that `load_source` is to look for is kept in the file's last line.
    """
    options = {"suffix": ".py", **_taken(kwds, _FILE_OPTIONS)}
    return _written(_named_source(object, **kwds), options)


def load_source(file: IO[Any] | str | os.PathLike[str], **kwds: Any) -> Any:
    """Run a file that `dump_source` wrote, and return the object.

    file: what `dump_source` returned, or a path.
    alias: the object's name, if it is not the one that it was written with.
    """
    kwds.pop("mode", None)
    with open(_path(file), "rb") as opened:
        return _run(opened.read(), **kwds)


def dumpIO_source(object: Any, **kwds: Any) -> io.BytesIO:
    """Write an object's source code into a buffer, and return the buffer.

    alias: another name for the object.
    """
    return io.BytesIO(_named_source(object, **kwds))


def loadIO_source(buffer: io.BytesIO | bytes, **kwds: Any) -> Any:
    """Run a buffer that `dumpIO_source` wrote, and return the object.

    buffer: what `dumpIO_source` returned, or its contents.
    alias: the object's name, if it is not the one that it was written with.
    """
    return _run(_contents(buffer), **kwds)


_NAME_MARK = "#NAME: "


def _named_source(obj: Any, alias: str = "") -> bytes:
    text = source.importable(obj, source=True, alias=alias)
    name = alias or source.getname(obj)
    return f"{text}\n{_NAME_MARK}{name}\n".encode()


def _run(data: bytes, alias: str = "") -> Any:
    text = data.decode()
    if not alias:
        last = text.rstrip().rpartition("\n")[2]
        if not last.startswith(_NAME_MARK):
            raise KeyError("no name is given, and the source has none in its last line")
        alias = last[len(_NAME_MARK) :]
    space: dict[str, Any] = {}
    exec(text, space)
    return space[alias]


def _written(data: bytes, options: dict[str, Any]) -> IO[Any]:
    file = NamedTemporaryFile(**options)  # noqa: SIM115 -- the caller's, with the data in it
    file.write(data)
    file.flush()
    return file


def _path(file: Any) -> Any:
    return getattr(file, "name", file)


def _contents(buffer: io.BytesIO | bytes) -> bytes:
    return bytes(buffer) if not isinstance(buffer, io.BytesIO) else buffer.getvalue()


def _taken(kwds: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    kwds.pop("text", None)  # what is written is bytes
    return {name: kwds.pop(name) for name in names if name in kwds}
