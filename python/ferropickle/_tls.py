"""Messages over a TLS connection: what `Link` does over a plain socket."""

from __future__ import annotations

import select
import threading
import time
from ssl import SSLSocket, SSLWantReadError, SSLWantWriteError, SSLZeroReturnError
from typing import TYPE_CHECKING, Any

from ferropickle._native import Inbox, frames

if TYPE_CHECKING:
    from ferropickle._native import Policy

_PIECE = 1 << 20
_STRETCH_S = 0.2


class TlsLink:
    """Sends and receives objects over a TLS socket, which it owns."""

    def __init__(self, sock: Any) -> None:
        self._socket: SSLSocket = sock
        self._socket.setblocking(False)
        self._closed = False
        self._inbox = Inbox()
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        # One TLS connection is one state: it is read and written by one thread at a time.
        self._state = threading.Lock()

    def send(self, obj: object, timeout: float | None, policy: Policy | None) -> None:
        self._check()
        pieces = [piece for piece in frames(obj, policy) if len(piece)]
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._sending:
            begun = False
            try:
                for piece in pieces:
                    view = memoryview(piece)
                    while len(view):
                        sent = self._try(self._socket.send, view[:_PIECE], deadline, reading=False)
                        begun = True
                        view = view[sent:]
            except BaseException:
                if begun:
                    # What would follow could not be told from the rest of this message.
                    self.close()
                raise

    def recv(self, timeout: float | None, policy: Policy | None, writable: bool | None) -> Any:
        self._check()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._receiving:
            while wanted := self._inbox.wanted:
                try:
                    data = self._try(self._socket.recv, min(wanted, _PIECE), deadline, reading=True)
                except (SSLZeroReturnError, ConnectionResetError):
                    data = b""
                if not data:
                    if self._inbox.begun:
                        self.close()
                        raise ConnectionError("the other end went away without a word")
                    raise EOFError("the channel is closed at the other end")
                self._inbox.feed(data)
            return self._inbox.load(policy, writable)

    def _try(self, call: Any, arg: Any, deadline: float | None, *, reading: bool) -> Any:
        """Call until the socket does not ask to wait any more."""
        while True:
            self._check()
            try:
                with self._state:
                    return call(arg)
            except SSLWantReadError:
                reading = True
            except SSLWantWriteError:
                reading = False
            left = _STRETCH_S
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
                if left <= 0:
                    raise TimeoutError("the other end took longer than the timeout")
            self._wait(left, reading=reading)

    def _wait(self, timeout: float, *, reading: bool) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN if reading else select.POLLOUT)
        return bool(poller.poll(timeout * 1000))

    def poll(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check()
            left = _STRETCH_S
            if deadline is not None:
                left = max(0.0, min(left, deadline - time.monotonic()))
            if self._socket.pending() or self._wait(left, reading=True):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def fileno(self) -> int:
        self._check()
        return self._socket.fileno()

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._socket.close()

    def _check(self) -> None:
        if self._closed:
            raise OSError("the channel is closed")
