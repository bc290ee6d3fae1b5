from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pickle import PickleBuffer
from typing import Any, Final, Literal, Protocol, TypeAlias, final, type_check_only

from typing_extensions import Buffer, Self, disjoint_base

__all__ = [
    "DEFAULT_PROTOCOL",
    "HIGHEST_PROTOCOL",
    "Pickler",
    "PicklerMemoProxy",
    "Policy",
    "Unpickler",
    "UnpicklerMemoProxy",
    "__version__",
    "current_policy",
    "dump",
    "dumps",
    "load",
    "loads",
]

_BufferCallback: TypeAlias = Callable[[PickleBuffer], object]
_Reducer: TypeAlias = Callable[[Any], str | tuple[Any, ...]]

@type_check_only
class _Writable(Protocol):
    def write(self, data: Any, /) -> object: ...

@type_check_only
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...

DEFAULT_PROTOCOL: Final[int]
HIGHEST_PROTOCOL: Final[int]
__version__: Final[str]
current_policy: Final[ContextVar[Policy]]

def dump(
    obj: object,
    file: _Writable,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: _BufferCallback | None = None,
    policy: Policy | None = None,
) -> None: ...
def dumps(
    obj: object,
    protocol: int | None = None,
    *,
    fix_imports: bool = True,
    buffer_callback: _BufferCallback | None = None,
    policy: Policy | None = None,
) -> bytes: ...
def load(
    file: _Readable,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = None,
    policy: Policy | None = None,
) -> Any: ...
def loads(
    data: Buffer,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = None,
    policy: Policy | None = None,
) -> Any: ...

@disjoint_base
class Pickler:
    dispatch_table: Mapping[type, _Reducer]
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(
        self,
        file: _Writable,
        protocol: int | None = None,
        fix_imports: bool = True,
        buffer_callback: _BufferCallback | None = None,
        *,
        policy: Policy | None = None,
    ) -> None: ...
    @property
    def bin(self) -> bool: ...
    @property
    def fast(self) -> bool: ...
    @fast.setter
    def fast(self, fast: object) -> None: ...
    @property
    def memo(self) -> PicklerMemoProxy: ...
    @memo.setter
    def memo(self, memo: PicklerMemoProxy | dict[int, tuple[int, Any]]) -> None: ...
    def dump(self, obj: object, /) -> None: ...
    def clear_memo(self) -> None: ...
    def persistent_id(self, obj: Any, /) -> Any: ...
    def __sizeof__(self) -> int: ...

@disjoint_base
class Unpickler:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(
        self,
        file: _Readable,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = None,
        policy: Policy | None = None,
    ) -> None: ...
    @property
    def memo(self) -> UnpicklerMemoProxy: ...
    @memo.setter
    def memo(self, memo: UnpicklerMemoProxy | dict[int, Any]) -> None: ...
    def load(self) -> Any: ...
    def find_class(self, module_name: str, global_name: str, /) -> Any: ...
    def persistent_load(self, pid: Any, /) -> Any: ...
    def __sizeof__(self) -> int: ...

@final
class PicklerMemoProxy:
    def clear(self) -> None: ...
    def copy(self) -> dict[int, tuple[int, Any]]: ...
    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[int, tuple[int, Any]]]]: ...

@final
class UnpicklerMemoProxy:
    def clear(self) -> None: ...
    def copy(self) -> dict[int, Any]: ...
    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[int, Any]]]: ...

@final
class Policy:
    def __new__(
        cls,
        *,
        gc: Literal["pause", "keep"] = "pause",
        face: Literal["ferropickle", "pickle"] = "ferropickle",
    ) -> Self: ...
    @property
    def gc(self) -> Literal["pause", "keep"]: ...
    @property
    def face(self) -> Literal["ferropickle", "pickle"]: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Callable[[dict[str, str]], Policy], tuple[dict[str, str]]]: ...
