"""Managers whose objects and calls are pickled with ferropickle.

The names of `multiprocessing.managers`. Its registry of serializers gets an
entry for ours; proxies name it wherever they go.
"""

from __future__ import annotations

from multiprocessing import managers as _stock
from multiprocessing.managers import (
    BaseProxy,
    DictProxy,
    ListProxy,
    Namespace,
    RemoteError,
    Token,
)
from typing import TYPE_CHECKING, Any

from ferropickle.multiprocessing import connection, pool
from ferropickle.multiprocessing.context import default_context

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BaseManager",
    "BaseProxy",
    "DictProxy",
    "ListProxy",
    "Namespace",
    "RemoteError",
    "SyncManager",
    "Token",
]


class _Serializer(str):
    """The name of our entry: whoever unpickles it imports this module, which makes the entry."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[], str], tuple[()]]:
        return _serializer, ()


def _serializer() -> str:
    return SERIALIZER


SERIALIZER = _Serializer("ferropickle")
_stock.listener_client.setdefault(  # type: ignore[attr-defined]
    SERIALIZER, (connection.Listener, connection.Client)
)


class BaseManager(_stock.BaseManager):
    """`multiprocessing.managers.BaseManager`, for any object."""

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = SERIALIZER,
        ctx: Any = None,
        **options: Any,
    ) -> None:
        ctx = ctx or default_context.get_context()
        super().__init__(address, authkey, serializer, ctx, **options)


class SyncManager(_stock.SyncManager):
    """`multiprocessing.managers.SyncManager`, for any object."""

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = SERIALIZER,
        ctx: Any = None,
        **options: Any,
    ) -> None:
        ctx = ctx or default_context.get_context()
        super().__init__(address, authkey, serializer, ctx, **options)


SyncManager.register("Pool", pool.Pool, _stock.PoolProxy)  # type: ignore[attr-defined]

if hasattr(_stock, "SharedMemoryManager"):

    class SharedMemoryManager(_stock.SharedMemoryManager):
        """`multiprocessing.managers.SharedMemoryManager`, for any object."""

        def __init__(
            self,
            address: Any = None,
            authkey: bytes | None = None,
            serializer: str = SERIALIZER,
            ctx: Any = None,
            **options: Any,
        ) -> None:
            ctx = ctx or default_context.get_context()
            super().__init__(address, authkey, serializer, ctx, **options)

    __all__ += ["SharedMemoryManager"]
