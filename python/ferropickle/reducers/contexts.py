"""Context variables, which keep their identity in a process, and contexts, with their values."""

from __future__ import annotations

import contextvars
import functools
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, by_name, found_in_modules, refuse, shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue


def variable(obj: Any, policy: Any) -> ReduceValue:
    """By the name that a module has for it, else shared. Its value is not part of it."""
    found = found_in_modules(obj, policy)
    if found is not None:
        return by_name(*found)
    make: Callable[..., Any] = contextvars.ContextVar
    try:
        # Nothing is set in a new context, so this is the default.
        default = contextvars.Context().run(obj.get)
    except LookupError:
        pass
    else:
        make = functools.partial(make, default=default)
    return shared(obj, Call(make, obj.name))


def context(obj: Any, policy: Any) -> ReduceValue:
    """A context with all that is set in it."""
    calls = [
        Call(contextvars.Context.run, obj, contextvars.ContextVar.set, variable, value)
        for variable, value in obj.items()
    ]
    return after(contextvars.Context, (), calls)


def missing(obj: Any, policy: Any) -> ReduceValue:
    """`contextvars.Token.MISSING`, of which there is one."""
    return by_name("contextvars", "Token.MISSING")


def token(obj: Any, policy: Any) -> ReduceValue:
    refuse(obj, "it resets a variable where it was set and nowhere else; pickle token.old_value")
