"""The lines of an object's source code: in its file, or in what was typed."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from ferropickle.compat.dill.detect import code, outermost

if TYPE_CHECKING:
    from collections.abc import Iterator

_HAVE_SOURCE: tuple[Any, ...] = (
    ModuleType,
    type,
    MethodType,
    FunctionType,
    TracebackType,
    FrameType,
    CodeType,
)
_TYPED = re.compile(r"<(stdin|console|input)>|<(python-|ipython-)?input-.*>")


def is_interactive(filename: str) -> bool:
    """Whether code of that file was typed into an interpreter."""
    return _TYPED.match(filename) is not None


def findsource(object: Any) -> tuple[list[str], int]:
    """Return all lines of the file that an object is defined in, and the index of its first.

    object: a module, class, method, function, traceback, frame, code object, or
        an instance, which stands for its class. For what was typed the lines
        are those of the interpreter's history.

    Raises OSError if the source cannot be read, TypeError if there can be none,
    as for what is built in.
    """
    target: Any = object if isinstance(object, _HAVE_SOURCE) else type(object)
    if target is not object and target.__module__ == "builtins":
        raise TypeError(
            "module, class, method, function, traceback, frame, or "
            f"code object was expected, got {target.__name__}"
        )
    own = code(target)
    try:
        return inspect.findsource(own if own is not None else target)
    except OSError:
        typed = own is not None and is_interactive(own.co_filename)
        if not typed and not (isinstance(target, type) and target.__module__ == "__main__"):
            raise
        return _in_history(target, own)


def getsourcelines(
    object: Any, lstrip: bool = False, enclosing: bool = False
) -> tuple[list[str], int]:
    """Return the lines of an object's source code, and the index of the first in its file.

    object: as for `findsource`.
    lstrip: take the first line's indentation off all lines.
    enclosing: the lines of the outermost function around it.

    Raises as `findsource` does.
    """
    if enclosing:
        outer = outermost(object)
        object = object if outer is None else outer
    lines, first = findsource(object)
    own = code(object)
    if isinstance(object, ModuleType) or (own is not None and own.co_name == "<module>"):
        return lines, 0
    if own is not None and own.co_name == "<lambda>":
        first, end = _statement(lines, first)
        block = lines[first:end]
    else:
        block = inspect.getblock(lines[first:])
    if lstrip:
        block = outdent_lines(block)
    return block, first


def _statement(lines: list[str], at: int) -> tuple[int, int]:
    """The lines of the innermost statement around a line, which may lie in the middle of it."""
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        return at, at + len(inspect.getblock(lines[at:]))
    best = (at, at + 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno - 1 <= at < (node.end_lineno or 0):
            own = (node.lineno - 1, node.end_lineno or 0)
            if not hasattr(node, "body") or own[0] == at:
                best = own
    return best


# ---- what was typed -----------------------------------------------------------


def history() -> list[str]:
    """The lines that were typed into this interpreter, as far as it remembers them."""
    try:
        import readline
    except ImportError:
        return []
    length = readline.get_current_history_length()
    return [f"{readline.get_history_item(i + 1)}\n" for i in range(length)]


def _in_history(target: Any, own: CodeType | None) -> tuple[list[str], int]:
    """The last block that was typed and gives the same code, or the class of that name."""
    lines = history()
    if own is None:
        pattern = rf"\s*class\s+{re.escape(target.__name__)}\b"
    elif own.co_name == "<lambda>":
        pattern = r".*\blambda\b"
    else:
        pattern = rf"\s*(async\s+)?def\s+{re.escape(own.co_name)}\b"
    for at in reversed(range(len(lines))):
        if re.match(pattern, lines[at]) is None:
            continue
        while at > 0 and lines[at - 1].lstrip().startswith("@"):
            at -= 1
        if own is None or any(_same_code(own, found) for found in _codes(lines[at:])):
            return lines, at
    raise OSError("could not find the definition in the interpreter's history")


def _codes(lines: list[str]) -> Iterator[CodeType]:
    """The code objects of the block that some lines begin with."""
    try:
        stack = [compile("".join(outdent_lines(inspect.getblock(lines))), "<history>", "exec")]
    except SyntaxError:
        return
    while stack:
        for const in stack.pop().co_consts:
            if isinstance(const, CodeType):
                stack.append(const)
                yield const


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects differ in nothing but where they stand."""
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and len(one.co_consts) == len(other.co_consts)
        and all(
            _same_code(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a == b
            for a, b in zip(one.co_consts, other.co_consts, strict=True)
        )
    )


# ---- indentation ----------------------------------------------------------------


def outdent_lines(lines: list[str], spaces: int | None = None) -> list[str]:
    """Take a number of leading blanks off each line, or those that the first line has."""
    if spaces is None:
        spaces = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    return [line[min(spaces, len(line) - len(line.lstrip(" \t"))) :] for line in lines]


def indent(code: str, spaces: int = 4) -> str:
    """Return a block of code with blanks before each line that is not empty."""
    return textwrap.indent(code, " " * spaces)


def outdent(code: str, spaces: int | None = None, all: bool = True) -> str:
    """Return a block of code with leading blanks taken off.

    spaces: how many; those of the first line if not given.
    all: off every line that has as many, or off the first line alone.
    """
    lines = code.split("\n")
    if not all:
        return "\n".join(outdent_lines(lines[:1], spaces) + lines[1:])
    return "\n".join(outdent_lines(lines, spaces))
