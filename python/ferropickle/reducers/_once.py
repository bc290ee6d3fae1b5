"""Objects of which a process keeps one, however often it is loaded: kernels are dear to make.

In stock form: the cache is a `WeakValueDictionary` in the module of `_forms.shared`.
"""

from __future__ import annotations

import os
import sys
import types
import weakref
from typing import TYPE_CHECKING

from ferropickle.reducers._forms import SHARED, Call, attribute, module

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Where the cache is, part of the streams: never renamed.
_CACHE = "_once"


def once(obj: object, make: Call, key: str | None = None) -> ReduceValue:
    """The reduce value for an object that a process makes once, and keeps while it is used.

    key: what tells the object from others, such as a digest. Without one the first dump of the
        object makes it up, and it stays the same wherever the object is sent from.
    """
    here = vars(sys.modules.setdefault(SHARED, types.ModuleType(SHARED)))
    cache = here.setdefault(_CACHE, weakref.WeakValueDictionary())
    if key is None:
        key = next((known for known, kept in list(cache.items()) if kept is obj), None)
        key = key or os.urandom(16).hex()
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
