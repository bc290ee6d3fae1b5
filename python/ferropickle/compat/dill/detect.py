"""What cannot be pickled and why, and what a function refers to."""

from __future__ import annotations

import builtins
import gc
import inspect
from collections.abc import Iterator, Mapping
from dis import get_instructions
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from ferropickle.compat.dill._functions import failures
from ferropickle.compat.dill.logger import trace
from ferropickle.compat.dill.pointers import at, children, parent, parents, reference

if TYPE_CHECKING:
    from collections.abc import KeysView

__all__ = [
    "at",
    "baditems",
    "badobjects",
    "badtypes",
    "children",
    "code",
    "errors",
    "freevars",
    "getmodule",
    "globalvars",
    "nestedcode",
    "nestedglobals",
    "outermost",
    "parent",
    "parents",
    "reference",
    "referredglobals",
    "referrednested",
    "trace",
    "varnames",
]

# ---- what cannot be pickled ---------------------------------------------------


def errors(obj: Any, depth: int = 0, exact: bool = False, safe: bool = False) -> Any:
    """Return the error that a copy of an object ends in, or None.

    depth: 0 for the object itself; else a dict of its attributes' errors at
        that depth, by name, with those that have none left out.
    exact: a copy that is not equal is an error too.
    safe: exceptions of every kind are errors, not only those of pickling.
    """
    if depth <= 0:
        return failures(obj, exact, safe)
    return _by_attribute(obj, lambda part, below: errors(part, below, exact, safe), depth, exact)


def badobjects(obj: Any, depth: int = 0, exact: bool = False, safe: bool = False) -> Any:
    """Return an object that cannot be pickled, or None if it can.

    depth: 0 for the object itself; else a dict of its attributes at that depth
        that cannot be pickled, by name.
    exact, safe: as for `errors`.
    """
    if depth <= 0:
        return None if errors(obj, 0, exact, safe) is None else obj
    return _by_attribute(
        obj, lambda part, below: badobjects(part, below, exact, safe), depth, exact
    )


def badtypes(obj: Any, depth: int = 0, exact: bool = False, safe: bool = False) -> Any:
    """Return the type of an object that cannot be pickled, or None if it can.

    depth: 0 for the object itself; else a dict of the types of its attributes
        at that depth that cannot be pickled, by name.
    exact, safe: as for `errors`.
    """
    if depth <= 0:
        return None if errors(obj, 0, exact, safe) is None else type(obj)
    return _by_attribute(obj, lambda part, below: badtypes(part, below, exact, safe), depth, exact)


def baditems(obj: Any, exact: bool = False, safe: bool = False) -> list[Any]:
    """Return the items of a container that cannot be pickled, each once.

    What is no container, and an iterator, which would be used up, is itself
    the one item. Of a mapping it is the values.

    exact, safe: as for `errors`.
    """
    items = [obj]
    if isinstance(obj, Mapping):
        items = list(obj.values())
    elif hasattr(type(obj), "__iter__") and not isinstance(obj, Iterator):
        items = list(obj)
    found: dict[int, Any] = {id(item): item for item in items}
    return [item for item in found.values() if errors(item, 0, exact, safe) is not None]


def _by_attribute(obj: Any, ask: Any, depth: int, exact: bool) -> dict[str, Any]:
    """Ask for each attribute that cannot be pickled, one level further down."""
    answers = {}
    for name in dir(obj):
        try:
            part = getattr(obj, name)
        except Exception:
            continue  # no value, so none that could be asked about
        if depth == 1:
            answer = ask(part, 0)
            if answer is not None:
                answers[name] = answer
        elif failures(part, exact, True) is not None:
            answers[name] = ask(part, depth - 1)
    return answers


# ---- what a function refers to --------------------------------------------------


def code(func: Any) -> CodeType | None:
    """Return the code object of a function, method, frame or traceback, or None."""
    if isinstance(func, MethodType):
        func = func.__func__
    if isinstance(func, TracebackType):
        func = func.tb_frame
    if isinstance(func, FrameType):
        return func.f_code
    found = func if isinstance(func, CodeType) else getattr(func, "__code__", None)
    return found if isinstance(found, CodeType) else None


def varnames(func: Any) -> tuple[tuple[str, ...], ...]:
    """Return a function's local names, and those among them that nested functions use.

    The result is empty for what has no code.
    """
    own = code(func)
    return () if own is None else (own.co_varnames, own.co_cellvars)


