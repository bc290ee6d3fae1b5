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
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ferropickle._addresses import (
    Address,
    asks_for_certificates,
    remove_abandoned,
    resolve,
    tune,
    wrap,
)
from ferropickle._handshake import (
    CLIENT,
    SERVER,
    AuthenticationError,
    Deadline,
    checked_key,
    greet,
    new_arena,
    receive_arena,
    send_arena,
)
from ferropickle._native import Arena, Link, Policy

if TYPE_CHECKING:
    from ssl import SSLContext
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

HANDSHAKE_S = 10.0
"""How long a handshake may take before the other end counts as none of ours."""


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
        arena = new_arena(capacity)
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
        where = resolve(address)
        deadline = Deadline(timeout)
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left())
            sock.connect(where.target)
            if timeout is None:
                deadline = Deadline(HANDSHAKE_S)
            sock.settimeout(deadline.left())
            tune(sock, where)
            if tls is not None:
                name = server_hostname or (where.host if tls.check_hostname else None)
                sock = wrap(sock, where, tls, server_side=False, server_hostname=name)
            greet(sock, deadline, authkey, CLIENT)
            arena = receive_arena(sock, where, deadline)
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
        self._where = where = resolve(address)
        self._authkey = checked_key(authkey)
        self._tls = tls
        self._capacity = capacity
        self._file: tuple[int, int] | None = None
        if where.host is None and tls is not None:
            raise ValueError("tls: a unix socket needs none; it is for TCP")
        if where.host is not None and authkey is None and not asks_for_certificates(tls):
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
        remove_abandoned(path)
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
            deadline = Deadline(HANDSHAKE_S)
            sock.settimeout(deadline.left())
            tune(sock, self._where)
            if self._tls is not None:
                sock = wrap(sock, self._where, self._tls, server_side=True)
            greet(sock, deadline, self._authkey, SERVER)
            arena = send_arena(sock, self._where, deadline, self._capacity)
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


def _link(sock: socket.socket, arena: Arena | None) -> _Link:
    if hasattr(sock, "pending"):
        from ferropickle._tls import TlsLink

        return TlsLink(sock)
    # The link asks for no more than there is, whatever the flags; they are put back for others.
    sock.setblocking(True)
    return Link(sock.detach(), arena)
