"""Objects to messages and back: the one place that pickles.

Registered reducers go first, as in `multiprocessing.reduction.ForkingPickler`: connections,
sockets and locks travel as they do there.
"""

from __future__ import annotations

import array
import functools
from multiprocessing.reduction import ForkingPickler
from types import BuiltinMethodType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any

from ferropickle._native import Policy, current_policy, dumps, loads
from ferropickle.multiprocessing import _main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pickle import PickleBuffer

Segments = list[Any]  # a stream, and buffers beside it: bytes-like objects

SMALL_BUFFER = 16 * 1024  # below this many bytes a buffer goes in the stream
MOST_BUFFERS = 512  # more go in the stream

# What the standard library registers for types that we write better.
_OURS = frozenset(
    {
        MethodType,
        BuiltinMethodType,
        MethodDescriptorType,
        WrapperDescriptorType,
        functools.partial,
        array.array,
        type({}.keys()),
        type({}.values()),
        type({}.items()),
    }
)

# What holds no other object.
_LEAVES = frozenset({int, float, bool, str, bytes, type(None)})

_seen: dict[type, Any] = {}
_reducers: dict[type, Any] = {}


def registered() -> dict[type, Any]:
    """The reducers that go first. The same dict as long as none is registered anew."""
    global _seen, _reducers
    current: dict[type, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    if current != _seen:
        _seen = dict(current)
        _reducers = {kind: reduce for kind, reduce in _seen.items() if kind not in _OURS}
    return _reducers


class Packer:
    """Writes what the processes of one context or pool send each other.

    names: gives the names of `__main__` that the receivers have.
    """

    def __init__(self, names: Callable[[], _main.Names]) -> None:
        self._names = names
        self._made_for: tuple[Any, ...] = ()
        self._policy: Policy | None = None

    def policy(self, base: Policy | None = None) -> Policy:
        """The policy in effect, or `base`, with the reducers and names of this packer."""
        base = base or current_policy.get(None)
        reducers, names = registered(), self._names()
        if self._policy is not None:
            known_base, known_reducers, known_names = self._made_for
            if known_base is base and known_reducers is reducers and known_names == names:
                return self._policy
        choices = (base or Policy())._choices()
        own = choices["reducers"]
        choices["reducers"] = {**reducers, **own} if own else reducers
        if choices["main"] == "value":
            choices["main"] = names
        made = Policy(**choices)
        self._made_for, self._policy = (base, reducers, names), made
        return made

    def pack(self, obj: Any, base: Policy | None = None) -> bytes:
        """One message.

        Raises what pickling the object raises.
        """
        return dumps(obj, 5, policy=self.policy(base))

    def pack_segments(self, obj: Any, base: Policy | None = None) -> Segments:
        """A message whose large buffers are views of the object's own memory."""
        if type(obj) in _LEAVES:
            return [dumps(obj, 5)]
        segments: Segments = [b""]

        def beside(buffer: PickleBuffer) -> bool:
            """Whether a buffer goes in the stream; keeps the others."""
            raw = buffer.raw()
            if raw.nbytes < SMALL_BUFFER or len(segments) > MOST_BUFFERS:
                return True
            segments.append(raw)
            return False

        segments[0] = dumps(obj, 5, buffer_callback=beside, policy=self.policy(base))
        return segments


def unpack(message: Any) -> Any:
    """The object of a message."""
    return loads(message)


def unpack_segments(segments: Iterable[Any]) -> Any:
    """The object of segments; it keeps the memory of the buffers."""
    stream, *buffers = segments
    return loads(stream, buffers=buffers)
