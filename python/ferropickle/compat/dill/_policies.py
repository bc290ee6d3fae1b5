"""The engine's policies that keep dill's contract."""

from __future__ import annotations

import operator
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from ferropickle._native import Policy
from ferropickle.compat.dill import _aliases, _files, _process
from ferropickle.compat.dill._errors import PicklingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

LOAD = Policy(face="dill")

# Policies that have been asked for: they are values.
_PLAIN: dict[tuple[bool, int, bool], Policy] = {}


def chosen(
    *,
    byref: bool,
    fmode: int,
    recurse: bool,
    module: ModuleType | None,
    savers: tuple[tuple[type, Callable[[Any, Any], object]], ...],
    pickler: Any,
) -> Policy:
    """The policy of one pickler.

    module: functions and classes of this one go by value.
    savers: types and functions that save objects of them with the pickler.

    Raises ValueError for an unknown `fmode`.
    """
    if not savers and module is None:
        return plain(byref, fmode, recurse)
    # weak, as the pickler holds the policy
    owner = weakref.ref(pickler)
    reducers = _reducers(fmode)
    reducers.update((kind, partial(_saved, owner, saver)) for kind, saver in savers)
    return _made(byref, recurse, reducers, module)


def plain(byref: bool, fmode: int, recurse: bool) -> Policy:
    """The policy of picklers without savers.

    Raises ValueError for an unknown `fmode`.
    """
    key = (byref, fmode, recurse)
    if key not in _PLAIN:
        _PLAIN[key] = _made(byref, recurse, _reducers(fmode))
    return _PLAIN[key]


def _reducers(fmode: int) -> dict[type, Any]:
    return {**_files.reducers(fmode), **_process.reducers(), **_aliases.reducers()}


def _made(
    byref: bool, recurse: bool, reducers: dict[type, Any], module: ModuleType | None = None
) -> Policy:
    return Policy(
        by_value=None if module is None else partial(operator.is_, module),
        # dill's face takes classes of __main__ by value whatever `main` says
        face="ferropickle" if byref else "dill",
        main="value" if recurse and not byref else "ref",
        identity="new",
        reducers=reducers,
    )


class _Recorder:
    """What a saver is given: takes one call of `save_reduce` or `save_global`."""

    def __init__(self, pickler: Any) -> None:
        self._pickler = pickler
        self.value: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pickler, name)

    def save_reduce(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        state: Any = None,
        listitems: Any = None,
        dictitems: Any = None,
        state_setter: Any = None,
        *,
        obj: Any = None,
        **_: Any,
    ) -> None:
        """Save the object as a call; see `object.__reduce__` for the arguments."""
        value = [func, args, state, listitems, dictitems, state_setter]
        while value[-1] is None and len(value) > 2:
            value.pop()
        self._take(tuple(value))

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Save the object by name."""
        self._take(name or obj.__qualname__)

    def _take(self, value: Any) -> None:
        if self.value is not None:
            raise PicklingError("a saver must save its object once")
        self.value = value

    def save(self, obj: Any, *_: Any, **__: Any) -> None:
        """Refuse: the engine writes all parts itself."""
        raise PicklingError("a saver must use save_reduce or save_global, not save or write")

    write = save


def _saved(owner: Any, saver: Callable[[Any, Any], object], obj: Any) -> Any:
    recorder = _Recorder(owner())
    saver(recorder, obj)
    if recorder.value is None:
        raise PicklingError(f"the saver of {type(obj).__name__} objects saved nothing")
    return recorder.value
