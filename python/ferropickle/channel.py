"""Channels: any object from one process to another, of this machine or of two.

Large buffers travel through shared memory where both ends are on one machine, and arrive without
being copied; over TCP they are sent from, and received into, the memory of the arrays::

    import ferropickle as fp

    with fp.Channel.listen("/run/app.sock") as listener:
        channel = listener.accept()
        print(channel.recv())

    with fp.Channel.connect("/run/app.sock") as channel:
        channel.send({"x": array})

Who receives an object runs the code that it names, as with `pickle`: a listener over TCP therefore
wants a secret (`authkey`) or a TLS context that checks certificates, and looks at either before
anything else.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from ferropickle._native import Arena, Link, Policy

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSocket
    from types import TracebackType

    from typing_extensions import Self

    class _Link(Protocol):
        """What moves messages: `Link`, or its counterpart over TLS."""

        @property
        def closed(self) -> bool: ...
        def send(self, obj: object, timeout: float | None, policy: Policy | None) -> None: ...
        def recv(
            self, timeout: float | None, policy: Policy | None, writable: bool | None
        ) -> Any: ...
        def poll(self, timeout: float | None) -> bool: ...
        def fileno(self) -> int: ...
        def close(self) -> None: ...


__all__ = ["AuthenticationError", "Channel", "Listener"]

Address: TypeAlias = str | os.PathLike[str] | tuple[str, int]

HANDSHAKE_S = 10.0
"""How long a handshake may take before the other end counts as none of ours."""

_MAGIC = b"ferropickle channel 1\n"
_NONCE = 32
_HELLO = len(_MAGIC) + 1 + _NONCE
_WANTS_KEY = 1
_SERVER, _CLIENT = b"server", b"client"
_WITH_ARENA, _WITHOUT, _REFUSED = b"A", b"-", b"!"


class AuthenticationError(ConnectionError):
    """The other end of a channel does not have the secret, or wants one that was not given."""


class Channel:
    """One end of a channel. Threads may share it; processes that share it must take turns.

    Made by `Channel.pair`, `Channel.connect` and `Listener.accept`. Passed to a process of
    `multiprocessing` as an argument, it is that process's as well: close the copy that is not used,
    or nobody sees the end. A forked child that uses one end of a pair closes its copy of the other
    by that.

    Iterating over a channel receives until the other end is closed.
    """

    __slots__ = ("__weakref__", "_arena", "_link")

    def __init__(self, link: _Link, arena: Arena | None = None) -> None:
        self._link = link
        self._arena = arena

    @classmethod
    def pair(cls, *, capacity: int | None = None) -> tuple[Channel, Channel]:
        """Two ends of a channel on this machine.

        capacity: bound on the bytes of shared memory, 0 for none; None leaves it to the memory that
        is there. What does not fit goes over the socket.
        """
        arena = _new_arena(capacity)
        first, second = Link.pair(arena)
        return cls(first, arena), cls(second, arena)

    @staticmethod
    def listen(
        address: Address,
        *,
        authkey: bytes | None = None,
        tls: SSLContext | None = None,
        capacity: int | None = None,
        backlog: int = 16,
    ) -> Listener:
        """A listener at an address: the path of a unix socket, or host and port for TCP.

        authkey: a secret that those who connect must have.
        tls: a server's context; over TCP only.
        capacity: as for `pair`, for each channel.
        backlog: how many may wait to be accepted.

        Raises ValueError for TCP with neither authkey nor a context that asks for certificates, and
        OSError if the address cannot be had.
        """
        return Listener(address, authkey=authkey, tls=tls, capacity=capacity, backlog=backlog)

    @classmethod
    def connect(
        cls,
        address: Address,
        *,
        authkey: bytes | None = None,
        tls: SSLContext | None = None,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Channel:
        """The channel to a listener.

        authkey: the listener's secret.
        tls: a client's context.
        server_hostname: the name in the server's certificate; None means the host of the address.
        timeout: seconds for all of it; None means as long as the system tries, and 10 seconds for
        the handshake.

        Raises AuthenticationError if either end refuses the other's secret, OSError if nobody
        listens.
        """
        where = _resolve(address)
        deadline = _Deadline(timeout)
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left())
            sock.connect(where.target)
            if timeout is None:
                deadline = _Deadline(HANDSHAKE_S)
            sock.settimeout(deadline.left())
            _tune(sock, where)
            if tls is not None:
                name = server_hostname or (where.host if tls.check_hostname else None)
                sock = _wrap(sock, where, tls, server_side=False, server_hostname=name)
            _greet(sock, deadline, authkey, _CLIENT)
            arena = _receive_arena(sock, where, deadline)
            return cls(_link(sock, arena), arena)
        except BaseException:
            sock.close()
            raise

    def send(
        self, obj: object, *, timeout: float | None = None, policy: Policy | None = None
    ) -> None:
        """Send an object. Returns when it is on its way; the other end need not have received it.

        timeout: seconds to wait for room; None waits for ever.
        policy: a Policy; None means that of the enclosing `policy(...)` block. With `device="auto"`
        arrays on devices stay there, where the other end can map memory of theirs.

        Raises what `dumps` raises, and then nothing was sent; BrokenPipeError or
        ConnectionResetError if the other end is closed; TimeoutError. Where half a message was sent
        when time ran out, the channel is closed.
        """
        self._link.send(obj, timeout, policy)

    def recv(
        self,
        *,
        timeout: float | None = None,
        policy: Policy | None = None,
        writable: bool | None = None,
    ) -> Any:
        """Receive an object.

        Arrays in shared memory lie where the sender put them; nobody else reads or writes there,
        and when the last of a message's arrays is gone, the memory is used again.

        timeout: seconds to wait; None waits for ever. A message of which a part has come is not
        lost: the next call goes on.
        policy: a Policy; None means that of the enclosing `policy(...)` block.
        writable: whether arrays can be written to: None as the sender's could, False none, True
        all.

        Raises EOFError when the other end is closed and nothing is left; ConnectionError if it went
        away in the middle of a message; TimeoutError; what `loads` raises.
        """
        return self._link.recv(timeout, policy, writable)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is something to receive, or the end to be seen; None waits for ever."""
        return self._link.poll(timeout)

    def fileno(self) -> int:
        """The descriptor of the socket: readable when there is something to receive."""
        return self._link.fileno()

    @property
    def closed(self) -> bool:
        """Whether this end was closed."""
        return self._link.closed

    def close(self) -> None:
        """Close this end. What was sent arrives; arrays that were received stay."""
        self._link.close()
        if self._arena is not None:
            self._arena = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                obj = self.recv()
            except EOFError:
                return
            yield obj

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._link, Link):
            raise TypeError("a channel over TLS belongs to its process; connect again there")
        from multiprocessing.reduction import DupFd

        arena = None if self._arena is None else DupFd(self._arena.fd)
        offers = [(note, DupFd(one), DupFd(two)) for note, one, two in self._link.offers()]
        return _rebuild, (type(self), DupFd(self.fileno()), arena, offers)

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__}, closed>"
        how = "shared memory" if self._arena is not None else "no shared memory"
        return f"<{type(self).__name__}, descriptor {self.fileno()}, {how}>"


