"""Where messages lie on their way: an arena that the processes share, or the message itself.

Arrays on devices may lie there, in memory that the processes map: `_offers.py`.

A lane is inherited by a fork, and goes to other children as a descriptor.
"""

from __future__ import annotations

import os
from multiprocessing import reduction
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ferropickle._native import Arena, DeviceExchange, dumps, loads

if TYPE_CHECKING:
    from ferropickle._native import Policy

TICKET = b"\xfbFT\x01"  # with it a message begins whose arrays lie on devices, in part or all


class Lane:
    """Packs and unpacks messages, in an arena or, without one, in band.

    arena: of the processes that take part; None where they have none.
    """

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena
        self._exchange = DeviceExchange()
        if arena is not None:
            _known[_identity(arena.fd)] = self

    def pack(self, obj: Any, policy: Policy, *, keep: bool = False) -> bytes:
        """The message of an object; what is large lies in the arena if there is room.

        keep: any number of receivers may unpack it, until it is withdrawn.

        Raises what pickling the object raises.
        """
        if self._arena is None:
            return dumps(obj, 5, policy=policy)
        if keep or policy.device == "host" or policy.require_stock:
            return self._arena.pack(obj, policy, keep=keep)
        from ferropickle.multiprocessing import _offers

        _offers.register(self._exchange)
        return self._exchange.pack(obj, self._arena, policy, _offers.address)

    def unpack(self, message: Any) -> Any:
        """The object of a message. Its arrays are views of the arena, theirs alone.

        Raises what loading it raises.
        """
        if self._arena is None:
            return loads(message)
        if message[:4] != TICKET:
            return self._arena.unpack(message)
        from ferropickle.multiprocessing import _offers

        return self._exchange.unpack(message, self._arena, _offers.ask)

    def withdraw(self, message: Any) -> None:
        """A message will not be unpacked any more."""
        if self._arena is None or self._arena.closed:
            return
        if message[:4] == TICKET:
            self._exchange.withdraw(message, self._arena)
        else:
            self._arena.withdraw(message)

    def reclaim(self) -> None:
        """A process has died: free what it held."""
        if self._arena is not None:
            self._arena.reclaim()

    @property
    def used(self) -> int:
        """Bytes in the arena."""
        return 0 if self._arena is None else self._arena.used

    def close(self) -> None:
        """End the use of it here. What was unpacked stays."""
        self._exchange.close()
        if self._arena is not None:
            self._arena.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._arena is None:
            return Lane, (None,)
        return _attach, (reduction.DupFd(self._arena.fd),)


def new_lane() -> Lane:
    """A lane with an arena of its own, or with none where the system gives none."""
    try:
        return Lane(Arena())
    except OSError:
        return IN_BAND


def family() -> Lane:
    """The lane of this process's connections and queues, which its children share."""
    global _family
    if _family is None:
        _family = new_lane()
    return _family


def _forked() -> None:
    """In a forked child: what goes by devices is its own, and no lock of the parent's is in it."""
    for lane in list(_known.values()):
        lane._exchange = DeviceExchange()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _attach(duplicate: Any) -> Lane:
    """The lane of a descriptor that has just arrived."""
    global _family
    descriptor = duplicate.detach()
    try:
        lane = _known.get(_identity(descriptor))
        if lane is None:
            lane = Lane(Arena.attach(descriptor))
    finally:
        os.close(descriptor)
    if _family is None:
        _family = lane
    return lane


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


_known: WeakValueDictionary[tuple[int, int], Lane] = WeakValueDictionary()
_family: Lane | None = None
IN_BAND = Lane(None)
