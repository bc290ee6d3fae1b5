"""The functions and the pickler of the face, where cloudpickle has them."""

from __future__ import annotations

import copyreg
import io
import pickle as _stdlib
import sys
import threading
import types
import warnings
from collections import ChainMap
from typing import IO, TYPE_CHECKING, Any

from ferropickle import _native
from ferropickle._native import Policy
from ferropickle.compat._streams.cloudpickle_names import dynamic_subimport, subimport
from ferropickle.compat._text_files import reduce_text_file

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

__all__ = [
    "DEFAULT_PROTOCOL",
    "CloudPickler",
    "Pickler",
    "cell_set",
    "dump",
    "dumps",
    "dynamic_subimport",
    "instance",
    "is_tornado_coroutine",
    "list_registry_pickle_by_value",
    "load",
    "loads",
    "register_pickle_by_value",
    "subimport",
    "unregister_pickle_by_value",
]

DEFAULT_PROTOCOL = _stdlib.HIGHEST_PROTOCOL

# Only code of the object's can recurse so; the engine itself does not.
_TOO_DEEP = "Could not pickle object as excessively deep recursion required."


class _Registry:
    """Modules whose functions and classes go by value, and the policy that says so."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.modules: dict[str, types.ModuleType] = {}
        self.policy = self._policy()

    def change(self, modules: dict[str, types.ModuleType]) -> None:
        """Put other modules in the place of those registered; hold the lock."""
        self.modules = modules
        self.policy = self._policy()

    def _policy(self) -> Policy:
        by_value = tuple(self.modules.values()) or None
        reducers: dict[type, Callable[[Any], Any]] = {io.TextIOWrapper: reduce_text_file}
        return Policy(face="cloudpickle", by_value=by_value, reducers=reducers)


_registry = _Registry()


def register_pickle_by_value(module: types.ModuleType) -> None:
    """Have functions and classes of a module, and of its submodules, go by value from now on.

    Raises ValueError for what is no module, or one that was not imported.
    """
    _check_module(module)
    if module.__name__ not in sys.modules:
        advice = "have you used an `import` statement to access it?"
        raise ValueError(f"{module} was not imported correctly, {advice}")
    with _registry.lock:
        _registry.change({**_registry.modules, module.__name__: module})


def unregister_pickle_by_value(module: types.ModuleType) -> None:
    """Undo `register_pickle_by_value`.

    Raises ValueError for what is no module, or one that is not registered.
    """
    _check_module(module)
    with _registry.lock:
        rest = dict(_registry.modules)
        if rest.pop(module.__name__, None) is None:
            raise ValueError(f"{module} is not registered for pickle by value")
        _registry.change(rest)


def list_registry_pickle_by_value() -> set[str]:
    """Return the names of the modules registered."""
    return set(_registry.modules)


def _check_module(module: object) -> None:
    if not isinstance(module, types.ModuleType):
        raise ValueError(f"Input should be a module object, got {module} instead")


def _reducer_override(pickler: Pickler, obj: Any) -> Any:
    """What a pickler's own `reducer_override` leaves to the engine: all."""
    return NotImplemented


class _Inherited:
    """The base of `reducer_override`, there only for picklers that override it.

    Others have none, so that the engine need not call it for every object.
    """

    def __get__(self, pickler: Pickler | None, owner: type) -> Any:
        if pickler is None:
            return _reducer_override
        named = (vars(cls) for cls in type(pickler).__mro__ if "reducer_override" in vars(cls))
        if next(named)["reducer_override"] is self:
            raise AttributeError("this pickler does not override reducer_override")
        return types.MethodType(_reducer_override, pickler)


