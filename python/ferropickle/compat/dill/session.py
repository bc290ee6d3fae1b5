"""The state of a module, most of all of ``__main__``, in a file and back.

A session file holds two pickles: a header that says which module it is, and the
module's namespace. Functions that belong to the module refer to its namespace,
not to a copy; its classes go by value; other modules go by name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import warnings
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from ferropickle.compat.dill._errors import UnpicklingError
from ferropickle.compat.dill._pickler import Pickler, Unpickler

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "dump_module",
    "dump_session",
    "load_module",
    "load_module_asdict",
    "load_session",
]

_FORMAT = "ferropickle session 1"

# What a module is given by the import system: never taken over from a file.
_OF_IMPORT = frozenset(
    ["__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__"]
    + ["__path__", "__session__", "__spec__"]
)

# Objects of these types are the same everywhere without having been imported.
_ATOMS = (int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), frozenset)

# the one empty tuple there is
_NOTHING: tuple[()] = ()

_Target = str | os.PathLike[str] | IO[bytes]


def dump_module(
    filename: _Target | None = None,
    module: ModuleType | str | None = None,
    refimported: bool = False,
    **kwds: Any,
) -> None:
    """Write the state of a module to a file.

    filename: a path, or a binary file; ``session.pkl`` in the folder for
        temporary files if not given.
    module: a module or its name; ``__main__`` if not given. It may be one that
        cannot be imported.
    refimported: write names that were imported from other modules as imports,
        also where the objects could be pickled.
    kwds: those of `Pickler`.

    Raises PicklingError for what cannot be pickled. `settings` does not change
    how functions and classes go: see the head of this module.
    """
    for old, new in (("main", "module"), ("byref", "refimported")):
        if old in kwds:
            warnings.warn(
                f"the argument {old!r} has been renamed {new!r}", PendingDeprecationWarning, 2
            )
    module = kwds.pop("main", module)
    refimported = kwds.pop("byref", refimported)
    if module is None:
        module = sys.modules["__main__"]
    elif isinstance(module, str):
        module = importlib.import_module(module)
    if not isinstance(module, ModuleType):
        raise TypeError(f"{module!r} is not a module")
    state = {name: value for name, value in vars(module).items() if name not in _OF_IMPORT}
    imported = _imported(module, state) if refimported else {}
    for name in imported:
        del state[name]
    header = {
        "format": _FORMAT,
        "module": module.__name__,
        "importable": sys.modules.get(module.__name__) is module,
        "imported": imported,
    }
    with _opened(filename, "wb") as file:
        Pickler(file).dump(header)
        _SessionPickler(file, module, **kwds).dump(state)


def load_module(
    filename: _Target | None = None, module: ModuleType | str | None = None, **kwds: Any
) -> ModuleType | None:
    """Put a module into the state that `dump_module` wrote.

    filename: a path, or a binary file; as for `dump_module` if not given.
    module: the module to change, or its name; it must have the name of the one
        that was written. If not given it is imported, or made anew where it
        cannot be imported.
    kwds: those of `Unpickler`.

    Returns the module, unless it was given or is ``__main__``.

    Raises UnpicklingError for what is no such file, and ValueError for a module
    that the file is not about.
    """
    if "main" in kwds:
        warnings.warn("the argument 'main' has been renamed 'module'", PendingDeprecationWarning, 2)
        module = kwds.pop("main")
    with _opened(filename, "rb") as file:
        header = _header(file)
        name = header["module"]
        target = module
        if isinstance(target, str):
            target = importlib.import_module(target) if header["importable"] else None
            if module != name or target is None:
                raise ValueError(f"the file is about the module {name!r}, not {module!r}")
        if target is None:
            importable = header["importable"]
            target = importlib.import_module(name) if importable else ModuleType(name)
        _check(target, header)
        _fill(vars(target), file, header, target, kwds)
    return None if module is not None or name == "__main__" else target


def load_module_asdict(
    filename: _Target | None = None, update: bool = False, **kwds: Any
) -> dict[str, Any]:
    """Return the namespace that `dump_module` wrote; no module is changed.

    filename: a path, or a binary file; as for `dump_module` if not given.
    update: begin with what the module holds now.
    kwds: those of `Unpickler`.

    Functions among the values use the dict that is returned as their globals.
    It has the file's name as ``__session__``.

    Raises UnpicklingError for what is no such file.
    """
    if "module" in kwds or "main" in kwds:
        raise TypeError("load_module_asdict() takes no module")
    with _opened(filename, "rb") as file:
        header = _header(file)
        name = header["module"]
        stand_in = ModuleType(name)
        space = vars(stand_in)
        if header["importable"]:
            live = sys.modules.get(name) or (importlib.import_module(name) if update else None)
            taken = _OF_IMPORT if not update else vars(live)
            space.update((key, value) for key, value in vars(live).items() if key in taken)
        space["__builtins__"] = __builtins__
        _fill(space, file, header, stand_in, kwds)
        space["__session__"] = str(getattr(file, "name", filename))
    return space


def dump_session(
    filename: _Target | None = None, main: Any = None, byref: bool = False, **kwds: Any
) -> None:
    """Write the state of a module to a file; the former name of `dump_module`."""
    warnings.warn("dump_session() has been renamed dump_module()", PendingDeprecationWarning, 2)
    dump_module(filename, main, byref, **kwds)


def load_session(filename: _Target | None = None, main: Any = None, **kwds: Any) -> None:
    """Put a module into a state that was written; the former name of `load_module`."""
    warnings.warn("load_session() has been renamed load_module().", PendingDeprecationWarning, 2)
    load_module(filename, main, **kwds)


# ---- the file ------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(target: _Target | None, mode: str) -> Iterator[Any]:
    if target is not None and hasattr(target, "write" if mode == "wb" else "read"):
        yield target
        return
    if target is None:
        # a folder that others may write to: follow nothing that they put there
        target = os.path.join(tempfile.gettempdir(), "session.pkl")
        flags = os.O_NOFOLLOW | (os.O_WRONLY | os.O_CREAT | os.O_TRUNC if mode == "wb" else 0)
        descriptor = os.open(target, flags, 0o600)
        if os.fstat(descriptor).st_uid != os.getuid():
            os.close(descriptor)
            raise PermissionError(f"{target} belongs to another user")
        with open(descriptor, mode) as file:
            yield file
        return
    with open(target, mode) as file:  # type: ignore[arg-type]
        yield file


def _header(file: Any) -> dict[str, Any]:
    header = Unpickler(file).load()
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise UnpicklingError("this is not a session file of ferropickle's")
    return header


def _check(target: ModuleType, header: dict[str, Any]) -> None:
    if not isinstance(target, ModuleType):
        raise TypeError(f"{target!r} is not a module")
    name, importable = header["module"], header["importable"]
    if target.__name__ != name:
        raise ValueError(f"the file is about the module {name!r}, not {target.__name__!r}")
    if (sys.modules.get(name) is target) != importable:
        kinds = ("an imported module", "a module that was not imported")
        was, given = kinds if importable else kinds[::-1]
        raise ValueError(f"the file is about {was}, and {name!r} is {given}")


def _fill(
    space: dict[str, Any],
    file: Any,
    header: dict[str, Any],
    target: ModuleType,
    kwds: dict[str, Any],
) -> None:
    state = _SessionUnpickler(file, target, **kwds).load()
    for name, (origin, attribute) in header["imported"].items():
        state[name] = getattr(importlib.import_module(origin), attribute)
    space.update(state)


def _imported(module: ModuleType, state: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Where names of a module were imported from, as far as their values tell."""
    wanted = {
        id(value): value
        for value in state.values()
        if not isinstance(value, (*_ATOMS, ModuleType)) and value is not _NOTHING
    }
    origins: dict[int, list[tuple[str, str]]] = {}
    for name, other in list(sys.modules.items()):
        if other is module or name == "__main__" or not isinstance(other, ModuleType):
            continue
        for attribute, value in list(vars(other).items()):
            if id(value) in wanted:
                origins.setdefault(id(value), []).append((name, attribute))

    def rank(name: str, origin: tuple[str, str]) -> tuple[bool, bool]:
        own_module = getattr(state[name], "__module__", None)
        return (origin[0] != own_module, origin[1] != name)

    return {
        name: min(origins[id(value)], key=lambda origin, name=name: rank(name, origin))  # type: ignore[misc]
        for name, value in state.items()
        if id(value) in origins
    }


class _SessionPickler(Pickler):
    """Writes a namespace; the module itself and its dict by mark."""

    def __init__(self, file: Any, module: ModuleType, **kwds: Any) -> None:
        self._module = module
        super().__init__(file, **{**kwds, "byref": False, "recurse": False})

    def persistent_id(self, obj: Any) -> Any:
        if obj is self._module:
            return "module"
        return "namespace" if obj is vars(self._module) else None


class _SessionUnpickler(Unpickler):
    """Reads a namespace for a module, which stands for the one that was written."""

    def __init__(self, file: Any, module: ModuleType, **kwds: Any) -> None:
        super().__init__(file, ignore=True, **kwds)
        self._module = module

    def persistent_load(self, pid: Any) -> Any:
        return self._module if pid == "module" else self._module.__dict__

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == self._module.__name__:
            found: Any = self._module
            for part in global_name.split("."):
                found = getattr(found, part)
            return found
        return super().find_class(module_name, global_name)
