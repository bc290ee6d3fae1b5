"""`re.Match` and `struct.Struct`: made again by the call that made them."""

from __future__ import annotations

import itertools
import re
import struct
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def match(obj: re.Match[Any], policy: Any) -> ReduceValue:
    """A match: its pattern finds it again in its string."""
    pattern = obj.re
    args = (pattern, obj.string, obj.pos, obj.endpos)
    for method in (re.Pattern.search, re.Pattern.match, re.Pattern.fullmatch):
        if _is_same(method(*args), obj):
            return method, args
    for number, found in enumerate(re.Pattern.finditer(*args)):
        if _is_same(found, obj):
            return next, (Call(itertools.islice, Call(re.Pattern.finditer, *args), number, None),)
        if found.start() > obj.start():
            break
    refuse(obj, "its pattern does not find it again in its string; pickle its groups")


def compiled_struct(obj: struct.Struct, policy: Any) -> ReduceValue:
    return struct.Struct, (obj.format,)


def _is_same(found: re.Match[Any] | None, obj: re.Match[Any]) -> bool:
    return found is not None and found.regs == obj.regs and found.lastindex == obj.lastindex
