"""The source of functions, as a stream carries it beside their bytecode (`Policy(sources=...)`).

`carried` gives the arguments for which the function `code` of `RECEIVER` makes the code object:
from the bytecode where the receiver's version of Python is the sender's, else from the source.
The lines go to `linecache` there, so that tracebacks and `inspect.getsource` show them where the
file is missing. The receiver needs nothing but the standard library.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import marshal
import sys
import textwrap
from types import CodeType
from typing import Any

__all__ = ["RECEIVER", "carried"]

# Longest source that is carried, in characters.
_LONGEST = 1 << 16

# What `Policy(paths="drop")` puts in the place of a file.
_DROPPED = "<pickled>"

# What the receiver executes, for its function `code`. Lines are kept by file and number, in
# `copyreg`: functions of one file may come in many streams, and the newest is right about its
# lines. What lies between them is shown as an Ellipsis, which ends a block for `inspect`. The
# entry in `linecache` is a function, called if the file is not there; the lines that were made of
# it are put back to be made again, and entries of others stay.
RECEIVER = """\
import copyreg, linecache, marshal, sys
def show(file, first, block):
    files = copyreg.__dict__.setdefault('__ferropickle_sources__', {})
    ours = file in files
    kept = files.setdefault(file, {})
    for number, line in enumerate(block.split('\\n'), first):
        kept[number] = ' '.join(line.splitlines())
    def lines():
        return '\\n'.join(kept.get(n, '...') for n in range(1, max(kept) + 1))
    linecache.checkcache(file)
    entry = linecache.cache.get(file)
    if entry is None or ours and len(entry) > 1 and entry[1] is None:
        if file[:1] + file[-1:] == '<>':
            text = lines()
            entry = len(text), None, [line + '\\n' for line in text.split('\\n')], file
        else:
            entry = (lines,)
        linecache.cache[file] = entry
def find(code, name):
    for part in code.co_consts:
        if hasattr(part, 'co_consts'):
            part = part if part.co_name == name else find(part, name)
            if part:
                return part
def code(tag, data, name, file, first, block, skip, head, text):
    show(file, first, block)
    if sys.implementation.cache_tag == tag:
        return marshal.loads(data)
    if text is None:
        text = '\\n'.join(block.split('\\n')[skip:])
    before = '\\n' * (first + skip - 1 - head.count('\\n'))
    return find(compile(before + head + text, file, 'exec', 0, True), name)
"""


def carried(code: CodeType, file: str | None = None) -> tuple[Any, ...] | None:
    """Return the arguments of the receiver's `code`, or None.

    file: the name to show for the code's file, if it is not its own.

    None where the source is unknown, has changed since, is not to be told from
    that of another function of the same line, or is very long.
    """
    try:
        lines, first = inspect.getsourcelines(code)
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    block = "".join(lines).rstrip("\n")
    if len(block) > _LONGEST:
        return None
    made = (
        _lambda_text(block, first, code) if code.co_name == "<lambda>" else _def_text(block, code)
    )
    if made is None:
        return None
    skip, head, text = made
    if file == _DROPPED:
        # Functions of several files are not to be taken for lines of one.
        digest = hashlib.blake2b(f"{first}\n{block}".encode(errors="replace"), digest_size=6)
        file = f"<pickled {digest.hexdigest()}>"
    if file is None:
        file = code.co_filename
    else:
        code = _renamed(code, file)
    tag = sys.implementation.cache_tag
    return tag, marshal.dumps(code), code.co_name, file, first, block, skip, head, text


def _renamed(code: CodeType, file: str) -> CodeType:
    """The code as if it was written in another file."""
    constants = tuple(
        _renamed(constant, file) if isinstance(constant, CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_filename=file, co_consts=constants)


def _def_text(block: str, code: CodeType) -> tuple[int, str, None] | None:
    """How many lines of the block are decorators, and what has to stand before the rest for it to
    compile to this code."""
    indented = block[:1] in (" ", "\t")
    try:
        tree = ast.parse("if 1:\n" + block if indented else block)
    except (SyntaxError, ValueError):
        return None
    node = tree.body[0] if tree.body else None
    if indented and isinstance(node, ast.If):
        node = node.body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != code.co_name:
        return None
    skip = node.lineno - 1 - indented
    head = ""
    if indented:
        private, free = _class_of_private_names(code), _free_variables(code)
        head += f"class {private}:\n" if private else ""
        head += f"{' ' if private else ''}def _({free}):\n" if free else ""
        head = head or "if 1:\n"
    text = "\n".join(block.split("\n")[skip:])
    # Of the function's own name there may be a global that it uses.
    margin = block[: len(block) - len(block.lstrip())]
    for before in (head, f"{head}{margin}global {code.co_name}\n"):
        if _is_same(before + text, code):
            return skip, before, None
    return None


def _lambda_text(block: str, first: int, code: CodeType) -> tuple[int, str, str] | None:
    """In which line of the block the lambda begins, and the text of the one that compiles to this
    code, with what has to stand before it."""
    text = textwrap.dedent(block).strip()
    private, free = _class_of_private_names(code), _free_variables(code)
    head = (f"class {private}:\n " if private else "") + (f"def _({free}): " if free else "")
    for candidate in (text, f"({text}\n)", text.rstrip(",)]}"), f"_ = [{text.rstrip(',')}]"):
        try:
            tree = ast.parse(candidate)
        except (SyntaxError, ValueError):
            continue
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
        texts = [f"_ = {ast.unparse(node)}" for node in found]
        alike = {t for t in texts if _is_same(head + t, code)}
        return (code.co_firstlineno - first, head, alike.pop()) if len(alike) == 1 else None
    return None


def _free_variables(code: CodeType) -> str:
    """The variables that the code closes over, as parameters."""
    names = [name for name in code.co_freevars if name != "__class__"]
    if "__class__" in code.co_freevars:
        names.append("__class__")
    return ", ".join(names)


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
