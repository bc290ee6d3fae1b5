"""`hashlib` objects. OpenSSL does not give their state away: only a fresh one can be written."""

from __future__ import annotations

import hashlib
import operator
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import module, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def hash_object(obj: Any, policy: Any) -> ReduceValue:
    """A hash that nothing has been fed to, and that has no key or other parameters."""
    choices: dict[str, Any] = {}
    fresh = hashlib.new(obj.name)
    if fresh.digest_size != obj.digest_size:
        choices["digest_size"] = obj.digest_size
        fresh = hashlib.new(obj.name, **choices)
    if _digest(fresh) == _digest(obj):
        # The function has another name than the one that `hashlib` has for it.
        return operator.methodcaller("new", obj.name, **choices), (module("hashlib"),)
    refuse(obj, "its state cannot be read; pickle its digest(), or the data that goes in")


def _digest(obj: Any) -> bytes:
    digest: bytes = obj.digest() if obj.digest_size else obj.digest(32)
    return digest
