"""Objects to messages: the one place that pickles.

Registered reducers go first, as in `multiprocessing.reduction.ForkingPickler`: connections,
sockets and locks travel as they do there.
"""

from __future__ import annotations

import array
import functools
from multiprocessing.reduction import ForkingPickler
from types import BuiltinMethodType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any

from ferropickle._native import Policy, current_policy, dumps
from ferropickle.multiprocessing import _main
from ferropickle.multiprocessing._lane import IN_BAND, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

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

# What holds no other object and no large memory.
_LEAVES = frozenset({int, float, bool, type(None)})

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

    names: gives the names of `__main__` that the receivers have. lane: where
    the messages lie.
    """

    def __init__(self, names: Callable[[], _main.Names], lane: Lane = IN_BAND) -> None:
        self._names = names
        self.lane = lane
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

    def pack(self, obj: Any, base: Policy | None = None, *, keep: bool = False) -> bytes:
        """One message; keep: for any number of receivers, until it is withdrawn.

        Raises what pickling the object raises.
        """
        if type(obj) in _LEAVES:
            return dumps(obj, 5)
        return self.lane.pack(obj, self.policy(base), keep=keep)
