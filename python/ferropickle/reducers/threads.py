"""Threads that have not started, thread handles, and what belongs to a thread."""

from __future__ import annotations

import functools
import gc
import operator
import threading
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import (
    Call,
    after,
    attribute,
    by_name,
    found_in_modules,
    is_global_by_value,
    refuse,
    shared,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

# What `Thread.__init__` makes for the thread itself, by its name in any version.
_MADE_BY_INIT = frozenset(
    [
        "_handle",
        "_ident",
        "_invoke_excepthook",
        "_native_id",
        "_os_thread_handle",
        "_started",
        "_stderr",
        "_tstate_lock",
    ]
)


def handle(obj: Any, policy: Any) -> ReduceValue:
    """The handle of a thread (3.13): a fresh one, or one of a thread that has ended."""
    if obj.ident:
        # it had a thread, which the copy has not
        make = threading._make_thread_handle  # type: ignore[attr-defined]
        return after(make, (obj.ident,), [Call(operator.methodcaller("_set_done"), obj)])
    return type(obj), ()


def thread(obj: Any, policy: Any) -> ReduceValue:
    """A thread that has not started; the main thread is that of the receiver."""
    if obj is threading.main_thread():
        return threading.main_thread, ()
    if obj.ident is not None:
        if policy is not None and policy.face == "dill":
            return NotImplemented  # its attributes: a thread that has ended
        refuse(
            obj, "the thread has been started; pickle its results, or the arguments for a new one"
        )
    state = {name: value for name, value in vars(obj).items() if name not in _MADE_BY_INIT}
    calls = [
        Call(threading.Thread.__init__, obj),
        Call(dict.update, attribute(obj, "__dict__"), state),
    ]
    return after(object.__new__, (type(obj),), calls)


def local(obj: Any, policy: Any) -> ReduceValue:
    """`threading.local`: empty, as in any new thread.

    One that a module holds stays that one: the same in each load.
    """
    found = found_in_modules(obj, policy)
    if found is not None:
        return by_name(*found)
    # The class calls `__init__` with these in each thread; the third referent
    # is the keywords if there were any, else of the threads themselves.
    _type, args, *others = gc.get_referents(obj)
    make: Callable[..., Any] = type(obj)
    if others and type(others[0]) is dict and all(type(key) is str for key in others[0]):
        make = functools.partial(make, **others[0])
    if is_global_by_value(obj, policy):
        return shared(obj, Call(make, *args))
    return make, args
