"""The functions that streams of dill 0.3.1 to 0.4 call, by the names that they use.

Where dill brings a state back that nothing in the new process can end (a lock
held by a thread that is not there, a pointer into another process) the object
arrives fresh, or the load fails: each function says which.
"""

from __future__ import annotations

import ast
import builtins
import collections
import functools
import importlib
import io
import marshal
import operator
import sys
import threading
import types
import typing
import weakref
from pickle import UnpicklingError
from typing import Any

from ferropickle.compat._streams.dill_code import create_code
from ferropickle.compat._streams.dill_files import create_filehandle, create_stringio

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def _type_names() -> dict[str, type]:
    """The types that dill stores by a name of its own."""
    named = {**vars(builtins), **vars(types)}
    ordered = collections.OrderedDict[Any, Any]()
    plain: dict[Any, Any] = {}
    extra: dict[str, Any] = {
        "PartialType": functools.partial,
        "SuperType": super,
        "ItemGetterType": operator.itemgetter,
        "AttrGetterType": operator.attrgetter,
        "FileType": io.FileIO,
        "BufferedRandomType": io.BufferedRandom,
        "BufferedReaderType": io.BufferedReader,
        "BufferedWriterType": io.BufferedWriter,
        "TextWrapperType": io.TextIOWrapper,
        "DictKeysType": type(plain.keys()),
        "DictValuesType": type(plain.values()),
        "DictItemsType": type(plain.items()),
        "OdictKeysType": type(ordered.keys()),
        "OdictValuesType": type(ordered.values()),
        "OdictItemsType": type(ordered.items()),
    }
    if hasattr(types.GenericAlias, "__iter__"):  # since 3.11
        extra["GenericAliasIteratorType"] = type(iter(types.GenericAlias(list, (int,))))
    found = {name: value for name, value in named.items() if isinstance(value, type)}
    return {**found, **extra}


def _load_type(name: str) -> Any:
    found = _type_names().get(name)
    if found is not None:
        return found
    if name.startswith("Py"):
        # `PyTextWrapperType` and its like: the same classes of the module in Python.
        found = _type_names().get(name[2:])
        if found is not None and found.__module__ in ("_io", "io"):
            return vars(importlib.import_module("_pyio"))[found.__name__]
    if name == "PyCapsuleType":
        return type(importlib.import_module("_socket").CAPI)
    if name == "ExitType" and hasattr(builtins, "exit"):
        return type(builtins.exit)
    raise UnpicklingError(f"dill's type {name!r} is not known to this Python")


def _create_type(metaclass: type, *args: Any) -> Any:
    return metaclass(*args)


def _create_function(
    code: types.CodeType,
    namespace: dict[str, Any] | None,
    name: str | None = None,
    defaults: tuple[Any, ...] | None = None,
    closure: tuple[types.CellType, ...] | None = None,
    attributes: dict[str, Any] | None = None,
    kwdefaults: dict[str, Any] | None = None,
) -> types.FunctionType:
    # An empty dict is kept: its names come once the function is in the memo.
    if namespace is None:
        namespace = {}
    func = types.FunctionType(code, namespace, name, defaults, closure)
    if attributes:
        func.__dict__.update(attributes)
    if kwdefaults is not None:
        func.__kwdefaults__ = kwdefaults
    func.__globals__.setdefault("__builtins__", builtins.__dict__)
    return func


def _create_partial(
    make: Callable[..., Any],
    func: Any,
    args: tuple[Any, ...] | None,
    kwargs: dict[str, Any] | None,
) -> Any:
    return make(func, *(args or ()), **(kwargs or {}))


def _create_cell(contents: Any = None) -> types.CellType:
    return types.CellType(contents)


def _create_lock(_locked: bool, *_args: Any) -> Any:
    """A new lock, free: who held the old one is in another process."""
    return threading.Lock()


def _create_rlock(_count: int, _owner: object, *_args: Any) -> Any:
    """A new re-entrant lock, free, as for `_create_lock`."""
    return threading.RLock()


def _create_thread_handle(ident: int, done: bool, *_args: Any) -> Any:
    handle = vars(threading)["_make_thread_handle"](ident)
    if done:
        handle._set_done()
    return handle


def _create_weakref(referent: Any, *args: Any) -> Any:
    """A weak reference, dead if the old one was."""
    return weakref.ref(collections.UserDict() if referent is None else referent, *args)


def _create_weakproxy(referent: Any, _callable: bool = False, *args: Any) -> Any:
    """A weak proxy, dead if the old one was."""
    if referent is None:
        referent = (lambda: None) if _callable else collections.UserDict()
    return weakref.proxy(referent, *args)


def _create_array(
    make: Callable[..., Any],
    args: tuple[Any, ...],
    state: Any,
    attributes: dict[str, Any] | None = None,
) -> Any:
    array = make(*args)
    array.__setstate__(state)
    if attributes is not None:
        array.__dict__.update(attributes)
    return array


def _create_dtypemeta(scalar_type: Any) -> Any:
    dtype = importlib.import_module("numpy").dtype
    return dtype if scalar_type is None else type(dtype(scalar_type))


