"""`typing.Tuple[()]` of Python 3.10, whose two forms pickle takes for one."""

from __future__ import annotations

import operator
import sys
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


_TUPLE: Any = vars(typing)["Tuple"]  # not the class tuple


def reducers() -> dict[type, Callable[[Any], Any]]:
    """A reducer of generic aliases, where one is needed."""
    if sys.version_info >= (3, 11):
        return {}
    return {type(_TUPLE[int]): _reduce}


def _reduce(alias: Any) -> Any:
    if alias.__origin__ is tuple and alias.__args__ == ():
        return operator.methodcaller("copy_with", ()), (_TUPLE[int],)
    return alias.__reduce__()