def _rebuild(
    cls: type[Channel], fd: Any, arena_fd: Any, offers: list[tuple[bytes, Any, Any]]
) -> Channel:
    arena = None
    if arena_fd is not None:
        own = arena_fd.detach()
        try:
            arena = Arena.attach(own)
        finally:
            os.close(own)
    link = Link(fd.detach(), arena)
    for note, memory, slots in offers:
        link.adopt(note, memory.detach(), slots.detach())
    return cls(link, arena)


class Listener:
    """Accepts channels at an address; iterating over it accepts for ever."""

    def __init__(
        self,
        address: Address,
        *,
        authkey: bytes | None = None,
        tls: SSLContext | None = None,
        capacity: int | None = None,
        backlog: int = 16,
    ) -> None:
        self._where = where = _resolve(address)
        self._authkey = _checked_key(authkey)
        self._tls = tls
        self._capacity = capacity
        self._file: tuple[int, int] | None = None
        if where.host is None and tls is not None:
            raise ValueError("tls: a unix socket needs none; it is for TCP")
        if where.host is not None and authkey is None and not _asks_for_certificates(tls):
            raise ValueError(
                "authkey: a listener over TCP wants a secret, or a TLS context that asks for"
                " certificates (verify_mode=ssl.CERT_REQUIRED): who connects can run code here"
            )
        self._socket = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            self._bind()
            self._socket.listen(backlog)
        except BaseException:
            self.close()
            raise

    def _bind(self) -> None:
        if self._where.host is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(self._where.target)
            return
        path = self._where.target
        if path.startswith("\0"):
            self._socket.bind(path)
            return
        _remove_abandoned(path)
        self._socket.bind(path)
        os.chmod(path, 0o600)
        made = os.stat(path)
        self._file = made.st_dev, made.st_ino

    @property
    def address(self) -> str | tuple[str, int]:
        """Where it listens; with port 0, the port that the system chose."""
        if self._where.host is None:
            path: str = self._where.target
            return path
        host, port = self._socket.getsockname()[:2]
        return host, port

    def accept(self, *, timeout: float | None = None) -> Channel:
        """The channel of the next who connects.

        timeout: seconds to wait for somebody; None waits for ever. The handshake may take 10
        seconds more.

        Raises TimeoutError; AuthenticationError if one came without the secret, and then the next
        call goes on.
        """
        self._socket.settimeout(timeout)
        sock, _ = self._socket.accept()
        try:
            deadline = _Deadline(HANDSHAKE_S)
            sock.settimeout(deadline.left())
            _tune(sock, self._where)
            if self._tls is not None:
                sock = _wrap(sock, self._where, self._tls, server_side=True)
            _greet(sock, deadline, self._authkey, _SERVER)
            arena = _send_arena(sock, self._where, deadline, self._capacity)
            return Channel(_link(sock, arena), arena)
        except BaseException:
            sock.close()
            raise

    def fileno(self) -> int:
        """The descriptor: readable when somebody has connected."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening; channels that were accepted stay."""
        self._socket.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                there = os.stat(self._where.target)
                if (there.st_dev, there.st_ino) == self._file:
                    os.unlink(self._where.target)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Channel]:
        while True:
            yield self.accept()


