"""Connections whose `send` and `recv` pickle with ferropickle.

The names of `multiprocessing.connection`. On the wire a message is what it is
there: a length and a pickle stream, which a connection of the standard library
reads as well.
"""

from __future__ import annotations

import io
import os
from multiprocessing import connection as _stock
from multiprocessing import reduction
from multiprocessing.connection import (  # type: ignore[attr-defined]
    address_type,
    answer_challenge,
    arbitrary_address,
    deliver_challenge,
    families,
    wait,
)
from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing import _main
from ferropickle.multiprocessing._lane import IN_BAND, Lane, family
from ferropickle.multiprocessing._transport import Packer

if TYPE_CHECKING:
    StockConnection = _stock.Connection[Any, Any]
else:
    StockConnection = _stock.Connection

__all__ = [
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "address_type",
    "answer_challenge",
    "arbitrary_address",
    "deliver_challenge",
    "families",
    "wait",
]

LARGE = 64 * 1024  # from here on memory is read into where it stays


def packer_for(method: str, lane: Lane) -> Packer:
    """The packer of what goes to processes of a start method by a lane."""
    packer = _packers.get((method, lane))
    if packer is None:
        packer = _packers[method, lane] = Packer(lambda: _main.shared(method), lane)
    return packer


_packers: dict[tuple[str, Lane], Packer] = {}


class Connection(StockConnection):
    """`multiprocessing.connection.Connection`, for any object."""

    # The start method of the processes that may hold the other end, and their lane.
    _method = ""
    _lane = IN_BAND

    def send(self, obj: Any) -> None:
        """Send an object.

        Raises what pickling it raises, and OSError if the connection is closed
        or only for reading.
        """
        self._check_closed()  # type: ignore[attr-defined]
        self._check_writable()  # type: ignore[attr-defined]
        message = packer_for(self._method, self._lane).pack(obj)
        self._send_bytes(memoryview(message))  # type: ignore[attr-defined]

    def recv(self) -> Any:
        """Receive an object; blocks until there is one.

        Raises EOFError where nothing is left and the other end is closed, and
        what loading the object raises.
        """
        self._check_closed()  # type: ignore[attr-defined]
        self._check_readable()  # type: ignore[attr-defined]
        return self._lane.unpack(self._recv_bytes().getbuffer())  # type: ignore[attr-defined]

    if os.name == "posix":

        def _recv(self, size: int) -> io.BytesIO:
            """Read as many bytes, large ones with no copy on the way."""
            if size < LARGE:
                return super()._recv(size)  # type: ignore[misc, no-any-return]
            result = io.BytesIO(bytes(size))
            with result.getbuffer() as memory:
                done = 0
                while done < size:
                    count = os.readv(self._handle, [memory[done:]])  # type: ignore[attr-defined]
                    if count == 0:
                        raise OSError("got end of file during message")
                    done += count
            result.seek(size)
            return result


def _reduce(connection: Connection) -> tuple[Any, ...]:
    duplicate = reduction.DupFd(connection.fileno())
    rest = (connection.readable, connection.writable, connection._method, connection._lane)
    return _rebuild, (duplicate, *rest)


def _rebuild(duplicate: Any, readable: bool, writable: bool, method: str, lane: Lane) -> Connection:
    return _made(duplicate.detach(), readable, writable, method, lane)


if os.name == "posix":
    reduction.register(Connection, _reduce)


def _made(handle: int, readable: bool, writable: bool, method: str, lane: Lane) -> Connection:
    connection = Connection(handle, readable, writable)
    connection._method = method
    connection._lane = lane
    return connection


def adopt(connection: Any, method: str = "", lane: Lane = IN_BAND) -> Any:
    """A connection of ours in place of one of the standard library's."""
    if type(connection) is not _stock.Connection:
        return connection  # a named pipe of Windows
    handle, connection._handle = connection._handle, None  # type: ignore[attr-defined]
    return _made(handle, connection.readable, connection.writable, method, lane)


def Pipe(duplex: bool = True, *, method: str = "") -> tuple[Any, Any]:
    """Two connected connections; see `multiprocessing.Pipe`."""
    first, second = _stock.Pipe(duplex)
    lane = family()
    return adopt(first, method, lane), adopt(second, method, lane)


class Listener(_stock.Listener):
    """`multiprocessing.connection.Listener`, whose connections are ours."""

    def accept(self) -> Any:
        """Accept a connection, authenticated before anything is unpickled."""
        return adopt(super().accept())


def Client(address: Any, family: str | None = None, authkey: bytes | None = None) -> Any:
    """Connect to a `Listener`; see `multiprocessing.connection.Client`."""
    return adopt(_stock.Client(address, family, authkey))
