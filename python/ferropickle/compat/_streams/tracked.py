"""Classes and type variables that streams of cloudpickle know by an id.

One id stands for one class in this process, however many streams bring it, so
`isinstance` holds between objects of several loads. A class that an earlier
stream has filled is live, and left alone by the later ones.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

_lock = threading.Lock()
_by_id: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
# By address, as a metaclass may make its classes unhashable.
_live: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def lookup_or_track(tracker_id: str | None, made: Any) -> Any:
    """Return what the id stands for: `made`, if the id is new or None."""
    if tracker_id is None:
        return made
    with _lock:
        return _by_id.setdefault(tracker_id, made)


def is_live(cls: type) -> bool:
    """Return whether a stream has already given the class its attributes."""
    return _live.get(id(cls)) is cls


def set_live(cls: type) -> None:
    """Note that a class has all of its attributes."""
    _live[id(cls)] = cls
