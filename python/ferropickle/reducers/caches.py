"""Wrappers of `functools`."""

from __future__ import annotations

import functools
import gc
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, call_result, goes_by_value, is_found_by_name

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def lru_cache(obj: Any, policy: Any) -> ReduceValue:
    """A cached function: by name, or around its function, with nothing in the cache."""
    by_name = is_found_by_name(obj) and not goes_by_value(obj.__module__, policy)
    if by_name or not hasattr(obj, "__wrapped__"):
        return NotImplemented
    choices = obj.cache_parameters()
    # Made by `lru_cache` itself, over the choices.
    state = {name: value for name, value in vars(obj).items() if name != "cache_parameters"}
    decorator = Call(functools.lru_cache, choices["maxsize"], choices["typed"])
    return *call_result(decorator, obj.__wrapped__).__reduce__(), state


def partial_method(obj: Any, policy: Any) -> ReduceValue:
    """A partial method: since 3.14 its `__new__` wants the function."""
    make: Any = functools.partialmethod
    return functools.partial(make, obj.func, *obj.args, **obj.keywords), ()


def key_wrapper(obj: Any, policy: Any) -> ReduceValue:
    """What `functools.cmp_to_key` returns, and the keys that it makes."""
    _type, compare, *key = gc.get_referents(obj)
    if not key:
        return functools.cmp_to_key, (compare,)
    return call_result(Call(functools.cmp_to_key, compare), *key).__reduce__()
