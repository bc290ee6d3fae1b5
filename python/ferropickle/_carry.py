"""Through engines that pickle with something else: `remote` for functions, `Carry` for objects.

An engine that hands work to other processes pickles with a pickler of its own.
Both wrappers below are ordinary objects to that pickler, and bring a stream of
ours along: what is inside travels as `ferropickle.dumps` writes it, with no
hook in the engine. Under protocol 5 the buffers of arrays are shown to the
engine's pickler, which sends them out of band if it does so with its own.

The reader may be a plain `pickle.loads`; it must be able to import
`ferropickle`. Where that is not possible, loading ends with
`ModuleNotFoundError: No module named 'ferropickle'`.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any, Generic, ParamSpec, TypeVar

from ferropickle._native import dumps, loads

P = ParamSpec("P")
R = TypeVar("R")
SMALL_BUFFER = 4096  # below this many bytes a buffer costs more beside the stream than in it


class Carry:
    """An object on its way through an engine's pickler.

    obj: what is carried. sticky: it arrives in a `Carry` again, for engines
    that pickle it more than once on its way (shuffles, chains of tasks); as a
    rule the object arrives bare.

    `__wrapped__` is the object. Attributes that a `Carry` has not are the
    object's, and calling it calls the object.
    """

    __wrapped__: Any
    _sticky: bool

    def __init__(self, obj: Any, *, sticky: bool = False) -> None:
        self.__wrapped__ = bare(obj)
        self._sticky = sticky

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        load = _load_sticky if self._sticky else _load
        return load, _written(self.__wrapped__, protocol)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return _attribute_of_wrapped(self, name)

    def __repr__(self) -> str:
        sticky = ", sticky=True" if self._sticky else ""
        return f"ferropickle.Carry({self.__wrapped__!r}{sticky})"


class Remote(Generic[P, R]):
    """What `remote` returns."""

    __wrapped__: Callable[P, R]
    _sticky: bool
    _arrived: bool  # in the process that calls it for somebody else

    def __init__(self, function: Callable[P, R], sticky: bool, arrived: bool) -> None:
        self.__wrapped__ = function
        self._sticky = sticky
        self._arrived = arrived
        # The class has these names too, so `__getattr__` would not be asked.
        self.__doc__ = getattr(function, "__doc__", None)
        self.__module__ = getattr(function, "__module__", None) or __name__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        load = _load_sticky_remote if self._sticky else _load_remote
        return load, _written(self.__wrapped__, protocol)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        call: Any = self.__wrapped__
        result = call(
            *map(_bare_within, args), **{key: _bare_within(arg) for key, arg in kwargs.items()}
        )
        if not self._arrived:
            return result  # type: ignore[no-any-return]
        return Carry(result, sticky=self._sticky)  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return _attribute_of_wrapped(self, name)

    def __repr__(self) -> str:
        return f"ferropickle.remote({self.__wrapped__!r})"


def remote(function: Callable[P, R], *, sticky: bool = False) -> Remote[P, R]:
    """Wrap a function so that any engine that pickles can send it away.

    The function, a lambda or closure for instance, travels in our stream. Over
    there it is called with its arguments unwrapped from any `Carry` (also from
    one in a list, tuple or dict among them), and its result goes back in a
    `Carry`, so it arrives bare whatever it holds. Called where it was made it
    is the function itself, and its result is bare. Exceptions are left to the
    engine.

    sticky: results arrive as `Carry`, for engines that pickle them again.

    Raises TypeError for what cannot be called.
    """
    function = bare(function)
    if not callable(function):
        raise TypeError(f"remote needs something to call, not {type(function).__name__}")
    if isinstance(function, Remote):
        function = function.__wrapped__
    return Remote(function, sticky, arrived=False)


def bare(obj: Any) -> Any:
    """The object itself where it is in a `Carry`."""
    while type(obj) is Carry:
        obj = obj.__wrapped__
    return obj


def _bare_within(obj: Any) -> Any:
    """As `bare`, and in containers one level down."""
    kind = type(obj)
    if kind is Carry:
        return bare(obj)
    if kind is list or kind is tuple:
        return kind(map(bare, obj)) if any(type(x) is Carry for x in obj) else obj
    if kind is dict and any(type(value) is Carry for value in obj.values()):
        return {key: bare(value) for key, value in obj.items()}
    return obj


def _attribute_of_wrapped(carrier: Any, name: str) -> Any:
    # Not while it is being made, nor for what copy and pickle ask of a class.
    if "__wrapped__" not in carrier.__dict__ or name in {"__getstate__", "__setstate__"}:
        raise AttributeError(f"{type(carrier).__name__!r} object has no attribute {name!r}")
    return getattr(carrier.__wrapped__, name)


def _written(obj: Any, protocol: Any) -> tuple[Any, ...]:
    """Our stream of an object, and its buffers where the engine's pickler takes them."""
    if int(protocol) < 5:
        return (dumps(obj, 5),)
    buffers: list[PickleBuffer] = []

    def beside(buffer: PickleBuffer) -> bool:
        """Whether the buffer goes in band; keeps the others."""
        if memoryview(buffer).nbytes < SMALL_BUFFER:
            return True
        buffers.append(buffer)
        return False

    stream = dumps(obj, 5, buffer_callback=beside)
    return (stream, *buffers)


def _load(stream: Any, *buffers: Any) -> Any:
    return loads(stream, buffers=buffers)


def _load_sticky(stream: Any, *buffers: Any) -> Carry:
    return Carry(_load(stream, *buffers), sticky=True)


def _load_remote(stream: Any, *buffers: Any) -> Remote[..., Any]:
    return Remote(_load(stream, *buffers), sticky=False, arrived=True)


def _load_sticky_remote(stream: Any, *buffers: Any) -> Remote[..., Any]:
    return Remote(_load(stream, *buffers), sticky=True, arrived=True)