# -- addresses and sockets --------------------------------------------------------------------


class _Where(NamedTuple):
    """An address as a socket takes it; `host` is None for a unix socket."""

    family: socket.AddressFamily
    target: Any
    host: str | None


def _resolve(address: Address) -> _Where:
    if isinstance(address, tuple):
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, target = found[0]
        return _Where(family, target, host)
    return _Where(socket.AF_UNIX, os.fspath(address), None)


def _tune(sock: socket.socket, where: _Where) -> None:
    """Small messages go at once; a host that vanished is noticed within a minute."""
    if where.host is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 40_000),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _wrap(
    sock: socket.socket,
    where: _Where,
    tls: SSLContext,
    *,
    server_side: bool,
    server_hostname: str | None = None,
) -> SSLSocket:
    if where.host is None:
        raise ValueError("tls: a unix socket needs none; it is for TCP")
    return tls.wrap_socket(sock, server_side=server_side, server_hostname=server_hostname)


def _asks_for_certificates(tls: SSLContext | None) -> bool:
    if tls is None:
        return False
    from ssl import CERT_REQUIRED

    return tls.verify_mode == CERT_REQUIRED


def _remove_abandoned(path: str) -> None:
    """Remove a unix socket that nobody listens at: its listener was killed."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass


def _link(sock: socket.socket, arena: Arena | None) -> _Link:
    if hasattr(sock, "pending"):
        from ferropickle._tls import TlsLink

        return TlsLink(sock)
    # The link asks for no more than there is, whatever the flags; they are put back for others.
    sock.setblocking(True)
    return Link(sock.detach(), arena)


# -- handshake --------------------------------------------------------------------------------


class _Deadline:
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


def _checked_key(authkey: bytes | None) -> bytes | None:
    if authkey is not None and not isinstance(authkey, (bytes, bytearray)):
        raise TypeError(f"authkey must be bytes or None, not {type(authkey).__name__}")
    if authkey is not None and not authkey:
        raise ValueError("authkey must not be empty")
    return None if authkey is None else bytes(authkey)


def _read(sock: socket.socket, count: int, deadline: _Deadline) -> bytes:
    data = b""
    while len(data) < count:
        sock.settimeout(deadline.left())
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("the other end closed the channel in the handshake")
        data += more
    return data


def _greet(sock: socket.socket, deadline: _Deadline, authkey: bytes | None, role: bytes) -> None:
    """Both ends say what they are, and prove that they know the secret without telling it."""
    authkey = _checked_key(authkey)
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
    their_role = _CLIENT if role == _SERVER else _SERVER
    sock.sendall(hmac.digest(authkey, role + nonce + their_nonce, "sha256"))
    proof = _read(sock, 32, deadline)
    expected = hmac.digest(authkey, their_role + their_nonce + nonce, "sha256")
    if not hmac.compare_digest(proof, expected):
        raise AuthenticationError("the other end has another authkey")


def _new_arena(capacity: int | None) -> Arena | None:
    """An arena, or None where there is no memory to be shared: then all goes over the socket."""
    if capacity == 0:
        return None
    try:
        return Arena(capacity)
    except OSError:
        return None


def _send_arena(
    sock: socket.socket, where: _Where, deadline: _Deadline, capacity: int | None
) -> Arena | None:
    """A new arena for both ends, if the other can attach to it."""
    arena = _new_arena(capacity) if where.host is None else None
    if arena is None:
        sock.sendall(_WITHOUT)
        return None
    socket.send_fds(sock, [_WITH_ARENA], [arena.fd])
    return arena if _read(sock, 1, deadline) == _WITH_ARENA else None


def _receive_arena(sock: socket.socket, where: _Where, deadline: _Deadline) -> Arena | None:
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
