"""Addresses of channels, and sockets at them."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSocket

Address: TypeAlias = str | os.PathLike[str] | tuple[str, int]


class Where(NamedTuple):
    """An address as a socket takes it; `host` is None for a unix socket."""

    family: socket.AddressFamily
    target: Any
    host: str | None


def resolve(address: Address) -> Where:
    if isinstance(address, tuple):
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, target = found[0]
        return Where(family, target, host)
    return Where(socket.AF_UNIX, os.fspath(address), None)


def tune(sock: socket.socket, where: Where) -> None:
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


def wrap(
    sock: socket.socket,
    where: Where,
    tls: SSLContext,
    *,
    server_side: bool,
    server_hostname: str | None = None,
) -> SSLSocket:
    if where.host is None:
        raise ValueError("tls: a unix socket needs none; it is for TCP")
    return tls.wrap_socket(sock, server_side=server_side, server_hostname=server_hostname)


def asks_for_certificates(tls: SSLContext | None) -> bool:
    if tls is None:
        return False
    from ssl import CERT_REQUIRED

    return tls.verify_mode == CERT_REQUIRED


def remove_abandoned(path: str) -> None:
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
