"""The source of functions, as text that another version of Python can compile.

`expression` gives a Python expression whose value is a code object: what a
stream carries beside the bytecode (`Policy(sources=...)`), and what a receiver
of another version evaluates in its place. It needs nothing but built-ins.
"""

from __future__ import annotations

import ast
import dis
import inspect
import sys
import textwrap
from types import CodeType
from typing import Any

__all__ = ["expression"]

# Longest source that is carried, in characters.
_LONGEST = 1 << 16

# Finds the code by name in what was compiled, at any depth.
_FIND = (
    "(lambda find, code, name: find(find, code, name))("
    "lambda find, code, name: next((found for constant in code.co_consts"
    " if hasattr(constant, 'co_consts') for found in"
    " [constant if constant.co_name == name else find(find, constant, name)] if found), None), "
    "compile({source!r}, {file!r}, 'exec'), {name!r})"
)


def expression(code: CodeType) -> str | None:
    """Return an expression that compiles the code's source, or None.

    None where the source is unknown, has changed since, is not to be told from
    that of another function of the same line, or is very long.
    """
    try:
        block = inspect.getsource(code)
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    if len(block) > _LONGEST:
        return None
    source = _lambda_source(block, code) if code.co_name == "<lambda>" else _def_source(block, code)
    if source is None:
        return None
    source = _with_free_variables(source, code)
    if not _is_same(source, code):
        return None
    return _FIND.format(source=source, file=code.co_filename, name=code.co_name)


def _def_source(block: str, code: CodeType) -> str | None:
    """The function's definition without its decorators, at the left margin."""
    try:
        tree = ast.parse(textwrap.dedent(block))
    except SyntaxError:
        return None
    node = tree.body[0] if tree.body else None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != code.co_name:
        return None
    node.decorator_list = []
    return ast.unparse(node)


def _lambda_source(block: str, code: CodeType) -> str | None:
    """The one lambda of the block that compiles to this code."""
    text = textwrap.dedent(block).strip()
    for candidate in (text, f"({text}\n)", text.rstrip(",)]}"), f"_ = [{text.rstrip(',')}]"):
        try:
            tree = ast.parse(candidate)
        except SyntaxError:
            continue
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
        texts = [f"_ = {ast.unparse(node)}" for node in found]
        alike = {t for t in texts if _is_same(_with_free_variables(t, code), code)}
        return alike.pop() if len(alike) == 1 else None
    return None


def _with_free_variables(source: str, code: CodeType) -> str:
    """The source inside a function that has the variables it closes over."""
    private = _class_of_private_names(code)
    if private:
        source = f"class {private}:\n" + textwrap.indent(source, " ")
    if not code.co_freevars:
        return source
    names = [name for name in code.co_freevars if name != "__class__"]
    if "__class__" in code.co_freevars:
        names.append("__class__")
    return f"def _({', '.join(names)}):\n" + textwrap.indent(source, " ")


def _class_of_private_names(code: CodeType) -> str | None:
    """The class whose name the compiler put in front of private names."""
    for name in (*code.co_names, *code.co_varnames, *code.co_freevars):
        head, mark, _ = name[1:].partition("__")
        if name.startswith("_") and not name.startswith("__") and mark and head:
            return head
    return None


def _compiled(source: str) -> CodeType | None:
    try:
        return compile(source, "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None


def _imported_names(code: CodeType) -> list[str]:
    """Globals that the compiler may have seen imported: it compiles calls of their attributes
    otherwise than calls of methods."""
    seen: dict[str, bool] = {}
    name = None
    for step in dis.get_instructions(code):
        if name is not None:
            as_method = step.opname == "LOAD_METHOD" or (
                step.opname == "LOAD_ATTR" and sys.version_info >= (3, 12) and (step.arg or 0) & 1
            )
            seen[name] = seen.get(name, True) and step.opname == "LOAD_ATTR" and not as_method
        name = step.argval if step.opname == "LOAD_GLOBAL" else None
    return [name for name, imported in seen.items() if imported]


def _is_same(source: str, code: CodeType) -> bool:
    """Whether the source compiles to what the code does."""
    imports = "".join(f"import {name}\n" for name in _imported_names(code))
    compiled = _compiled(imports + source)
    if compiled is None:
        return False
    found = _find(compiled, code.co_name)
    return (
        found is not None
        and found.co_code == code.co_code
        and found.co_names == code.co_names
        and found.co_varnames == code.co_varnames
        and found.co_freevars == code.co_freevars
        and len(found.co_consts) == len(code.co_consts)
        and all(
            _is_same_constant(ours, theirs, before)
            for ours, theirs, before in zip(
                code.co_consts, found.co_consts, (None, *code.co_consts), strict=False
            )
        )
    )


def _is_same_constant(ours: Any, theirs: Any, before: Any) -> bool:
    if isinstance(ours, CodeType):
        return isinstance(theirs, CodeType)
    if isinstance(before, CodeType) and isinstance(ours, str):
        # Up to 3.10: the qualified name of that code, which says where it was compiled.
        return isinstance(theirs, str)
    return type(ours) is type(theirs) and bool(ours == theirs)


def _find(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name:
                return constant
            found = _find(constant, name)
            if found is not None:
                return found
    return None