def freevars(func: Any) -> dict[str, Any]:
    """Return the objects of enclosing functions that a function uses, by name.

    Names that have no value yet are left out.
    """
    if isinstance(func, MethodType):
        func = func.__func__
    if not isinstance(func, FunctionType):
        return {}
    found = {}
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def nestedcode(func: Any, recurse: bool = True) -> list[CodeType]:
    """Return the code objects of the functions that are defined inside a function.

    recurse: those inside these as well.
    """
    own = code(func)
    found: list[CodeType] = []
    for const in own.co_consts if own is not None else ():
        if isinstance(const, CodeType):
            if recurse:
                found += [inner for inner in nestedcode(const) if inner not in found]
            if const not in found:
                found.append(const)
    return found


def nestedglobals(func: Any, recurse: bool = True) -> list[str]:
    """Return the global names that a function's code mentions.

    recurse: those that functions defined inside it mention as well.
    """
    own = code(func)
    if own is None:
        return []
    names: dict[str, None] = {}
    for part in (own, *(nestedcode(own) if recurse else ())):
        own_names = {"__name__"}  # a class body takes it from the module around it
        for instruction in get_instructions(part):
            if instruction.opname == "STORE_NAME":
                own_names.add(instruction.argval)
            elif "_GLOBAL" in instruction.opname or (
                instruction.opname == "LOAD_NAME" and instruction.argval not in own_names
            ):
                names[instruction.argval] = None
    return list(names)


def referrednested(func: Any, recurse: bool = True) -> list[FunctionType]:
    """Return the living functions that are defined inside a function.

    Python makes a nested function when the code around it runs, so a call of
    `func` may change the result.

    recurse: those inside these as well.
    """
    return [
        referrer
        for inner in nestedcode(func, recurse)
        for referrer in gc.get_referrers(inner)
        if isinstance(referrer, FunctionType) and referrer.__code__ is inner
    ]


def globalvars(func: Any, recurse: bool = True, builtin: bool = False) -> dict[str, Any]:
    """Return the objects of the global scope that a function refers to, by name.

    recurse: also what functions inside it, and functions that it refers to,
        refer to.
    builtin: also names of `builtins`.

    Names that are not defined are left out.
    """
    found: dict[str, Any] = {}
    _gather(func, recurse, builtin, found, set())
    return found


def referredglobals(func: Any, recurse: bool = True, builtin: bool = False) -> KeysView[str]:
    """Return the names of the objects that `globalvars` returns."""
    return globalvars(func, recurse, builtin).keys()


def _gather(func: Any, recurse: bool, builtin: bool, found: dict[str, Any], met: set[int]) -> None:
    if isinstance(func, MethodType):
        func = func.__func__
    if not isinstance(func, FunctionType) or id(func) in met:
        return
    met.add(id(func))
    space = func.__globals__
    for name in nestedglobals(func, recurse):
        if name in space:
            found.setdefault(name, space[name])
            if recurse:
                _gather(space[name], recurse, builtin, found, met)
        elif builtin and hasattr(builtins, name):
            found.setdefault(name, getattr(builtins, name))
    for enclosed in freevars(func).values():
        _gather(enclosed, recurse, builtin, found, met)


def outermost(func: Any) -> Any:
    """Return the outermost function around a function; for one that stands alone, itself.

    None where there is no such function, or its name now means another.
    """
    if isinstance(func, MethodType):
        func = func.__func__
    if not isinstance(func, FunctionType):
        return None
    own = func.__code__
    # the code's own name: a decorator may have changed the function's
    path = str(getattr(own, "co_qualname", func.__qualname__))
    first, *inner = path.split(".<locals>.")
    around: Any = func.__globals__.get(first.partition(".")[0]) if inner else None
    for name in first.split(".")[1:]:
        around = getattr(around, name, None)
    for candidate in (around, *func.__globals__.values()):
        if isinstance(candidate, FunctionType) and own in nestedcode(candidate):
            return candidate
    return None if inner or "." in first else func


def getmodule(object: Any, _filename: str | None = None, force: bool = False) -> ModuleType | None:
    """Return the module that an object comes from, or None.

    force: find the objects of `builtins`, too, that have no mark of it, such as
        None and Ellipsis.
    """
    found = inspect.getmodule(object, _filename)
    if found is None and force and any(object is known for known in vars(builtins).values()):
        return builtins
    return found
