"""Exceptions, with causes, contexts, notes and groups; they load whatever their `__init__` takes.

A class that has Python code in its making is not called: the object is made as
`BaseException` makes it, and given the attributes that it had. The traceback
is left behind unless the policy says `tracebacks="keep"`.
"""

from __future__ import annotations

import builtins
import copyreg
import types
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, attribute

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

_C_METHODS: tuple[type, ...] = (types.MethodDescriptorType, types.WrapperDescriptorType, type(None))
_C_FIELDS: tuple[type, ...] = (types.MemberDescriptorType, types.GetSetDescriptorType)
# Read elsewhere, or, for `obj`, left behind as the standard library does.
_NOT_FIELDS = frozenset(["args", "obj", "message", "exceptions"])
# Marks a field that has no value.
_UNSET = object()
_GROUP = getattr(builtins, "BaseExceptionGroup", None)  # of 3.11
_GROUPS: tuple[type, ...] = (_GROUP,) if _GROUP else ()


def exception(obj: BaseException, policy: Any) -> ReduceValue:
    cls = type(obj)
    related = _related(obj, getattr(policy, "tracebacks", "drop") == "keep")
    if _reduces_itself(cls):
        return _with_state(obj.__reduce_ex__(4), related)
    if _is_made_in_c(cls) and all(arg is not obj for arg in obj.args):
        if not related:
            return NotImplemented
        return _with_state(obj.__reduce_ex__(4), related)
    return _made_anew(obj, related)


def _related(obj: BaseException, with_traceback: bool) -> dict[str, Any]:
    """What stock pickle leaves behind, in the order in which it is to be set."""
    related: dict[str, Any] = {}
    if obj.__cause__ is not None:
        related["__cause__"] = obj.__cause__
    if obj.__context__ is not None:
        related["__context__"] = obj.__context__
    # Setting a cause sets it.
    if obj.__suppress_context__ or "__cause__" in related:
        related["__suppress_context__"] = obj.__suppress_context__
    if with_traceback and obj.__traceback__ is not None:
        related["__traceback__"] = obj.__traceback__
    return related


def _reduces_itself(cls: type) -> bool:
    return any(
        not isinstance(getattr(cls, name, None), _C_METHODS)
        for name in ("__reduce_ex__", "__reduce__", "__getstate__")
    )


def _is_made_in_c(cls: type) -> bool:
    """Whether calling the class with `args` makes it, and `setattr` gives it its state."""
    return (
        not issubclass(cls, _GROUPS)
        and isinstance(cls.__new__, types.BuiltinFunctionType)
        and isinstance(cls.__init__, types.WrapperDescriptorType)
        and isinstance(cls.__setattr__, types.WrapperDescriptorType)
        and isinstance(getattr(cls, "__setstate__", None), _C_METHODS)
        and not copyreg._slotnames(cls)  # type: ignore[attr-defined]
    )


def _with_state(value: Any, related: dict[str, Any]) -> ReduceValue:
    """A reduce value with more in its state, if the state is one that an exception takes."""
    if not isinstance(value, tuple):
        return value
    function, args, *rest = value
    state = rest[0] if rest else None
    if not related or not (state is None or type(state) is dict) or any(rest[1:]):
        return value
    return function, args, {**(state or {}), **related}


def _made_anew(obj: BaseException, related: dict[str, Any]) -> ReduceValue:
    """The exception made by the base that is written in C, then given what it had."""
    cls = type(obj)
    new = _new_in_c(cls)
    # A tuple: a list would be empty still where an exception leads back to its group.
    args = (obj.message, tuple(obj.exceptions)) if isinstance(obj, _GROUPS) else ()  # type: ignore[attr-defined]
    try:
        fresh = new(cls, *args)
    except TypeError:
        # Of an extension module, which wants arguments; then these.
        args = obj.args
        fresh = new(cls, *args)
    fields = {**_fields(obj, fresh), **related}
    if obj.args != fresh.args:
        fields["args"] = obj.args
    attributes = dict(vars(obj))
    make = copyreg.__newobj__ if cls.__new__ is new else new  # type: ignore[attr-defined]
    if _sets_plainly(cls, attributes):
        state = {**attributes, **fields}
        return (make, (cls, *args), state) if state else (make, (cls, *args))
    calls = [Call(BaseException.__setattr__, obj, name, value) for name, value in fields.items()]
    if attributes:
        calls.append(Call(dict.update, attribute(obj, "__dict__"), attributes))
    return after(make, (cls, *args), calls)


def _new_in_c(cls: type) -> Any:
    for base in cls.__mro__:
        new = vars(base).get("__new__")
        if isinstance(new, types.BuiltinFunctionType):
            return new
    raise AssertionError("BaseException has one")


def _fields(obj: BaseException, fresh: BaseException) -> dict[str, Any]:
    """Slots, and fields of classes written in C, that differ from those of a new exception."""
    fields: dict[str, Any] = {}
    for base in type(obj).__mro__:
        for name, field in vars(base).items():
            if not isinstance(field, _C_FIELDS) or (name[:2] == name[-2:] == "__"):
                continue
            if base.__module__ == "builtins" and name in _NOT_FIELDS:
                continue
            value = _read(field, obj)
            if value is not _UNSET and value is not _read(field, fresh):
                fields.setdefault(name, value)
    return fields


def _read(field: Any, obj: BaseException) -> Any:
    try:
        return field.__get__(obj)
    except (AttributeError, TypeError):
        return _UNSET


def _sets_plainly(cls: type, attributes: dict[str, Any]) -> bool:
    """Whether the state can be left to `setattr`: no code of the class's in its way."""
    return (
        isinstance(cls.__setattr__, types.WrapperDescriptorType)
        and isinstance(getattr(cls, "__setstate__", None), _C_METHODS)
        and not any(
            hasattr(type(vars(base)[name]), "__set__")
            for base in cls.__mro__
            for name in attributes.keys() & vars(base).keys()
        )
    )
