"""Objects of which a process keeps one, however often it is loaded: kernels are dear to make.

In stock form: the cache is a `WeakValueDictionary` in the module of `_forms.shared`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import SHARED, Call, attribute, module

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Where the cache is, part of the streams: never renamed.
_CACHE = "_once"


def once(obj: object, make: Call, policy: Any = None, key: str | None = None) -> ReduceValue:
    """The reduce value for an object that a process makes once, and keeps while it is used.

    key: what tells the object from others, such as a digest. Without one it is the digest of what
        the object is made of, taken at its first dump; it stays the same wherever the object is
        sent from.
    """
    here = vars(sys.modules.setdefault(SHARED, types.ModuleType(SHARED)))
    cache = here.setdefault(_CACHE, weakref.WeakValueDictionary())
    if id(obj) in _in_progress():
        key = "the object that the digest is of"
    else:
        if key is None:
            key = next((known for known, kept in list(cache.items()) if kept is obj), None)
        if key is None:
            key = _digest(obj, make, policy)
        cache.setdefault(key, obj)
    modules = attribute(module("sys"), "modules")
    holder = Call(dict.setdefault, modules, SHARED, Call(types.ModuleType, SHARED))
    there = Call(
        dict.setdefault,
        attribute(holder, "__dict__"),
        _CACHE,
        Call(weakref.WeakValueDictionary),
    )
    return weakref.WeakValueDictionary.setdefault, (there, key, make)


# Objects of which a thread is taking the digest.
_thread = threading.local()


def _in_progress() -> set[int]:
    found: set[int] = _thread.__dict__.setdefault("objects", set())
    return found


def _digest(obj: object, make: Call, policy: Any) -> str:
    """The digest of the stream of what makes an object, which may have the object in it."""
    from ferropickle import dumps

    _in_progress().add(id(obj))
    try:
        return hashlib.sha256(dumps(make, policy=policy)).hexdigest()
    except Exception:
        # The dump that asks meets the same, and can say where.
        return os.urandom(32).hex()
    finally:
        _in_progress().discard(id(obj))
