"""Generators, coroutines and async generators: only before their first step, or after the last."""

from __future__ import annotations

import functools
import gc
import inspect
import opcode
import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue

_INSTEAD = "pickle a list of its items, or the function and its arguments"


def generator(obj: types.GeneratorType[Any, Any, Any], policy: Any) -> ReduceValue:
    if obj.gi_frame is None:
        # A generator over nothing.
        return Sequence.__iter__, ((),)
    return _call_again(obj, obj.gi_code, obj.gi_frame, obj.gi_running)


def coroutine(obj: types.CoroutineType[Any, Any, Any], policy: Any) -> ReduceValue:
    return _call_again(obj, obj.cr_code, obj.cr_frame, obj.cr_running)


def async_generator(obj: types.AsyncGeneratorType[Any, Any], policy: Any) -> ReduceValue:
    return _call_again(obj, obj.ag_code, obj.ag_frame, obj.ag_running)


def _call_again(
    obj: Any, code: types.CodeType, frame: types.FrameType | None, running: bool
) -> ReduceValue:
    """The call that made the object, as long as none of its code has run."""
    if running or frame is None or not _is_before_start(code, frame.f_lasti):
        refuse(obj, f"it is in the midst of its code; {_INSTEAD}")
    values = frame.f_locals
    positional = code.co_argcount
    keywords = positional + code.co_kwonlyargcount
    names = code.co_varnames
    args = [values[name] for name in names[:positional]]
    kwargs = {name: values[name] for name in names[positional:keywords]}
    if code.co_flags & inspect.CO_VARARGS:
        args += values[names[keywords]]
        keywords += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        kwargs |= values[names[keywords]]
    function = _named_function(obj, code, frame, args) or _function_of(obj, code, frame)
    make: Callable[..., Any] = functools.partial(function, **kwargs) if kwargs else function
    return make, tuple(args)


def _is_before_start(code: types.CodeType, last: int) -> bool:
    if sys.version_info < (3, 11):
        return last == -1
    # The call runs up to here; from 3.13 on the frame is at the instruction that follows.
    made = 2 * code.co_code[::2].index(opcode.opmap["RETURN_GENERATOR"])
    return last <= made + 2


def _named_function(
    obj: Any, code: types.CodeType, frame: types.FrameType, args: list[Any]
) -> Callable[..., Any] | None:
    """The function of this code, found by its names from its globals on.

    A class method is found bound; its class is then taken off the arguments.
    """
    first, *rest = obj.__qualname__.split(".")
    found = frame.f_globals.get(first)
    for name in rest:
        found = inspect.getattr_static(found, name, None)
    if isinstance(found, classmethod):
        found = getattr(args[0], rest[-1], None)
        if getattr(found, "__code__", None) is code:
            del args[0]
    elif isinstance(found, staticmethod):
        found = found.__func__
    return found if getattr(found, "__code__", None) is code else None


def _function_of(obj: Any, code: types.CodeType, frame: types.FrameType) -> types.FunctionType:
    """The function that was called to make the object; on 3.10 one that is like it."""
    if sys.version_info < (3, 11):
        # The cells come last in the frame.
        referents = gc.get_referents(frame)
        cells = tuple(referents[len(referents) - len(code.co_freevars) :])
        return types.FunctionType(code, frame.f_globals, obj.__name__, None, cells)
    # Held by the frame, and found before arguments that might have the same code.
    for found in gc.get_referents(obj):
        if isinstance(found, types.FunctionType) and found.__code__ is code:
            return found
    refuse(obj, f"its function cannot be told; {_INSTEAD}")
