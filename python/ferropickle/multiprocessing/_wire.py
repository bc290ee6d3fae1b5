"""Frames between a pool and one of its workers, over a socket pair.

A frame is a head, a table of numbers and up to two messages. A large one is
received into the memory where it stays.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# What a frame is, to the worker ...
TASK, FORGET = 1, 2
# ... and from it.
READY, FAILED, DONE, RAISED = 3, 4, 5, 6

# kind, mode, how many functions to forget; job, index, function; lengths of its message and of
# the other one
_HEAD = struct.Struct("<BBHxxxxQQQQQ")
_CHUNK = 64 * 1024
_JOINED = 16 * 1024  # up to this many bytes one copy is cheaper than many vectors
STALL_S = 1  # after this many seconds without a byte the other end is looked at


@dataclass(slots=True)
class Frame:
    """One message."""

    kind: int
    mode: int = 0
    job: int = 0
    index: int = 0
    function: int = 0  # its number; 0 for none
    forget: Sequence[int] = ()  # numbers of functions that are no longer needed
    function_message: bytes | bytearray = b""  # where the worker does not have it yet
    message: bytes | bytearray = b""


class Channel:
    """One end.

    stalled: called when the other end has taken or given nothing for `STALL_S`;
    raises OSError if it never will. Without it the ends wait for ever.
    """

    def __init__(self, sock: socket.socket, stalled: Callable[[], None] | None = None) -> None:
        self._sock = sock
        self._stalled = stalled
        self._rest = b""  # received beyond the frame before
        self._at = 0  # how much of it is taken
        if stalled is not None:
            limit = struct.pack("@ll", STALL_S, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def finish(self) -> None:
        """Tell the other end that nothing more comes."""
        with contextlib.suppress(OSError):  # it has gone
            self._sock.shutdown(socket.SHUT_WR)

    def send(self, frame: Frame) -> None:
        """Send a frame; raises OSError if the other end has gone."""
        forget, first, second = frame.forget, frame.function_message, frame.message
        head = _HEAD.pack(
            frame.kind,
            frame.mode,
            len(forget),
            frame.job,
            frame.index,
            frame.function,
            len(first),
            len(second),
        )
        table = _table(len(forget)).pack(*forget)
        if len(first) + len(second) > _JOINED:
            self._send_all([memoryview(part) for part in (head, table, first, second)])
            return
        whole = b"".join([head, table, first, second])
        try:
            sent = self._sock.send(whole)
        except BlockingIOError:
            sent = 0
        if sent < len(whole):
            self._send_all([memoryview(whole)[sent:]])

    def _send_all(self, parts: list[memoryview]) -> None:
        parts = [part for part in parts if part.nbytes]
        while parts:
            try:
                sent = self._sock.sendmsg(parts)
            except BlockingIOError:
                self._look()
                continue
            done = 0
            while done < len(parts) and sent >= parts[done].nbytes:
                sent -= parts[done].nbytes
                done += 1
            del parts[:done]
            if sent:
                parts[0] = parts[0][sent:]

    def recv(self) -> Frame:
        """The next frame.

        Raises EOFError if the other end has gone, OSError if it went in
        mid-frame.
        """
        self._need(_HEAD.size, at_start=True)
        kind, mode, forget, job, index, function, first, second = _HEAD.unpack_from(self._rest)
        table = _table(forget)
        self._need(_HEAD.size + table.size)
        numbers = table.unpack_from(self._rest, _HEAD.size)
        self._at = _HEAD.size + table.size
        messages = self._message(first), self._message(second)
        self._rest = self._rest[self._at :]
        return Frame(kind, mode, job, index, function, numbers, *messages)

    def _message(self, length: int) -> bytes | bytearray:
        here = len(self._rest) - self._at
        if length <= here:
            start, self._at = self._at, self._at + length
            return self._rest[start : self._at]
        message = bytearray(length)
        message[:here] = self._rest[self._at :]
        self._at += here
        done = here
        with memoryview(message) as memory:
            while done < length:
                try:
                    count = self._sock.recv_into(memory[done:])
                except BlockingIOError:
                    self._look()
                    continue
                if count == 0:
                    raise OSError("the other end has gone in the middle of a message")
                done += count
        return message

    def _need(self, size: int, at_start: bool = False) -> None:
        """Receive until there are `size` bytes in `_rest`."""
        while len(self._rest) < size:
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                self._look()
                continue
            if not data:
                if at_start and not self._rest:
                    raise EOFError
                raise OSError("the other end has gone in the middle of a message")
            self._rest = self._rest + data if self._rest else data

    def _look(self) -> None:
        if self._stalled is not None:
            self._stalled()


_tables: dict[int, struct.Struct] = {}


def _table(numbers: int) -> struct.Struct:
    """The layout of a table of so many numbers."""
    table = _tables.get(numbers)
    if table is None:
        table = _tables[numbers] = struct.Struct(f"<{numbers}Q")
    return table
