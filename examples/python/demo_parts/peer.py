"""The other process: loads what comes, checks it, changes it, and sends it back."""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
from time import perf_counter
from typing import Any

from . import corpus as data
from . import wire


def serve(sock: socket.socket, libraries: list[str]) -> None:
    """Answer requests until the socket closes; imports the libraries first.

    A request is a line of JSON and a message; so is the answer. `busy` in the answer is the time
    (s) that went into checking and changing, which is no part of the round trip.
    """
    for name in libraries:
        importlib.import_module(name)
    with sock:
        write_line(sock, {"ready": True})
        while request := read_line(sock):
            ask: dict[str, Any] = json.loads(request)
            stream, buffers = wire.recv(sock)
            corpus = wire.loads(ask["library"], stream, buffers)
            start = perf_counter()
            found = data.checksum(corpus)
            if found != ask["checksum"]:
                raise SystemExit(f"checksum {found:08x}, expected {ask['checksum']:08x}")
            marked = data.change(corpus, f"checked by {ask['library']}")
            records = sum(len(module.tokens) for module in corpus.modules)
            busy = perf_counter() - start
            stream, buffers_back = wire.dumps(ask["library"], corpus)
            answer = {"pid": os.getpid(), "records": records, "marked": marked, "busy": busy}
            write_line(sock, answer)
            wire.send(sock, stream, buffers_back)
            del corpus, stream, buffers, buffers_back
            gc.collect()
            write_line(sock, {"ready": True})


def write_line(sock: socket.socket, message: dict[str, Any]) -> None:
    """Send one line of JSON."""
    sock.sendall(json.dumps(message).encode() + b"\n")


def read_line(sock: socket.socket) -> bytes:
    """Receive one line; empty when the other side has closed."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            return b""
        line += byte
    return bytes(line)
