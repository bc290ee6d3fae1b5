"""The name of an object, and the line that imports it."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ferropickle.compat.dill._lines import getsourcelines, is_interactive
from ferropickle.compat.dill.detect import code, getmodule, outermost


def isdynamic(obj: Any) -> bool:
    """Whether an object's code was typed into an interpreter."""
    own = code(obj)
    return own is not None and is_interactive(own.co_filename)


def isfrommain(obj: Any) -> bool:
    """Whether an object, or the class of an instance, was defined in ``__main__``."""
    return _module_name(obj) == "__main__"


def getname(obj: Any, force: bool = False, fqn: bool = False) -> str | None:
    """Return the name that an object was defined with, or None if it has none.

    For a lambda it is the name that it was assigned to.

    force: the `repr` of what has no name.
    fqn: the name of the object, or of an instance's class, after its module's.
    """
    if fqn:
        name = getname(obj)
        if isinstance(obj, ModuleType):
            return name
        if name is None:
            return f"{_module_name(obj)}.{type(obj).__qualname__}"
        return f"{_module_name(obj)}.{name}"
    if isinstance(obj, CodeType):
        return None
    name = getattr(obj, "__name__", None) if is_named(obj) else None
    if name == "<lambda>":
        name = _lambda_name(obj)
    if name is None and force:
        return repr(obj)
    return name


def getimport(
    obj: Any,
    alias: str = "",
    verify: bool = True,
    builtin: bool = False,
    enclosing: bool = False,
) -> str:
    """Return the line that imports an object, or an instance's class.

    For an instance of a built-in type it is its `repr`.

    alias: the name to import it as.
    verify: look in the module, and take a name that it has there.
    builtin: an import also for what is in `builtins`, which needs none.
    enclosing: import the outermost function around it.

    Raises SyntaxError for a name that no line could import.
    """
    if enclosing:
        outer = outermost(obj)
        obj = obj if outer is None else outer
    if isinstance(obj, ModuleType):
        return _line("", obj.__name__, alias)
    if not is_named(obj):
        literal = literal_of(obj)
        known = _builtin_name(obj) if builtin else None
        if known is not None:
            return _line("builtins", known, alias)
        if literal is not None:
            return f"{alias} = {literal}\n" if alias else f"{literal}\n"
        obj = type(obj)
    module, name = _module_name(obj), str(getname(obj, force=True))
    if module == "builtins" and not builtin:
        return f"{alias} = {name}\n" if alias else f"{name}\n"
    if verify:
        name = _found_name(obj, module, name)
    return _line(module, name, alias)


def likely_import(obj: Any, passive: bool = False, explicit: bool = False) -> str:
    """Return the line that imports an object; the former name of `getimport`.

    passive: do not look whether the module has the name.
    explicit: an import also for what is in `builtins`.
    """
    return getimport(obj, verify=not passive, builtin=explicit)


def literal_of(obj: Any) -> str | None:
    """The `repr` of an object of a built-in type, if it is code that needs no import."""
    if type(obj).__module__ != "builtins":
        return None
    text = repr(obj)
    return text if names_in(text) <= set(vars(builtins)) else None


def names_in(text: str) -> set[str]:
    """The names that an expression uses; an impossible one if it is no expression."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {""}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def is_named(obj: Any) -> bool:
    """Whether an object has a name of its own to import it by."""
    if isinstance(obj, BuiltinFunctionType):
        # a method of an object is not a name of a module
        return obj.__self__ is None or isinstance(obj.__self__, ModuleType)
    if isinstance(obj, (type, FunctionType, MethodType, ModuleType)):
        return True
    # other callables that stand in a module under their name, such as ufuncs
    name, module = getattr(obj, "__name__", None), sys.modules.get(_own_module(obj) or "")
    return isinstance(name, str) and getattr(module, name, None) is obj


def _own_module(obj: Any) -> str | None:
    module = getattr(obj, "__module__", None)
    return module if isinstance(module, str) else None


def _module_name(obj: Any) -> str:
    if isinstance(obj, ModuleType):
        return obj.__name__
    named = _own_module(obj)
    if named is not None:
        return named
    found = getmodule(obj, None, True)
    return found.__name__ if found is not None else type(obj).__module__


def _builtin_name(obj: Any) -> str | None:
    """The name of a singleton of `builtins` that is no keyword, as Ellipsis."""
    for name, known in vars(builtins).items():
        if known is obj and name[0] != "_" and not (known is None or isinstance(known, bool)):
            return name
    return None


def _found_name(obj: Any, module: str, name: str) -> str:
    """A name that the module has the object under, else the one that it was defined with."""
    try:
        space = vars(importlib.import_module(module))
    except Exception:
        return name
    if space.get(name) is obj:
        return name
    return next((known for known, value in space.items() if value is obj), name)


def _lambda_name(obj: Any) -> str | None:
    """What a lambda was assigned to: in its module, else in its source."""
    if isinstance(obj, MethodType):
        obj = obj.__func__
    for name, value in obj.__globals__.items():
        if value is obj and not name.startswith("_"):
            return str(name)
    try:
        tree = ast.parse("".join(getsourcelines(obj, lstrip=True)[0]))
    except (OSError, SyntaxError):
        return None
    target = getattr(tree.body[0], "targets", [None])[0]
    return target.id if isinstance(target, ast.Name) else None


def _line(module: str, name: str, alias: str) -> str:
    text = f"from {module} import {name}" if module else f"import {name}"
    if alias:
        text += f" as {alias}"
    # a name may be anything: nothing but an import may come of it
    tree = ast.parse(text).body
    if len(tree) != 1 or not isinstance(tree[0], (ast.Import, ast.ImportFrom)):
        raise SyntaxError(f"not the name of an object: {name!r}")
    return text + "\n"
