"""Frames between a pool and one of its workers, over a socket pair.

A frame is a head, a table of numbers and segments. Large segments are sent
from the memory where they lie and received into the memory where they stay.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

# What a frame is, to the worker ...
TASK = 1
# ... and from it.
READY, FAILED, DONE, RAISED = 2, 3, 4, 5

# kind, mode, numbers of: functions to forget, segments of the function, other segments; job, index,
# function
_HEAD = struct.Struct("<BBHHHQQQ")
_CHUNK = 64 * 1024
_JOINED = 16 * 1024  # up to this many bytes one copy is cheaper than many vectors
_VECTORS = min(getattr(os, "sysconf", lambda _: 16)("SC_IOV_MAX"), 1024)
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
    function_segments: Sequence[Any] = ()  # where the worker does not have it yet
    segments: Sequence[Any] = ()


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
        forget, of_function, others = frame.forget, frame.function_segments, frame.segments
        segments = [*of_function, *others]
        lengths = [len(segment) for segment in segments]
        head = _HEAD.pack(
            frame.kind,
            frame.mode,
            len(forget),
            len(of_function),
            len(others),
            frame.job,
            frame.index,
            frame.function,
        )
        table = _table(len(forget) + len(lengths)).pack(*forget, *lengths)
        if sum(lengths) > _JOINED:
            self._send_all([memoryview(part) for part in (head, table, *segments)])
            return
        message = b"".join([head, table, *segments])
        try:
            sent = self._sock.send(message)
        except BlockingIOError:
            sent = 0
        if sent < len(message):
            self._send_all([memoryview(message)[sent:]])

    def _send_all(self, parts: list[memoryview]) -> None:
        parts = [part for part in parts if part.nbytes]
        while parts:
            try:
                sent = self._sock.sendmsg(list(islice(parts, _VECTORS)))
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
        kind, mode, forget, of_function, others, job, index, function = _HEAD.unpack_from(
            self._rest
        )
        table = _table(forget + of_function + others)
        end = _HEAD.size + table.size
        self._need(end)
        numbers = table.unpack_from(self._rest, _HEAD.size)
        lengths = numbers[forget:]
        self._at = end
        if end + sum(lengths) <= len(self._rest):
            segments = [self._slice(length) for length in lengths]
        else:
            segments = [self._segment(length) for length in lengths]
        self._rest = self._rest[self._at :]
        return Frame(
            kind,
            mode,
            job,
            index,
            function,
            numbers[:forget],
            segments[:of_function],
            segments[of_function:],
        )

    def _slice(self, length: int) -> bytes | bytearray:
        start, self._at = self._at, self._at + length
        return self._rest[start : self._at]

    def _segment(self, length: int) -> bytes | bytearray:
        here = len(self._rest) - self._at
        if length <= here:
            return self._slice(length)
        segment = bytearray(length)
        segment[:here] = self._slice(here)
        done = here
        with memoryview(segment) as memory:
            while done < length:
                try:
                    count = self._sock.recv_into(memory[done:])
                except BlockingIOError:
                    self._look()
                    continue
                if count == 0:
                    raise OSError("the other end has gone in the middle of a message")
                done += count
        return segment

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


@functools.cache
def _table(numbers: int) -> struct.Struct:
    return struct.Struct(f"<{numbers}Q")
