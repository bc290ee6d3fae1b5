"""`logging`: handlers, and loggers that `getLogger` does not know.

Other loggers are the receiver's own, by name, as the standard library has it.
"""

from __future__ import annotations

import copyreg
import logging
import operator
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def logger(obj: logging.Logger, policy: Any) -> ReduceValue:
    """By name, unless it was made apart from the others: then with all that it has."""
    if obj is obj.root or obj.manager.loggerDict.get(obj.name) is obj:
        return NotImplemented
    state = {**vars(obj), "_cache": {}}
    return copyreg.__newobj__, (type(obj),), state  # type: ignore[attr-defined]


def handler(obj: logging.Handler, policy: Any) -> ReduceValue:
    """A handler as `__init__` leaves one: flushed at exit, its lock made anew in a fork.

    Connections are made again when there is something to send.
    """
    state = dict(vars(obj))
    if hasattr(obj, "createSocket"):
        state.update({name: None for name in ("sock", "socket") if name in state})
    calls = [
        Call(operator.methodcaller("createLock"), obj),
        Call(dict.update, attribute(obj, "__dict__"), state),
        Call(logging._addHandlerRef, obj),  # type: ignore[attr-defined]
    ]
    return after(object.__new__, (type(obj),), calls)
