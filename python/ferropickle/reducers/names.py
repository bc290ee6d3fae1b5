"""Objects that are known by where they are: sentinels, tables of `sys`, types without a name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import by_name, found_in_modules, is_found_by_name

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Modules that offer the types of the interpreter under names of their own.
_TYPE_MODULES = ("types", "_collections_abc", "weakref", "_thread", "functools", "ctypes")


def sentinel(obj: object, policy: Any) -> ReduceValue:
    """An `object()`, or one of `dataclasses`: the module's own, if a module holds it."""
    found = found_in_modules(obj, policy)
    return NotImplemented if found is None else by_name(*found)


def table_of_sys(obj: object, policy: Any) -> ReduceValue:
    """`sys.version_info` and its like, each the only one of its type."""
    name = type(obj).__name__
    return by_name("sys", name) if getattr(sys, name, None) is obj else NotImplemented


def type_without_name(cls: type, policy: Any) -> ReduceValue:
    """A type of the interpreter that is not where it says, such as `types.FunctionType`."""
    if is_found_by_name(cls):
        return NotImplemented
    for module in _TYPE_MODULES:
        for name, value in list(vars(sys.modules.get(module, sys)).items()):
            if value is cls:
                return by_name(module, name)
    instance = getattr(sys, cls.__name__, None)
    if type(instance) is cls:
        return type, (instance,)
    return NotImplemented
