"""Questions about arrays on devices, from those who read a message to the process that sent it.

A sender listens at a unix socket of the abstract kind, which goes with the process. A question
is one packet, and so is the answer; descriptors travel with it. Other users are sent away.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import socket
import struct
import sys
import threading
import time
from multiprocessing import util
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ferropickle._native import DeviceError

if TYPE_CHECKING:
    from ferropickle._native import DeviceExchange

PREFIX = b"\0ferropickle-"
QUESTION_BYTES = 4096  # no question is longer
ANSWER_S = 10.0  # so long a reader waits for an answer
QUESTION_S = 1.0  # and so long the sender for a question, when somebody has connected
LINGER_S = 3.0  # so long a process that ends waits for what it sent to be read
NAP_S = 0.005

# What an answer begins with: bytes behind it; bytes in a file; the text of an error.
HERE, FILE, ERROR = b"H", b"F", b"E"

_CREDENTIALS = struct.Struct("iII")  # process, user, group


class _Desk:
    """Where this process is asked."""

    def __init__(self) -> None:
        self._exchanges: WeakKeyDictionary[DeviceExchange, None] = WeakKeyDictionary()
        # Nobody waits for it: what is called with it held may collect garbage, and so send.
        self._starting = threading.Lock()
        self._socket: socket.socket | None = None
        self._address: bytes | None = None

    def address(self) -> bytes | None:
        """Where it listens, from the first call on; None if it cannot, or another call is at it."""
        if self._address is None and self._starting.acquire(blocking=False):
            try:
                if self._address is None:
                    with contextlib.suppress(OSError, RuntimeError):  # no sockets, no more threads
                        self._start()
            finally:
                self._starting.release()
        return self._address

    def register(self, exchange: DeviceExchange) -> None:
        """Ask this one too, as long as it lives."""
        self._exchanges[exchange] = None

    def exchanges(self) -> list[DeviceExchange]:
        """Those that live. Others may register meanwhile."""
        return [known for ref in self._exchanges.keyrefs() if (known := ref()) is not None]

    def _start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            address = PREFIX + f"{os.getpid()}-{secrets.token_hex(16)}".encode()
            listener.bind(address)
            listener.listen()
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.name = "DeviceOffers"
            thread.start()
        except BaseException:
            listener.close()
            raise
        self._socket, self._address = listener, address
        # After all that sends or reads at the end of a process: the feeders of queues among them.
        util.Finalize(None, self.linger, exitpriority=-100)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except Exception:
                if listener.fileno() < 0:
                    return
                time.sleep(NAP_S)  # out of descriptors, it may be
                continue
            # Most often the reader has gone. Whatever it is, others come.
            with contextlib.suppress(Exception), connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(QUESTION_S)
        if _user_of(connection) != os.geteuid():
            return
        question = connection.recv(QUESTION_BYTES)
        descriptors: list[int] = []
        try:
            answer, descriptors = self._found(question)
            socket.send_fds(connection, [answer], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _found(self, question: bytes) -> tuple[bytes, list[int]]:
        try:
            for exchange in self.exchanges():
                found = exchange.answer(question)
                if found is not None:
                    data, descriptors = found
                    if descriptors:
                        return HERE + bytes(data), descriptors
                    return FILE, [_file_of(data)]
        except Exception as error:
            return ERROR + str(error).encode(errors="replace")[:QUESTION_BYTES], []
        return ERROR + b"its sender has given up the memory that it lay in", []

    def linger(self) -> None:
        """Wait until what was sent has been read, for a while."""
        deadline = time.monotonic() + LINGER_S
        while any(exchange.unread for exchange in self.exchanges()):
            if time.monotonic() > deadline:
                return
            time.sleep(NAP_S)

    def forget(self) -> None:
        """In a forked child: those who connect are the parent's."""
        if self._socket is not None:
            self._socket.close()


_desk = _Desk()


def _forked() -> None:
    global _desk
    _desk.forget()
    _desk = _Desk()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def can_listen() -> bool:
    """Whether this system has what it takes."""
    return sys.platform == "linux"


def register(exchange: DeviceExchange) -> None:
    """Questions about an exchange's arenas are answered as long as it lives."""
    _desk.register(exchange)


def address() -> bytes | None:
    """Where this process is asked; None where it cannot be."""
    return _desk.address() if can_listen() else None


def ask(address: bytes, question: bytes) -> tuple[Any, list[int]]:
    """The answer to a question: bytes, and descriptors that are the caller's to close.

    Raises DeviceError if there is nobody to answer, or in time, or what was asked for is gone.
    """
    if not address.startswith(PREFIX):
        raise DeviceError("arrays on devices lie in memory of a process that has no address")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(address)
            if _user_of(connection) != os.geteuid():
                raise PermissionError("it is another user's")
            connection.send(question)
            answer, descriptors, *_ = socket.recv_fds(
                connection, 2 * QUESTION_BYTES, 2, socket.MSG_CMSG_CLOEXEC
            )
    except OSError as error:
        text = "the process that sent arrays on devices cannot be asked for them"
        text = f"{text}; it may have ended ({error})"
        raise DeviceError(text) from error
    return _opened(answer, descriptors)


def _opened(answer: bytes, descriptors: list[int]) -> tuple[Any, list[int]]:
    kind, data = answer[:1], answer[1:]
    if kind == HERE:
        return data, descriptors
    try:
        if kind == FILE and len(descriptors) == 1:
            size = os.fstat(descriptors[0]).st_size
            return (mmap.mmap(descriptors[0], size) if size else b""), []
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    if kind == ERROR:
        raise DeviceError(data.decode(errors="replace"))
    raise DeviceError("the process that sent arrays on devices ended before they were read")


def _file_of(data: Any) -> int:
    """A descriptor of memory with these bytes."""
    descriptor = os.memfd_create("ferropickle")
    try:
        with memoryview(data) as memory:
            done = 0
            while done < memory.nbytes:
                done += os.write(descriptor, memory[done:])
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _user_of(connection: socket.socket) -> int:
    """The user of the process at the other end."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(data)[1]
    return user
