"""The other process: loads what comes, changes or calls it, and sends back what comes of that."""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any

from . import corpus as data
from . import wire


def serve(sock: socket.socket, libraries: list[str]) -> None:
    """Answer requests until the socket closes; imports the libraries first.

    A request is a line of JSON and a message; so is the answer. `task` in the request names what is
    done with the object. `busy` in the answer is the time (s) that it took over here, which is no
    part of the round trip, and `loads` the time that loading took.
    """
    for name in libraries:
        importlib.import_module(name)
    tasks = {"change": change, "call": call}
    with sock:
        write_line(sock, {"ready": True})
        while request := read_line(sock):
            ask: dict[str, Any] = json.loads(request)
            stream, buffers = wire.recv(sock)
            received = perf_counter()
            obj = wire.loads(ask["library"], stream, buffers)
            start = perf_counter()
            result, found = tasks[ask["task"]](obj, ask)
            busy = perf_counter() - start
            stream, buffers_back = wire.dumps(ask["library"], result)
            write_line(sock, {**found, "pid": os.getpid(), "loads": start - received, "busy": busy})
            wire.send(sock, stream, buffers_back)
            del obj, result, stream, buffers, buffers_back
            gc.collect()
            write_line(sock, {"ready": True})


def change(corpus: data.Corpus, ask: dict[str, Any]) -> tuple[data.Corpus, dict[str, Any]]:
    """Check the corpus by the checksum and change it: what goes back, and what was found."""
    found = data.checksum(corpus)
    if found != ask["checksum"]:
        raise SystemExit(f"checksum {found:08x}, expected {ask['checksum']:08x}")
    marked = data.change(corpus, f"checked by {ask['library']}")
    records = sum(len(module.tokens) for module in corpus.modules)
    return corpus, {"records": records, "marked": marked}


def call(function: Callable[[], Any], ask: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Call what came: its result goes back."""
    return function(), {}


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
