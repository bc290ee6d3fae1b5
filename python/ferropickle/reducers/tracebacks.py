"""Tracebacks: files, functions and lines, as `traceback` and the interpreter print them.

Frames cannot be made, but a generator has one from the start. A generator of
the standard library, under the name and file of the function that failed, is
started by nobody and lends its frame. Local variables are left behind, and so
are the columns of 3.11 and later.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, attribute, call_result, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Of the globals, what `linecache` and `inspect` look for.
_OF_MODULE = ("__name__", "__package__", "__file__")


def traceback(obj: types.TracebackType, policy: Any) -> ReduceValue:
    code = attribute(Sequence.__iter__, "__code__")
    following = obj.tb_next
    return types.TracebackType, (following, _frame(obj.tb_frame, code), -1, obj.tb_lineno)


def frame(obj: types.FrameType, policy: Any) -> ReduceValue:
    refuse(obj, "it is where code is running; pickle a traceback or the variables that matter")


def _frame(frame: types.FrameType, template: Call) -> Call:
    name, file = frame.f_code.co_name, frame.f_code.co_filename
    code = Call(operator.methodcaller("replace", co_name=name, co_filename=file), template)
    namespace = {name: frame.f_globals[name] for name in _OF_MODULE if name in frame.f_globals}
    generator = call_result(Call(types.FunctionType, code, namespace), None)
    return attribute(generator, "gi_frame")
