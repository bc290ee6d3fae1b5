"""The facade's Pickler and Unpickler, and savers for types of one's own."""

from __future__ import annotations

import contextlib
import sys
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

from ferropickle import _native
from ferropickle.compat.dill import _policies as policies
from ferropickle.compat.dill.logger import Trace, adapter
from ferropickle.compat.dill.settings import chosen, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = [
    "CONTENTS_FMODE",
    "FILE_FMODE",
    "HANDLE_FMODE",
    "Pickler",
    "Unpickler",
    "pickle",
    "register",
]

# What a pickled file brings along: nothing but how to open it; also where it
# stood; also its contents.
HANDLE_FMODE = 0
CONTENTS_FMODE = 1
FILE_FMODE = 2

_Saver = TypeVar("_Saver", bound="Callable[[Any, Any], object]")


class Pickler(_native.Pickler):
    """Writes objects to a file.

    file: an object with a `write` that takes bytes.
    protocol, byref, fmode, recurse: as `settings` describes them; its values
        stand where they are not given.
    fix_imports, buffer_callback: as for `pickle.Pickler`.

    May be subclassed with `persistent_id`, `reducer_override` and
    `dispatch_table`, as `pickle.Pickler`. `dispatch` has the savers that
    `register` was given; a subclass may have a mapping of its own.
    """

    dispatch: ClassVar[dict[type, Callable[[Any, Any], object]]] = {}
    settings = settings
    # whose functions and classes go by value although they can be imported
    _module: ModuleType | None = None

    def __init__(
        self,
        file: IO[bytes],
        protocol: int | None = None,
        fix_imports: bool = True,
        buffer_callback: Callable[[Any], Any] | None = None,
        *,
        byref: bool | None = None,
        fmode: int | None = None,
        recurse: bool | None = None,
    ) -> None:
        self.proto = int(chosen("protocol", protocol))
        self._byref = bool(chosen("byref", byref))
        policy = policies.chosen(
            byref=self._byref,
            fmode=int(chosen("fmode", fmode)),
            recurse=bool(chosen("recurse", recurse)),
            module=self._module,
            savers=tuple(self.dispatch.items()),
            pickler=self,
        )
        super().__init__(file, self.proto, fix_imports, buffer_callback, policy=policy)

    def dump(self, obj: Any) -> None:
        """Write an object to the file.

        Raises PicklingError, and what the objects' own reducers raise.
        """
        if not adapter.tracing:
            super().dump(obj)
            return
        self._observe = Trace(adapter).observe
        try:
            super().dump(obj)
        finally:
            del self._observe


class Unpickler(_native.Unpickler):
    """Reads objects from a file.

    file: an object with `read` and `readline`.
    ignore: as `settings` describes it; its value stands where it is not given.
    fix_imports, encoding, errors, buffers: as for `pickle.Unpickler`.

    May be subclassed with `find_class` and `persistent_load`, as
    `pickle.Unpickler`.
    """

    settings = settings

    def __init__(
        self,
        file: IO[bytes],
        *,
        ignore: bool | None = None,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Any = (),
    ) -> None:
        self._ignore = bool(chosen("ignore", ignore))
        super().__init__(
            file,
            fix_imports=fix_imports,
            encoding=encoding,
            errors=errors,
            buffers=buffers,
            policy=policies.LOAD,
        )

    def load(self) -> Any:
        """Read an object.

        An instance of a class of ``__main__`` becomes one of the class that has
        this name there now, unless `ignore` is set. Only the object itself:
        what it contains is left as it is.

        Raises UnpicklingError, and what the rebuilding of the objects raises.
        """
        obj = super().load()
        return obj if self._ignore else of_main(obj)


def of_main(obj: Any) -> Any:
    """Give an instance of a class of ``__main__`` the class that has this name there now."""
    cls = type(obj)
    if cls.__module__ == "__main__":
        now = getattr(sys.modules["__main__"], cls.__name__, cls)
        if now is not cls:
            with contextlib.suppress(AttributeError, TypeError):
                obj.__class__ = now
    return obj


def pickle(t: type, func: _Saver) -> None:
    """Have objects of a type pickled by a function.

    t: the type; its subclasses are not meant.
    func: called with a pickler and the object. It must call the pickler's
        `save_reduce` or `save_global` for the object, once.
    """
    Pickler.dispatch[t] = func


def register(t: type) -> Callable[[_Saver], _Saver]:
    """Decorate a function that pickles objects of a type; see `pickle`."""

    def registered(func: _Saver) -> _Saver:
        pickle(t, func)
        return func

    return registered
