"""Waiting for workers: what they send, and their end."""

from __future__ import annotations

import select
import socket
from multiprocessing import connection
from typing import Any

from ferropickle.multiprocessing._member import Member


class Watch:
    """Waits for some workers at once, and for a byte on `wake`."""

    def __init__(self, wake: socket.socket) -> None:
        self._wake = wake
        self._members: dict[int, Member] = {}  # by descriptor: of the channel, and the sentinel
        self._poll: Any = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(wake.fileno(), select.POLLIN)

    def add(self, member: Member) -> None:
        for descriptor in (member.descriptor, member.process.sentinel):
            self._members[descriptor] = member
            if self._poll is not None:
                self._poll.register(descriptor, select.POLLIN)

    def remove(self, member: Member) -> None:
        for descriptor in [d for d, known in self._members.items() if known is member]:
            del self._members[descriptor]
            if self._poll is not None:
                self._poll.unregister(descriptor)

    def wait(self, timeout: float) -> list[tuple[Member, bool]] | None:
        """The workers that have sent something (True) or ended (False); None if none in time."""
        if self._poll is not None:
            ready = [descriptor for descriptor, _ in self._poll.poll(timeout * 1000)]
        else:
            everything: list[Any] = [self._wake.fileno(), *self._members]
            ready = connection.wait(everything, timeout)
        if not ready:
            return None
        if self._wake.fileno() in ready:
            self._wake.recv(4096)
        found = [(self._members[d], d) for d in ready if d in self._members]
        return [(member, d == member.descriptor) for member, d in found]

    def has_sent(self, member: Member) -> bool:
        """Whether there is something to receive from a worker, be it its end."""
        return bool(connection.wait([member.descriptor], 0))

    def close(self) -> None:
        self._members.clear()
        self._wake.close()
