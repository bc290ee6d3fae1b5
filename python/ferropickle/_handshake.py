"""What both ends of a channel tell each other first: that they are channels, that they know the
secret, and which memory they share.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

from ferropickle._native import Arena

if TYPE_CHECKING:
    from ferropickle._addresses import Where

_MAGIC = b"ferropickle channel 1\n"
_NONCE = 32
_HELLO = len(_MAGIC) + 1 + _NONCE
_WANTS_KEY = 1
SERVER, CLIENT = b"server", b"client"
_WITH_ARENA, _WITHOUT = b"A", b"-"


class AuthenticationError(ConnectionError):
    """The other end of a channel does not have the secret, or wants one that was not given."""

    __module__ = "ferropickle.channel"


class Deadline:
    """A point in time until which several calls may wait."""

    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds that are left; raises TimeoutError if none are."""
        if self._at is None:
            return None
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the other end took longer than the timeout")
        return left


def checked_key(authkey: bytes | None) -> bytes | None:
    if authkey is not None and not isinstance(authkey, (bytes, bytearray)):
        raise TypeError(f"authkey must be bytes or None, not {type(authkey).__name__}")
    if authkey is not None and not authkey:
        raise ValueError("authkey must not be empty")
    return None if authkey is None else bytes(authkey)


def _read(sock: socket.socket, count: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < count:
        sock.settimeout(deadline.left())
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("the other end closed the channel in the handshake")
        data += more
    return data


def greet(sock: socket.socket, deadline: Deadline, authkey: bytes | None, role: bytes) -> None:
    """Both ends say what they are, and prove that they know the secret without telling it."""
    authkey = checked_key(authkey)
    nonce = secrets.token_bytes(_NONCE)
    wants = bytes([_WANTS_KEY if authkey is not None else 0])
    sock.sendall(_MAGIC + wants + nonce)
    hello = _read(sock, _HELLO, deadline)
    if not hello.startswith(_MAGIC):
        raise ConnectionError("the other end is no channel of this version of ferropickle")
    theirs = hello[len(_MAGIC) : len(_MAGIC) + 1]
    if theirs != wants:
        which = "wants an authkey" if authkey is None else "has no authkey"
        raise AuthenticationError(f"the other end {which}")
    if authkey is None:
        return
    their_nonce = hello[-_NONCE:]
    their_role = CLIENT if role == SERVER else SERVER
    sock.sendall(hmac.digest(authkey, role + nonce + their_nonce, "sha256"))
    proof = _read(sock, 32, deadline)
    expected = hmac.digest(authkey, their_role + their_nonce + nonce, "sha256")
    if not hmac.compare_digest(proof, expected):
        raise AuthenticationError("the other end has another authkey")


def new_arena(capacity: int | None) -> Arena | None:
    """An arena, or None where there is no memory to be shared: then all goes over the socket."""
    if capacity == 0:
        return None
    try:
        return Arena(capacity)
    except OSError:
        return None


def send_arena(
    sock: socket.socket, where: Where, deadline: Deadline, capacity: int | None
) -> Arena | None:
    """A new arena for both ends, if the other can attach to it."""
    arena = new_arena(capacity) if where.host is None else None
    if arena is None:
        sock.sendall(_WITHOUT)
        return None
    socket.send_fds(sock, [_WITH_ARENA], [arena.fd])
    return arena if _read(sock, 1, deadline) == _WITH_ARENA else None


def receive_arena(sock: socket.socket, where: Where, deadline: Deadline) -> Arena | None:
    if where.host is not None:
        answer = _read(sock, 1, deadline)
        if answer != _WITHOUT:
            raise ConnectionError("the other end is no channel of this version of ferropickle")
        return None
    sock.settimeout(deadline.left())
    answer, fds, _, _ = socket.recv_fds(sock, 1, 1)
    if answer == _WITHOUT:
        return None
    if answer != _WITH_ARENA or len(fds) != 1:
        for fd in fds:
            os.close(fd)
        raise ConnectionError("the other end closed the channel in the handshake")
    try:
        arena = Arena.attach(fds[0])
    except (OSError, ValueError):
        # Another namespace of processes, or a limit: all goes over the socket.
        sock.sendall(_WITHOUT)
        return None
    finally:
        os.close(fds[0])
    sock.sendall(_WITH_ARENA)
    return arena
