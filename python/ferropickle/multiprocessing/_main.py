"""Which names of `__main__` other processes have.

What they have goes by name: a function then sees the globals that an
initializer has set over there, as it does with `multiprocessing`. All else of
`__main__` goes by value: what was defined after the fork, in an interpreter or
under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import ast
import os
import sys
from multiprocessing import process
from types import FunctionType
from typing import Any

Names = dict[str, Any]
Span = tuple[int, int]  # first and last line

_inherited: Names | None = None  # what `__main__` had when this process was born, or first forked
_defined: dict[str, dict[str, list[Span]]] = {}  # by path of the file


class _Imported:
    """What `imported` has found, and for which state of `__main__`."""

    state: tuple[str, int] | None = None
    names: Names = {}


_imported = _Imported()


def snapshot() -> Names:
    """The functions and classes that `__main__` has now."""
    return {
        name: value
        for name, value in list(_dict_of_main().items())
        if isinstance(value, (type, FunctionType)) and value.__module__ == "__main__"
    }


def inherit() -> None:
    """A child is about to be forked, or this process has just begun."""
    global _inherited
    if _inherited is None:
        _inherited = snapshot()


def begin_child() -> None:
    """This process is a child that begins: it has what `__main__` has now."""
    global _inherited
    _inherited = snapshot()


def shared(method: str) -> Names:
    """What any other process of this start method has; "" is a program that may be another."""
    if not method:
        return {}
    if _inherited is not None and (method == "fork" or is_child()):
        return _inherited
    return {} if method == "fork" else imported()


def imported() -> Names:
    """What a child has that imports the main module, as spawn and forkserver do."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.rpartition(".")[2] == "__main__":
        return {}  # `python -m package`: a child does not import it
    path = getattr(main, "__file__", None)
    if path is None:
        return {}
    if path not in _defined:
        # Relative to where the program began, as far as that is known.
        _defined[path] = _defined_by(os.path.join(process.ORIGINAL_DIR or "", path))  # type: ignore[attr-defined]
    bound = vars(main)
    state = (path, len(bound))
    if _imported.state != state:  # what is bound anew under an old name is seen when it is pickled
        names = {
            name: bound[name]
            for name, spans in _defined[path].items()
            if name in bound and _is_from(bound[name], path, spans)
        }
        _imported.state, _imported.names = state, names
    return _imported.names


def is_child() -> bool:
    """Whether `multiprocessing` has started this process."""
    return process.parent_process() is not None


def _dict_of_main() -> Names:
    return vars(sys.modules["__main__"])


def _is_from(value: Any, path: str, spans: list[Span]) -> bool:
    """Whether a value may be what the file defines in these lines."""
    function = value
    while isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if isinstance(value, type):
        parts = [part for part in vars(value).values() if isinstance(part, FunctionType)]
        own = [
            part for part in parts if part.__qualname__ == f"{value.__qualname__}.{part.__name__}"
        ]
        function = own[0] if own else value
    if not isinstance(function, FunctionType) or function.__code__.co_filename != path:
        return True
    line = function.__code__.co_firstlineno
    return any(first <= line <= last for first, last in spans)


def _defined_by(path: str) -> dict[str, list[Span]]:
    """The names that importing a file binds, as far as its text tells, and the lines where."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, list[Span]] = {}
    _collect(tree.body, found)
    return found


def _collect(body: list[ast.stmt], found: dict[str, list[Span]]) -> None:
    for node in body:
        last = node.end_lineno or node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found.setdefault(node.name, []).append((first, last))
            continue
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append((0, sys.maxsize))
            continue
        parts = ["body", "orelse", "finalbody"]
        if isinstance(node, ast.If) and any(
            isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
        ):
            parts.remove("body")
        for part in parts:
            _collect(getattr(node, part, []), found)
        for handler in getattr(node, "handlers", []):
            _collect(handler.body, found)