class Pickler(_native.Pickler):
    """Writes objects to a file, what cannot be imported by value.

    file, protocol, buffer_callback: as for `pickle.Pickler`; None means the
    highest protocol.

    Subclasses may define `persistent_id(obj)`, `reducer_override(obj)` and
    `dispatch_table`. Reducers put into `Pickler.dispatch_table` are asked by
    `dump` and `dumps` too.
    """

    dispatch_table: MutableMapping[Any, Any] = ChainMap({}, copyreg.dispatch_table)
    dispatch = dispatch_table
    if TYPE_CHECKING:

        def reducer_override(pickler: Pickler, obj: Any) -> Any: ...

    else:
        reducer_override = _Inherited()

    def __init__(
        self,
        file: IO[bytes],
        protocol: int | None = None,
        buffer_callback: Callable[[Any], Any] | None = None,
    ) -> None:
        protocol = DEFAULT_PROTOCOL if protocol is None else protocol
        super().__init__(file, protocol, buffer_callback=buffer_callback, policy=_registry.policy)
        self.proto = int(protocol)

    def dump(self, obj: Any) -> None:
        """Write an object to the file.

        Raises PicklingError for code of the object's that recurses without end.
        """
        try:
            super().dump(obj)
        except RecursionError as error:
            raise _stdlib.PicklingError(_TOO_DEEP) from error


CloudPickler = Pickler


def dump(
    obj: Any,
    file: IO[bytes],
    protocol: int | None = None,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> None:
    """Write the pickled form of an object to a file; see `Pickler` and `pickle.dump`."""
    if _has_own_reducers():
        Pickler(file, protocol, buffer_callback).dump(obj)
        return
    protocol = DEFAULT_PROTOCOL if protocol is None else protocol
    policy = _registry.policy
    try:
        _native.dump(obj, file, protocol, buffer_callback=buffer_callback, policy=policy)
    except RecursionError as error:
        raise _stdlib.PicklingError(_TOO_DEEP) from error


def dumps(
    obj: Any,
    protocol: int | None = None,
    buffer_callback: Callable[[Any], Any] | None = None,
) -> bytes:
    """Return the pickled form of an object as bytes; see `Pickler` and `pickle.dumps`."""
    if _has_own_reducers():
        file = io.BytesIO()
        Pickler(file, protocol, buffer_callback).dump(obj)
        return file.getvalue()
    protocol = DEFAULT_PROTOCOL if protocol is None else protocol
    policy = _registry.policy
    try:
        return _native.dumps(obj, protocol, buffer_callback=buffer_callback, policy=policy)
    except RecursionError as error:
        raise _stdlib.PicklingError(_TOO_DEEP) from error


def _has_own_reducers() -> bool:
    table = Pickler.dispatch_table
    return not isinstance(table, ChainMap) or bool(table.maps[0])


def load(
    file: IO[bytes],
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Any = (),
) -> Any:
    """Return the object of the next stream in a file; see `pickle.load`."""
    return _native.load(
        file,
        fix_imports=fix_imports,
        encoding=encoding,
        errors=errors,
        buffers=buffers,
        policy=_registry.policy,
    )


def loads(
    data: Any,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Any = (),
) -> Any:
    """Return the object of a stream in a bytes-like object; see `pickle.loads`."""
    return _native.loads(
        data,
        fix_imports=fix_imports,
        encoding=encoding,
        errors=errors,
        buffers=buffers,
        policy=_registry.policy,
    )


def cell_set(cell: types.CellType, value: Any) -> None:
    """Put a value into a cell."""
    cell.cell_contents = value


def instance(cls: type[Any]) -> Any:
    """Return a new instance of a class made with no arguments."""
    return cls()


def is_tornado_coroutine(func: Any) -> bool:
    """Return whether a function is a coroutine of tornado, if that is imported."""
    warnings.warn(
        "is_tornado_coroutine is deprecated; call tornado.gen.is_coroutine_function",
        DeprecationWarning,
        stacklevel=2,
    )
    tornado = sys.modules.get("tornado.gen")
    return tornado is not None and bool(tornado.is_coroutine_function(func))
