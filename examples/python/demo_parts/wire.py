"""A message between two processes: one pickle stream and its buffers, raw over a socket."""

from __future__ import annotations

import importlib
import socket
import struct
from typing import Any

HEAD = struct.Struct("<QQ")  # bytes of the stream, number of buffers
SIZE = struct.Struct("<Q")  # bytes of one buffer


def dumps(library: str, obj: Any) -> tuple[bytes, list[memoryview]]:
    """The stream, and views of the buffers that stay out of it: nothing is copied."""
    buffers: list[Any] = []
    stream = importlib.import_module(library).dumps(obj, 5, buffer_callback=buffers.append)
    return stream, [buffer.raw() for buffer in buffers]


def loads(library: str, stream: bytes, buffers: list[bytearray]) -> Any:
    """The object; its arrays live in `buffers`."""
    return importlib.import_module(library).loads(stream, buffers=buffers)


def send(sock: socket.socket, stream: bytes, buffers: list[memoryview]) -> None:
    """Send both, the buffers from where they lie."""
    sock.sendall(HEAD.pack(len(stream), len(buffers)))
    sock.sendall(b"".join(SIZE.pack(len(buffer)) for buffer in buffers))
    sock.sendall(stream)
    for buffer in buffers:
        sock.sendall(buffer)


def recv(sock: socket.socket) -> tuple[bytes, list[bytearray]]:
    """Receive both, the buffers straight into the memory that the arrays will use."""
    size, count = HEAD.unpack(_exactly(sock, HEAD.size))
    sizes = [n for (n,) in SIZE.iter_unpack(_exactly(sock, SIZE.size * count))]
    stream = _exactly(sock, size)
    return bytes(stream), [_exactly(sock, n) for n in sizes]


def _exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if not got:
            raise EOFError("the other process has gone")
        view = view[got:]
    return data
