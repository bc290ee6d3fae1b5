"""The functions that streams of cloudpickle 1.5 to 3 call, by the names that they use.

A function's stream makes it with empty cells and a bare globals dict, memoizes
it, and then hands its parts to a state setter; a class's does likewise.
"""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import sys
import types
import typing
from collections import OrderedDict
from pickle import UnpicklingError
from typing import Any

from ferropickle.compat._streams.tracked import is_live, lookup_or_track, set_live

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from enum import EnumMeta


# Stands for the contents of an empty cell.
_empty_cell_value = object()


def _make_cell(value: Any = _empty_cell_value) -> types.CellType:
    return types.CellType() if value is _empty_cell_value else types.CellType(value)


def _make_empty_cell() -> types.CellType:
    return types.CellType()


def _set_cell(cell: types.CellType, value: Any) -> None:
    cell.cell_contents = value


def _make_function(
    code: types.CodeType,
    namespace: dict[str, Any],
    name: str | None,
    defaults: tuple[Any, ...] | None,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    namespace["__builtins__"] = builtins.__dict__
    return types.FunctionType(code, namespace, name, defaults, closure)


def _make_skel_func(
    code: types.CodeType, cell_count: int, base_globals: dict[str, Any] | str | None = None
) -> types.FunctionType:
    """A function to be filled; before 1.0 the globals could be a module's name."""
    namespace = base_globals if isinstance(base_globals, dict) else {}
    closure = None if cell_count < 0 else tuple(types.CellType() for _ in range(cell_count))
    return _make_function(code, namespace, None, None, closure)


# What `_fill_function` takes, by the number of its arguments after the function.
_FILL_KEYS = {
    4: ("globals", "defaults", "dict", "closure_values"),
    5: ("globals", "defaults", "dict", "module", "closure_values"),
}
_FILL_ATTRIBUTES = {
    "annotations": "__annotations__",
    "doc": "__doc__",
    "kwdefaults": "__kwdefaults__",
    "module": "__module__",
    "name": "__name__",
    "qualname": "__qualname__",
}


def _fill_function(func: types.FunctionType, *parts: Any) -> types.FunctionType:
    """Give a function made by `_make_skel_func` its parts: a dict, or one by one."""
    if len(parts) == 1:
        state = parts[0]
    elif len(parts) in _FILL_KEYS:
        state = dict(zip(_FILL_KEYS[len(parts)], parts, strict=True))
    else:
        raise UnpicklingError(f"_fill_function was called with {1 + len(parts)} arguments")
    func.__globals__.update(state["globals"])
    func.__defaults__ = state["defaults"]
    func.__dict__ = state["dict"]
    for key, attribute in _FILL_ATTRIBUTES.items():
        if key in state:
            setattr(func, attribute, state[key])
    for cell, value in zip(func.__closure__ or (), state["closure_values"] or (), strict=False):
        if value is not _empty_cell_value:
            cell.cell_contents = value
    return func


def _function_setstate(
    func: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Give a function made by `_make_function` its attributes, globals and cells."""
    attributes, parts = state
    func.__dict__.update(attributes)
    func.__globals__.update(parts["__globals__"])
    func.__globals__["__builtins__"] = builtins.__dict__
    for cell, filled in zip(func.__closure__ or (), parts["__closure__"] or (), strict=False):
        try:
            cell.cell_contents = filled.cell_contents
        except ValueError:
            continue  # the cell was empty when it was pickled
    # The submodules are there only to be imported: their loading has done that.
    apart = {"__globals__", "__closure__", "_cloudpickle_submodules"}
    for name, value in parts.items():
        if name not in apart:
            setattr(func, name, value)


def _make_skeleton_class(
    metaclass: type,
    name: str,
    bases: tuple[Any, ...],
    namespace: Mapping[str, Any],
    tracker_id: str | None,
    _extra: object,
) -> Any:
    """The class that the id stands for; a new one has only `namespace`."""

    def fill(target: dict[str, Any]) -> None:
        target.update((sys.intern(key), value) for key, value in namespace.items())

    made = types.new_class(name, bases, {"metaclass": metaclass}, fill)
    return lookup_or_track(tracker_id, made)


def _make_skeleton_enum(
    bases: tuple[type, ...],
    name: str,
    qualname: str,
    members: Mapping[str, Any],
    module: str,
    tracker_id: str | None,
    _extra: object,
) -> Any:
    """The enum that the id stands for; a new one has only its members."""
    # An enum's last base is an enum.
    metaclass: type[EnumMeta] = type(bases[-1])  # type: ignore[assignment]
    namespace = metaclass.__prepare__(name, bases)
    for member, value in members.items():
        namespace[member] = value
    made = metaclass.__new__(metaclass, name, bases, namespace)
    made.__module__ = module
    made.__qualname__ = qualname
    return lookup_or_track(tracker_id, made)


def _set_class_attributes(cls: type, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        if name != "_abc_impl":
            setattr(cls, name, value)
    if "__firstlineno__" in attributes:
        # Setting `__module__` has dropped it (3.13).
        type.__setattr__(cls, "__firstlineno__", attributes["__firstlineno__"])
    for subclass in attributes.get("_abc_impl", ()):
        cls.register(subclass)  # type: ignore[attr-defined]


def _class_setstate(cls: type, state: tuple[dict[str, Any], Any]) -> type:
    """Give a class its attributes, unless it is live: an earlier stream brought it."""
    if not is_live(cls):
        _set_class_attributes(cls, state[0])
        set_live(cls)
    return cls


def _rehydrate_skeleton_class(cls: type, attributes: dict[str, Any]) -> type:
    return _class_setstate(cls, (attributes, None))


def _make_typevar(
    name: str,
    bound: Any,
    constraints: tuple[Any, ...],
    covariant: bool,
    contravariant: bool,
    tracker_id: str | None,
) -> Any:
    flags = {"covariant": covariant, "contravariant": contravariant}
    made = typing.TypeVar(name, *constraints, bound=bound, **flags)  # type: ignore[misc]
    return lookup_or_track(tracker_id, made)


def _create_parametrized_type_hint(origin: Any, args: Any) -> Any:
    return origin[args]


def _get_bases(cls: type) -> tuple[Any, ...]:
    bases: tuple[Any, ...] = vars(cls).get("__orig_bases__", cls.__bases__)
    return bases


def _make_dict_keys(keys: Iterable[Any], ordered: bool = False) -> Any:
    return (OrderedDict if ordered else dict).fromkeys(keys).keys()


def _make_dict_values(values: Iterable[Any], ordered: bool = False) -> Any:
    return (OrderedDict if ordered else dict)(enumerate(values)).values()


def _make_dict_items(items: dict[Any, Any], ordered: bool = False) -> Any:
    return (OrderedDict(items) if ordered else items).items()


def _builtin_type(name: str) -> Any:
    """A type of the module `types`; `ClassType` is Python 2's."""
    return type if name == "ClassType" else getattr(types, name)


def _field_kind(name: str) -> Any:
    """The mark by which `dataclasses` tells the kinds of fields apart."""
    return vars(dataclasses)[name]


def _same(value: Any) -> Any:
    return value


def _rebuild_tornado_coroutine(func: Any) -> Any:
    return importlib.import_module("tornado.gen").coroutine(func)


def subimport(name: str) -> types.ModuleType:
    """The module of that name."""
    return importlib.import_module(name)


def _module_or_face(name: str) -> types.ModuleType:
    """As `subimport`; the face of cloudpickle where that is not installed."""
    try:
        return subimport(name)
    except ModuleNotFoundError as error:
        if error.name != "cloudpickle":
            raise
        return subimport("ferropickle.compat.cloudpickle")


def dynamic_subimport(name: str, vars: dict[str, Any]) -> types.ModuleType:
    """A module that is in no file, made of its names."""
    module = types.ModuleType(name)
    module.__dict__.update(vars)
    module.__dict__["__builtins__"] = builtins.__dict__
    return module


NAMES: dict[str, Any] = {
    "CellType": types.CellType,
    "_builtin_type": _builtin_type,
    "_class_setstate": _class_setstate,
    "_create_parametrized_type_hint": _create_parametrized_type_hint,
    "_empty_cell_value": _empty_cell_value,
    "_file_reconstructor": _same,
    "_fill_function": _fill_function,
    "_function_setstate": _function_setstate,
    "_gen_ellipsis": lambda: Ellipsis,
    "_gen_not_implemented": lambda: NotImplemented,
    "_get_bases": _get_bases,
    "_get_dataclass_field_type_sentinel": _field_kind,
    "_lookup_class_or_track": lookup_or_track,
    "_make_cell": _make_cell,
    "_make_dict_items": _make_dict_items,
    "_make_dict_keys": _make_dict_keys,
    "_make_dict_values": _make_dict_values,
    "_make_empty_cell": _make_empty_cell,
    "_make_function": _make_function,
    "_make_skel_func": _make_skel_func,
    "_make_skeleton_class": _make_skeleton_class,
    "_make_skeleton_enum": _make_skeleton_enum,
    "_make_typevar": _make_typevar,
    "_rebuild_tornado_coroutine": _rebuild_tornado_coroutine,
    "_rehydrate_skeleton_class": _rehydrate_skeleton_class,
    "cell_set": _set_cell,
    "dynamic_subimport": dynamic_subimport,
    "subimport": _module_or_face,
}
