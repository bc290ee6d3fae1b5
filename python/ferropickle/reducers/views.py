"""Views of mappings, linked to the mapping that goes along."""

from __future__ import annotations

import collections
import gc
import types
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferropickle.reducers._forms import ReduceValue

_DESCRIPTORS: tuple[type, ...] = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def dict_keys(obj: Any, policy: Any) -> ReduceValue:
    return dict.keys, (_mapping(obj),)


def dict_values(obj: Any, policy: Any) -> ReduceValue:
    return dict.values, (_mapping(obj),)


def dict_items(obj: Any, policy: Any) -> ReduceValue:
    return dict.items, (_mapping(obj),)


def odict_keys(obj: Any, policy: Any) -> ReduceValue:
    return collections.OrderedDict.keys, (_mapping(obj),)


def odict_values(obj: Any, policy: Any) -> ReduceValue:
    return collections.OrderedDict.values, (_mapping(obj),)


def odict_items(obj: Any, policy: Any) -> ReduceValue:
    return collections.OrderedDict.items, (_mapping(obj),)


def mapping_proxy(obj: Any, policy: Any) -> ReduceValue:
    mapping = _mapping(obj)
    if type(mapping) is dict and "__doc__" in mapping:
        owner = _class_of_namespace(mapping)
        if owner is not None:
            return getattr, (owner, "__dict__")
    return types.MappingProxyType, (mapping,)


def _mapping(view: Any) -> Any:
    """The mapping itself; `view.mapping` would be a proxy of it."""
    referents = gc.get_referents(view)
    if len(referents) != 1:
        refuse(view, "its mapping cannot be told; pickle the mapping, or a list of the view")
    return referents[0]


def _class_of_namespace(mapping: dict[str, Any]) -> type | None:
    """The class whose `__dict__` this is, if it is one."""
    for candidate in _owners(mapping):
        if isinstance(candidate, type) and any(
            found is mapping
            for found in gc.get_referents(type.__dict__["__dict__"].__get__(candidate))
        ):
            return candidate
    return None


def _owners(mapping: dict[str, Any]) -> Iterator[object]:
    # Descriptors written in C name their class; built-in classes have some,
    # and hold their namespace where the collector does not see it.
    for value in list(mapping.values()):
        if isinstance(value, _DESCRIPTORS):
            owner: object = value.__objclass__  # type: ignore[attr-defined]
            yield owner
    yield from gc.get_referrers(mapping)
