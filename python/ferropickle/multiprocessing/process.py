"""Processes whose target, arguments and state may be anything."""

from __future__ import annotations

import threading
from multiprocessing import context as _stock
from multiprocessing.process import (
    BaseProcess,
    active_children,
    current_process,
    parent_process,
)
from typing import TYPE_CHECKING, Any

from ferropickle._native import loads
from ferropickle.multiprocessing import _main
from ferropickle.multiprocessing._transport import Packer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BaseProcess", "active_children", "current_process", "parent_process"]

_state = threading.local()


class Travelling:
    """The part of our processes that makes a child of them."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """One message of ours in the stock stream that starts a child; else as any object."""
        if _stock.get_spawning_popen() is None or getattr(_state, "packing", None) is self:
            return super().__reduce_ex__(protocol)
        method = _method_of(self)
        _state.packing = self
        try:
            message = Packer(_main.imported).pack(self)
        finally:
            _state.packing = None
        return _arrive, (method, message)

    def _bootstrap(self, *args: Any, **kwargs: Any) -> Any:
        method = _method_of(self)
        begin_child(method)
        return super()._bootstrap(*args, **kwargs)  # type: ignore[misc]


def _method_of(process: Any) -> str:
    """The start method that makes a process."""
    from ferropickle.multiprocessing.context import default_context

    method: str | None = process._start_method
    return method or default_context.get_start_method()


def begin_child(method: str) -> None:
    """What a child does first: it goes on with the start method that made it."""
    from ferropickle.multiprocessing.context import default_context

    default_context.set_start_method(method, force=True)
    _main.begin_child()


def _arrive(method: str, message: bytes) -> Any:
    """The process object, in the child."""
    begin_child(method)
    return loads(message)


class Process(Travelling, BaseProcess):
    """A process of the default context."""

    _start_method: str | None = None

    @staticmethod
    def _Popen(process: BaseProcess) -> Any:
        from ferropickle.multiprocessing.context import default_context

        return default_context.get_context().Process._Popen(process)

    @staticmethod
    def _after_fork() -> None:
        from ferropickle.multiprocessing.context import default_context

        after: Callable[[], None] = default_context.get_context().Process._after_fork
        after()


class SpawnProcess(Travelling, _stock.SpawnProcess):
    """`multiprocessing.context.SpawnProcess`, for any target."""


if hasattr(_stock, "ForkContext"):  # not on Windows

    class ForkProcess(Travelling, _stock.ForkProcess):
        """`multiprocessing.context.ForkProcess`."""

        @staticmethod
        def _Popen(process: BaseProcess) -> Any:
            _main.inherit()
            return _stock.ForkProcess._Popen(process)

    class ForkServerProcess(Travelling, _stock.ForkServerProcess):
        """`multiprocessing.context.ForkServerProcess`, for any target."""
