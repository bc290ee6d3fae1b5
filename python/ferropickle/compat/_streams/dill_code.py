"""Code objects in streams of dill: their arguments by the Python that wrote them.

Each Python release has its own list of arguments for a code object. A stream
may come from another release, so arguments are given names, what is missing
gets its neutral value, and the list is made anew. The bytecode itself is not
translated: it runs on the release that compiled it.
"""

from __future__ import annotations

import sys
from pickle import UnpicklingError
from types import CodeType
from typing import Any

_HEAD = "argcount posonlyargcount kwonlyargcount nlocals stacksize flags code consts names varnames"
_CALL = f"{_HEAD} filename name"
_TAIL = "freevars cellvars"
_PY37 = f"{_CALL} firstlineno lnotab {_TAIL}".replace("posonlyargcount ", "")
_PY27 = _PY37.replace("kwonlyargcount ", "")
_PY38 = f"{_CALL} firstlineno lnotab {_TAIL}"
_PY310 = f"{_CALL} firstlineno linetable {_TAIL}"
_PYPY311 = f"{_CALL} qualname firstlineno linetable {_TAIL}"
_PY311 = f"{_CALL} qualname firstlineno linetable exceptiontable {_TAIL}"
_PY311A = f"{_CALL} qualname firstlineno linetable endlinetable columntable exceptiontable {_TAIL}"

# The number of arguments tells the release; 3.8 to 3.10 have the same.
_BY_COUNT = {
    len(layout.split()): layout.split()
    for layout in (_PY27, _PY37, _PY38, _PYPY311, _PY311, _PY311A)
}
_HERE = (_PY310 if sys.version_info < (3, 11) else _PY311).split()
# Bytes; the pickles of Python 2 have them as text.
_TABLES = {"code", "lnotab", "linetable", "exceptiontable"}


def create_code(*args: Any) -> CodeType:
    """Return a code object made of the arguments that any release of dill and Python stored.

    Raises UnpicklingError for a list that is no release's.
    """
    # Since 3.10 dill puts the older line table before the arguments proper.
    lnotab, args = (b"", args) if isinstance(args[0], int) else (args[0], args[1:])
    layout = _BY_COUNT.get(len(args))
    if layout is None:
        raise UnpicklingError(f"no Python stores a code object as {len(args)} arguments")
    given = dict(zip(layout, args, strict=True))
    if "lnotab" in given:
        # 3.8 and 3.10 differ only in what their table of lines holds.
        given["linetable"] = given["lnotab"] if "linetable" in _HERE and len(layout) == 16 else b""
    missing = {
        "posonlyargcount": 0,
        "kwonlyargcount": 0,
        "lnotab": lnotab,
        "qualname": given["name"],
        "exceptiontable": b"",
    }
    return CodeType(*(_table(name, {**missing, **given}[name]) for name in _HERE))


def _table(name: str, value: Any) -> Any:
    if name in _TABLES and isinstance(value, str):
        return value.encode("latin-1")
    return value
