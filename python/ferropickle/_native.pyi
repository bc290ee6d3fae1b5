import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pickle import PickleBuffer, UnpicklingError
from types import ModuleType
from typing import Any, Final, Literal, Protocol, SupportsIndex, TypeAlias, final, type_check_only

from typing_extensions import Buffer as _BytesLike
from typing_extensions import Self, disjoint_base

__all__ = [
    "Arena",
    "Buffer",
    "DEFAULT_PROTOCOL",
    "HIGHEST_PROTOCOL",
    "Parcel",
    "ParcelError",
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
    "pack",
    "unpack",
]

_BufferCallback: TypeAlias = Callable[[PickleBuffer], object]
_Reducer: TypeAlias = Callable[[Any], str | tuple[Any, ...]]
_ByValueRule: TypeAlias = str | ModuleType | Callable[[ModuleType], object]
_ByValue: TypeAlias = (
    _ByValueRule
    | list[_ByValueRule]
    | tuple[_ByValueRule, ...]
    | set[_ByValueRule]
    | frozenset[_ByValueRule]
)

_Copy: TypeAlias = Literal["never", "lazy", "always"]
_Compression: TypeAlias = Literal["zstd", "lz4"] | tuple[Literal["zstd"], int]

class ParcelError(UnpicklingError): ...

@type_check_only
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

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
    data: _BytesLike,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = None,
    policy: Policy | None = None,
) -> Any: ...
def pack(obj: object, *, policy: Policy | None = None) -> Parcel: ...
def unpack(
    parcel: Parcel | _BytesLike,
    *,
    copy: _Copy = "lazy",
    policy: Policy | None = None,
) -> Any: ...

@final
class Arena:
    def __new__(cls, capacity: int | None = None, *, name: str | None = None) -> Self: ...
    @staticmethod
    def attach(source: int | str) -> Arena: ...
    @property
    def fd(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def put(self, buffers: Iterable[_BytesLike], *, keep: bool = False) -> bytes | None: ...
    def take(self, token: _BytesLike, *, writable: bool | None = None) -> list[Buffer]: ...
    def withdraw(self, message: _BytesLike) -> bool: ...
    def pack(self, obj: object, policy: Policy | None = None, *, keep: bool = False) -> bytes: ...
    def unpack(
        self, message: _BytesLike, policy: Policy | None = None, *, writable: bool | None = None
    ) -> Any: ...
    def reclaim(self) -> int: ...
    def trim(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exc: object) -> None: ...

@final
class Buffer:
    @property
    def nbytes(self) -> int: ...
    @property
    def readonly(self) -> bool: ...
    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[type[memoryview], tuple[Any]]: ...

@final
class Parcel:
    def __new__(
        cls,
        stream: _BytesLike,
        buffers: Iterable[_BytesLike] | None = None,
        *,
        policy: Policy | None = None,
    ) -> Self: ...
    @staticmethod
    def from_bytes(data: _BytesLike, *, copy: _Copy = "lazy") -> Parcel: ...
    @property
    def stream(self) -> bytes: ...
    @property
    def buffers(self) -> list[memoryview]: ...
    @property
    def nbytes(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    def segments(self) -> list[memoryview]: ...
    def writev(self, fd: int | _HasFileno) -> int: ...
    def __reduce_ex__(
        self, protocol: SupportsIndex, /
    ) -> tuple[type[Parcel], tuple[bytes, list[Any]]]: ...

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
        gc: Literal["pause", "keep"] | None = None,
        face: Literal["ferropickle", "pickle", "cloudpickle", "dill"] | None = None,
        by_value: _ByValue | None = None,
        main: Literal["value", "ref"] | dict[str, Any] | None = None,
        identity: Literal["first", "refresh", "new"] | None = None,
        paths: Literal["keep", "relative", "drop"] | None = None,
        sources: Literal["never", "auto", "always"] | None = None,
        max_captured: int | None = None,
        captured: Literal["warn", "refuse"] | None = None,
        reducers: Mapping[type, Callable[[Any], Any]] | None = None,
        require_stock: bool = False,
        files: Literal["reopen", "contents"] | None = None,
        tracebacks: Literal["drop", "keep"] | None = None,
        checksum: Literal["xxh3", "crc32"] | None = None,
        compression: _Compression | None = None,
        fsync: bool = True,
    ) -> Self: ...
    @property
    def gc(self) -> Literal["pause", "keep"]: ...
    @property
    def face(self) -> Literal["ferropickle", "pickle", "cloudpickle", "dill"]: ...
    @property
    def by_value(self) -> _ByValue | None: ...
    @property
    def main(self) -> Literal["value", "ref"] | dict[str, Any]: ...
    @property
    def identity(self) -> Literal["first", "refresh", "new"]: ...
    @property
    def paths(self) -> Literal["keep", "relative", "drop"]: ...
    @property
    def sources(self) -> Literal["never", "auto", "always"]: ...
    @property
    def max_captured(self) -> int | None: ...
    @property
    def captured(self) -> Literal["warn", "refuse"]: ...
    @property
    def reducers(self) -> Mapping[type, Callable[[Any], Any]] | None: ...
    @property
    def require_stock(self) -> bool: ...
    @property
    def files(self) -> Literal["reopen", "contents"]: ...
    @property
    def tracebacks(self) -> Literal["drop", "keep"]: ...
    @property
    def checksum(self) -> Literal["xxh3", "crc32"] | None: ...
    @property
    def compression(self) -> Literal["lz4"] | tuple[Literal["zstd"], int] | None: ...
    @property
    def fsync(self) -> bool: ...
    def _choices(self) -> dict[str, Any]: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Policy], tuple[dict[str, Any]]]: ...
