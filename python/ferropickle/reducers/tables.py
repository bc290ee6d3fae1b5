"""`csv`: dialects, readers and writers."""

from __future__ import annotations

import csv
import functools
import gc
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

_CHOICES = (
    "delimiter",
    "doublequote",
    "escapechar",
    "lineterminator",
    "quotechar",
    "quoting",
    "skipinitialspace",
    "strict",
)


def dialect(obj: Any, policy: Any) -> ReduceValue:
    """What a reader or writer made of the dialect and the keywords given."""
    choices = {name: getattr(obj, name) for name in _CHOICES}
    make: Any = type(obj)
    return functools.partial(make, **choices), ()


def reader(obj: Any, policy: Any) -> ReduceValue:
    """A reader over the rest of its lines. It counts lines from 0 again."""
    dialect, lines, *_ = gc.get_referents(obj)
    return csv.reader, (lines, dialect)


def writer(obj: Any, policy: Any) -> ReduceValue:
    """A writer to its file."""
    dialect, write, *_ = gc.get_referents(obj)
    file = getattr(write, "__self__", None)
    if file is None or getattr(file, "write", None) != write:
        file = types.SimpleNamespace(write=write)
    return csv.writer, (file, dialect)
