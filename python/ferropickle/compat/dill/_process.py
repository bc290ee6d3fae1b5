"""Objects that belong to this process: capsules and frames, as dill has them.

A capsule of a C module goes by its name, which is that of an attribute. Any
other is good for this process alone, where it comes back as itself; it is kept
from the time that it is pickled.
"""

from __future__ import annotations

import datetime
import importlib
import os
import re
import secrets
import types
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.compat.dill._errors import PicklingWarning, UnpicklingError
from ferropickle.reducers._forms import by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

_CAPSULE_TYPE: Any = type(vars(datetime)["datetime_CAPI"])

# What no other process has, not even one that was forked off this one.
_TOKEN = secrets.token_hex(8)
_kept: dict[int, Any] = {}


def reducers() -> dict[type, Callable[[Any], Any]]:
    """Reducers of the types of such objects."""
    return {_CAPSULE_TYPE: _reduce_capsule, types.FrameType: _refuse_frame}


def _refuse_frame(frame: Any) -> NoReturn:
    raise TypeError("cannot pickle 'frame' object")


def _reduce_capsule(capsule: Any) -> ReduceValue:
    told = re.match(r'<capsule object "(.*)" at ', repr(capsule))
    name = told[1] if told else ""
    if _named(name) is capsule:
        module_name, _, attribute = name.rpartition(".")
        return by_name(module_name, attribute)
    warnings.warn(
        f"{capsule!r} has no name that leads to it: it can be loaded in this process only",
        PicklingWarning,
        stacklevel=2,
    )
    _kept[id(capsule)] = capsule
    return _capsule, (name, _process(), id(capsule))


def _process() -> str:
    return f"{os.getpid()}-{_TOKEN}"


_NOTHING = object()


def _named(name: str) -> Any:
    """What a dotted name leads to; `_NOTHING` if nothing has it."""
    module_name, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), attribute, _NOTHING)
    except (ImportError, ValueError):
        return _NOTHING


# In streams: this name stays.
def _capsule(name: str, process: str, number: int) -> Any:
    """The capsule of that name, or in the process that pickled it that one.

    Raises UnpicklingError where there is neither, or something else has the name.
    """
    found = _named(name)
    if isinstance(found, _CAPSULE_TYPE):
        return found
    if found is _NOTHING and process == _process() and number in _kept:
        return _kept[number]
    raise UnpicklingError(f"no capsule has the name {name!r} here")
