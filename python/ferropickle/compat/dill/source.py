"""The source code of living objects: their own text, an import, or a pickle in code.

Works for what stands in a file and for what was typed into an interpreter.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import io
from types import FunctionType, MethodType
from typing import Any

from ferropickle.compat.dill._functions import dumps
from ferropickle.compat.dill._imports import (
    getimport,
    getname,
    is_named,
    isdynamic,
    isfrommain,
    likely_import,
    literal_of,
    names_in,
)
from ferropickle.compat.dill._lines import (
    _HAVE_SOURCE,
    findsource,
    getsourcelines,
    indent,
    outdent,
)
from ferropickle.compat.dill._pickler import Pickler, Unpickler
from ferropickle.compat.dill.detect import freevars, nestedglobals, outermost

__all__ = [
    "dumpsource",
    "findsource",
    "getblocks",
    "getblocks_from_history",
    "getimport",
    "getimportable",
    "getname",
    "getsource",
    "getsourcelines",
    "importable",
    "indent",
    "isdynamic",
    "isfrommain",
    "likely_import",
    "outdent",
]

_IMPORT_SELF = "from ferropickle.compat import dill\n"


def getsource(
    object: Any,
    alias: str = "",
    lstrip: bool = False,
    enclosing: bool = False,
    force: bool = False,
    builtin: bool = False,
) -> str:
    """Return the text of an object's source code.

    object: a module, class, method, function, traceback, frame or code object.
        Of an instance it is code that makes one from a pickle.
    alias: another name for the object, given by a line at the end.
    lstrip: take the first line's indentation off all lines.
    enclosing: the text of the outermost function around it.
    force: an import where there is no source; an instance's class before it.
    builtin: such an import also for what is in `builtins`.

    Raises OSError if the source cannot be read and TypeError if there can be
    none, unless forced; SyntaxError for a class whose name cannot stand in code.
    """
    try:
        lines, _ = getsourcelines(object, lstrip or bool(alias), enclosing)
    except (OSError, TypeError):
        if not force or not (isinstance(object, _HAVE_SOURCE) or _is_builtin(object)):
            raise
        return getimport(object, alias, builtin=builtin)
    if not isinstance(object, _HAVE_SOURCE):
        if not type(object).__name__.isidentifier():
            raise SyntaxError(f"not the name of a class: {type(object).__name__!r}")
        return dumpsource(object, alias, new=force, enclose=False)
    text = "".join(lines)
    if not alias:
        return text
    if enclosing:
        outer = outermost(object)
        object = object if outer is None else outer
    if getattr(object, "__name__", None) == "<lambda>":
        return f"{alias} = {text}"
    name = getname(object)
    if name is None:
        raise TypeError(f"{object!r} has no name that another could stand for")
    return f"{text}\n{alias} = {name}\n"


def _is_builtin(obj: Any) -> bool:
    return type(obj).__module__ == "builtins"


def dumpsource(object: Any, alias: str = "", new: bool = False, enclose: bool = True) -> str:
    """Return code that makes an object from a pickle that it contains.

    alias: the name to give to the object.
    new: define an instance's class by its source, and make an instance of that.
    enclose: do it inside of a function, so that no other name is left behind.

    Raises what `dumps` raises, and with `new` what `getsource` raises.
    """
    if new and not enclose and not isinstance(object, _HAVE_SOURCE):
        definition = "".join(getsourcelines(object, lstrip=True)[0])
        data = _without_class(object)
        made = f"dill.source._with_class({data!r}, {type(object).__name__})"
        body = f"{_IMPORT_SELF}{definition}"
    else:
        made = f"dill.loads({dumps(object)!r})"
        body = _IMPORT_SELF
    assign = f"{alias} = " if alias else ""
    if not enclose:
        return f"{body}{assign}{made}\n"
    return (
        f"def __made_from_pickle__():\n{indent(body)}    return {made}\n"
        f"{assign}__made_from_pickle__(); del __made_from_pickle__\n"
    )


def _without_class(obj: Any) -> bytes:
    """The pickle of an instance, with a gap for its class."""
    buffer = io.BytesIO()
    _WithGap(buffer, type(obj)).dump(obj)
    return buffer.getvalue()


def _with_class(data: bytes, cls: type) -> Any:
    """Load such a pickle with a class in the gap. Code that `dumpsource` made calls this."""
    return _FilledGap(io.BytesIO(data), cls).load()


class _WithGap(Pickler):
    def __init__(self, file: Any, cls: type) -> None:
        super().__init__(file)
        self._cls = cls

    def persistent_id(self, obj: Any) -> Any:
        return "class" if obj is self._cls else None


class _FilledGap(Unpickler):
    def __init__(self, file: Any, cls: type) -> None:
        super().__init__(file, ignore=True)
        self._cls = cls

    def persistent_load(self, pid: Any) -> Any:
        return self._cls


# ---- code that stands alone --------------------------------------------------------


def importable(obj: Any, alias: str = "", source: bool | None = None, builtin: bool = True) -> str:
    """Return code that gives an object when it is run in an empty module.

    alias: the name to give to it.
    source: True for its source code, after that of what it refers to in
        enclosing functions and among its module's globals; False for an import;
        None for source if it is defined in ``__main__``. Where one cannot be had
        it is the other, or code that makes the object from a pickle.
    builtin: an import also for what is in `builtins`.
    """
    if not isinstance(obj, _HAVE_SOURCE) and not is_named(obj) and literal_of(obj) is None:
        return _of_instance(obj, alias, source)
    if source or (source is None and isfrommain(obj)):
        with contextlib.suppress(OSError, TypeError):
            return _Standalone().of(obj, alias)
    return getimport(obj, alias, builtin=builtin)


def _of_instance(obj: Any, alias: str, source: bool | None) -> str:
    by_class = isfrommain(obj) and source is not False
    if by_class:
        with contextlib.suppress(OSError, TypeError):
            return getsource(obj, alias, force=True)
    made = _constructor(obj)
    if made is None:
        return dumpsource(obj, alias, new=isfrommain(obj) and not by_class, enclose=False)
    call = f"{alias} = {made[1]}" if alias else made[1]
    return f"{made[0]}{call}\n"


def getimportable(obj: Any, alias: str = "", byname: bool = True, explicit: bool = False) -> str:
    """Return code that gives an object; the former name of `importable`.

    byname: an import rather than source.
    explicit: an import also for what is in `builtins`.
    """
    return importable(obj, alias, source=not byname, builtin=explicit)


def _constructor(obj: Any) -> tuple[str, str] | None:
    """An import and a call that make an object, if its `repr` is such a call."""
    cls = type(obj)
    text = repr(obj)
    if cls.__module__ == "numpy" and getattr(obj, "shape", None) == () and hasattr(obj, "item"):
        text = f"{cls.__name__}({obj.item()!r})"
    used = names_in(text)
    if "" in used:
        return None
    call = ast.parse(text, mode="eval").body
    left_out = any(isinstance(n, ast.Constant) and n.value is ... for n in ast.walk(call))
    if not isinstance(call, ast.Call) or left_out:
        return None
    try:
        module = importlib.import_module(cls.__module__)
    except Exception:
        return None
    lines = []
    if ast.unparse(call.func).startswith(f"{cls.__module__}."):
        lines.append(f"import {cls.__module__}\n")
        used.discard(cls.__module__.partition(".")[0])
    for name in sorted(used):
        if hasattr(module, name):
            lines.append(f"from {cls.__module__} import {name}\n")
        elif not hasattr(builtins, name):
            return None
    return "".join(lines), text


class _Standalone:
    """The source of an object, after that of everything it needs; each thing once."""

    def __init__(self) -> None:
        self.met: set[int] = set()

    def of(self, obj: Any, alias: str) -> str:
        func = obj.__func__ if isinstance(obj, MethodType) else obj
        self.met.add(id(func))
        if not isinstance(func, FunctionType):
            return getsource(obj, alias, lstrip=True)
        values: list[str] = []
        blocks: list[str] = []
        decorated = None
        for name, value in freevars(func).items():
            if id(value) in self.met:
                continue
            if not isinstance(value, FunctionType):
                values.append(importable(value, name, source=False))
            elif getsource(value, lstrip=True).startswith("@"):
                decorated = value
            else:
                blocks.append(self.of(value, "" if value.__name__ == name else name))
        for name in nestedglobals(func):
            blocks += self._global(name, func)
        if decorated is None:
            blocks.append(getsource(func, alias, lstrip=True))
        else:
            # what `func` is came of decorating this one
            decorator = outermost(func)
            if decorator is not None:
                blocks.append(self.of(decorator, ""))
            blocks.append(self.of(decorated, alias))
        return "\n".join(["".join(values), *blocks] if values else blocks)

    def _global(self, name: str, func: FunctionType) -> list[str]:
        """What defines a global that a function uses; nothing for what is known already."""
        if name not in func.__globals__:
            return []
        value = func.__globals__[name]
        if id(value) in self.met:
            return []
        self.met.add(id(value))
        renamed = "" if getname(value) == name else name
        if getattr(value, "__module__", None) == func.__module__ and (
            isinstance(value, (FunctionType, type))
        ):
            try:
                return [self.of(value, renamed)]
            except (OSError, TypeError):
                pass
        return [importable(value, renamed, source=False)]


# ---- former names ------------------------------------------------------------------


def getblocks(
    object: Any, lstrip: bool = False, enclosing: bool = False, locate: bool = False
) -> Any:
    """Return the lines of an object's source code; the former name of `getsourcelines`.

    lstrip, enclosing: as for `getsourcelines`.
    locate: return the index of the first line, too.
    """
    lines, first = getsourcelines(object, lstrip, enclosing)
    return (lines, first) if locate else lines


getblocks_from_history = getblocks
