"""Open files: opened again by name and mode, at the position they had.

Each layer of a file is written by itself, so `file.buffer` stays the buffer of
`file`. What was being written is never truncated: "w" and "x" open again as
"r+". With `files="contents"` the lowest layer becomes an `io.BytesIO` over a
copy of the bytes. The standard streams are those of the receiver.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute, by_name, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

_STANDARD = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
_LAYERS = ("", ".buffer", ".buffer.raw")
_BUFFERED = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


def text(obj: Any, policy: Any) -> ReduceValue:
    """`io.TextIOWrapper`. Its `newline` cannot be read, and becomes the default."""
    standard = _standard_stream(obj)
    if standard is not None:
        return standard
    closed = _is_closed(obj)
    position = 0 if closed else _told(obj)
    buffer = _stand_in(obj.buffer) if closed else obj.buffer
    args = (buffer, obj.encoding, obj.errors, None, obj.line_buffering, obj.write_through)
    calls = [Call(io.TextIOWrapper.seek, obj, position)] if position else []
    mode = getattr(obj, "mode", None)
    if isinstance(mode, str):
        calls.append(Call(setattr, obj, "mode", mode))
    if closed:
        calls += _closing(obj, attribute(obj, "buffer.raw"), getattr(obj.buffer, "raw", None))
    return after(io.TextIOWrapper, args, calls)


def standard_only(obj: Any, policy: Any) -> ReduceValue:
    """A subclass of the text file: only where it stands for a standard stream."""
    standard = _standard_stream(obj)
    return NotImplemented if standard is None else standard


def buffered(obj: Any, policy: Any) -> ReduceValue:
    """`io.BufferedReader`, `io.BufferedWriter` and `io.BufferedRandom`."""
    standard = _standard_stream(obj)
    if standard is not None:
        return standard
    if _is_closed(obj):
        stand_in = _stand_in(obj.raw)
        return after(type(obj), (stand_in,), _closing(obj, stand_in, obj.raw))
    position = _told(obj)
    return after(type(obj), (obj.raw,), _seeking(obj, position))


def raw(obj: Any, policy: Any) -> ReduceValue:
    """`io.FileIO`."""
    standard = _standard_stream(obj)
    if standard is not None:
        return standard
    if obj.closed:
        function, *args = _opening(os.devnull, obj.mode)
        return after(function, tuple(args), _closing(obj, obj, obj))
    position = _told(obj)
    if getattr(policy, "files", "reopen") == "contents":
        in_memory = Call(io.BytesIO.seek, obj, position)
        return after(io.BytesIO, (_contents(obj),), [in_memory] if position else [])
    _check_can_reopen(obj)
    function, *args = _opening(obj.name, obj.mode)
    return after(function, tuple(args), _seeking(obj, position))


def in_memory(obj: Any, policy: Any) -> ReduceValue:
    """`io.StringIO` and `io.BytesIO`, which can be pickled until they are closed."""
    if not obj.closed:
        return NotImplemented
    return after(type(obj), (), [Call(type(obj).close, obj)])


def temporary(obj: Any, policy: Any) -> ReduceValue:
    """`tempfile.NamedTemporaryFile`: the copy does not delete the file when it is closed."""
    return type(obj), (obj.file, obj.name, False)


def _standard_stream(obj: object) -> ReduceValue | None:
    for name in _STANDARD:
        found = getattr(sys, name, None)
        for layer in _LAYERS:
            if found is None:
                break
            if found is obj:
                return by_name("sys", name + layer)
            found = getattr(found, "raw" if layer else "buffer", None)
    return None


def _is_closed(obj: Any) -> bool:
    try:
        return bool(obj.closed)
    except ValueError as error:
        refuse(obj, str(error))


def _told(obj: Any) -> int:
    """The position, after what was written has been sent on its way; 0 where there is none."""
    try:
        if obj.writable():
            obj.flush()
        return int(obj.tell()) if obj.seekable() else 0
    except OSError as error:
        refuse(obj, f"its position cannot be told ({error}); read it with readline() or to its end")


def _seeking(obj: Any, position: int) -> list[Call]:
    return [Call(type(obj).seek, obj, position)] if position else []


def _opening(name: Any, mode: str) -> tuple[Any, ...]:
    """The call that opens a file again with its contents left alone."""
    return io.FileIO, name, mode if mode[0] in "ra" else "rb+"


def _check_can_reopen(obj: Any) -> None:
    instead = 'pickle its contents (files="contents")'
    if not isinstance(obj.name, (str, bytes, os.PathLike)):
        refuse(obj, f"it has no name to open it by; {instead}")
    status = os.fstat(obj.fileno())
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        refuse(obj, "it is a pipe; read from it and pickle what came")
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
        refuse(obj, f"the file has been deleted; {instead}")


def _contents(obj: Any) -> bytes:
    """All bytes of a file, whatever its mode; its position stays."""
    try:
        descriptor = obj.fileno()
        size = os.fstat(descriptor).st_size
        if obj.readable():
            return os.pread(descriptor, size, 0)
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        try:
            return os.pread(again, size, 0)
        finally:
            os.close(again)
    except OSError as error:
        refuse(obj, f"its contents cannot be read ({error})")


def _stand_in(obj: Any) -> Call:
    """An open layer of the same class over nothing, for a file that is then closed."""
    if type(obj) is io.FileIO:
        return Call(*_opening(os.devnull, obj.mode))
    if type(obj) in _BUFFERED:
        return Call(type(obj), _stand_in(obj.raw))
    return Call(io.BytesIO)


def _closing(obj: Any, made: Any, lowest: Any) -> list[Call]:
    """Calls that give the lowest layer its name back, and close the file."""
    naming = []
    if type(lowest) is io.FileIO and isinstance(lowest.name, (str, bytes, os.PathLike)):
        naming.append(Call(setattr, made, "name", lowest.name))
    return [*naming, Call(type(obj).close, obj)]