def _create_namedtuple(
    name: str, fields: Iterable[str], module: str, defaults: Iterable[Any] | None = None
) -> Any:
    """The class of that name in the module, or a new one where it has none."""
    found = _import_module(f"{module}.{name}", safe=True)
    if found is not None:
        return found
    # Before 0.3.5 the name was the qualified one, which no class can be given.
    make: Callable[..., Any] = collections.namedtuple
    made = make(name.rpartition(".")[2], fields, defaults=defaults, module=module)
    made.__qualname__ = name
    return made


def _create_typing_tuple(args: Any, *_args: Any) -> Any:
    if not args or args == ((),):
        return typing.Tuple[()]  # noqa: UP006
    return typing.Tuple[args]  # noqa: UP006


def _create_capsule(
    _pointer: int, name: bytes | None, _context: object, _destructor: object
) -> Any:
    """The capsule that modules of this process offer under that name.

    Raises UnpicklingError if there is none: the pointer is another process's.
    """
    path = (name or b"").decode("utf-8", "replace")
    module, _, attribute = path.rpartition(".")
    try:
        capsule = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        capsule = None
    if type(capsule).__name__ != "PyCapsule":
        raise UnpicklingError(f"no capsule {path!r} can be imported, and pointers do not travel")
    return capsule


def _create_dictproxy(mapping: Mapping[Any, Any], *_args: Any) -> Any:
    return types.MappingProxyType(mapping)


def _unmarshal(data: bytes) -> Any:
    return marshal.loads(data)


_CONSTANTS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented, "None": None}


def _eval_repr(text: str) -> Any:
    """The constant or range that has this `repr`; nothing else is evaluated."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    kinds: dict[str, Callable[..., Any]] = {"range": range, "xrange": range}
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.keywords:
            return kinds[call.func.id](*map(ast.literal_eval, call.args))
    except (SyntaxError, ValueError, KeyError, TypeError):
        pass
    raise UnpicklingError(f"dill stored the text {text!r}, which stands for no constant or range")


def _getattr(owner: Any, name: str, _repr: str) -> Any:
    """The descriptor of that name, itself and not what it gives."""
    own = getattr(owner, "__dict__", {})
    return own[name] if name in own else getattr(owner, name)


def _get_attr(owner: Any, name: str) -> Any:
    """A bound method, or a built-in function, whose owner then is the text "builtins"."""
    if owner == "builtins" and hasattr(builtins, name):
        return getattr(builtins, name)
    return getattr(owner, name)


def _setitems(target: dict[Any, Any], source: Mapping[Any, Any]) -> None:
    for key, value in source.items():
        target[key] = value


def _dict_from_dictproxy(proxy: Mapping[str, Any]) -> dict[str, Any]:
    """The names of a class that its making does not give it by itself."""
    return {k: v for k, v in proxy.items() if k not in ("__dict__", "__weakref__")}


def _import_module(name: str, safe: bool = False) -> Any:
    """The module, or the class in a module, that has this dotted name.

    With `safe` None for one that is not there, else ImportError or AttributeError.
    """
    if name in ("dill._dill", "dill.dill"):
        return _dill_module(name)
    try:
        if name.startswith("__runtime__."):
            return sys.modules[name]
        parent, _, last = name.rpartition(".")
        if not parent:
            return importlib.import_module(name)
        found = getattr(__import__(parent, None, None, [last]), last)
        if isinstance(found, (types.ModuleType, type)):
            return found
        return importlib.import_module(name)
    except (ImportError, AttributeError, KeyError):
        if safe:
            return None
        raise


def _dill_module(name: str) -> types.ModuleType:
    """dill's module, or one with the names that streams ask of it."""
    try:
        return importlib.import_module("dill._dill")
    except ModuleNotFoundError:
        return _stand_in


NAMES: dict[str, Any] = {
    # What a stream puts into a cell that it empties at once.
    "_CELL_EMPTY": None,
    "_create_array": _create_array,
    "_create_capsule": _create_capsule,
    "_create_cell": _create_cell,
    "_create_code": create_code,
    "_create_dictproxy": _create_dictproxy,
    "_create_dtypemeta": _create_dtypemeta,
    "_create_filehandle": create_filehandle,
    "_create_ftype": _create_partial,
    "_create_function": _create_function,
    "_create_lock": _create_lock,
    "_create_namedtuple": _create_namedtuple,
    "_create_rlock": _create_rlock,
    "_create_stringi": create_stringio,
    "_create_stringo": create_stringio,
    "_create_thread_handle": _create_thread_handle,
    "_create_type": _create_type,
    "_create_typing_tuple": _create_typing_tuple,
    "_create_weakproxy": _create_weakproxy,
    "_create_weakref": _create_weakref,
    "_delattr": delattr,
    "_dict_from_dictproxy": _dict_from_dictproxy,
    "_eval_repr": _eval_repr,
    "_get_attr": _get_attr,
    "_getattr": _getattr,
    "_import_module": _import_module,
    "_load_type": _load_type,
    "_setattr": setattr,
    "_setitems": _setitems,
    "_unmarshal": _unmarshal,
}

# Streams also take functions as attributes of the module itself.
_stand_in = types.ModuleType("dill._dill", "The functions that streams of dill call.")
vars(_stand_in).update(NAMES)
NAMES["_dill"] = _stand_in
