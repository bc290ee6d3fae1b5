"""How each serializer is called: pairs of `dumps` and `loads` as its users would make them."""

from __future__ import annotations

import functools
import gc
import importlib
import io
import marshal as stdlib_marshal
import pickle
from collections.abc import Callable
from typing import Any

Dumps = Callable[..., Any]
Loads = Callable[[Any], Any]
Pair = tuple[Dumps, Loads]
OURS = "ferropickle"


class Skip(Exception):
    """This contender cannot run here; the message is the reason."""


def load_module(name: str) -> Any:
    """Import `name`; whatever keeps it from importing becomes the reason to skip."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.split(".")[0]
        why = str(error).rsplit("/", 1)[-1]  # without the directory of a shared object
        raise Skip("not installed" if missing else f"does not import: {why}") from error


def like_pickle(name: str, **options: Any) -> tuple[Callable[[], Pair], Callable[[], Pair]]:
    """The two faces, in band and out of band, of a module with pickle's functions."""

    def plain() -> Pair:
        module = load_module(name)
        dumps = functools.partial(module.dumps, **options) if options else module.dumps
        return dumps, module.loads

    def oob() -> Pair:
        module = load_module(name)
        dumps, loads = module.dumps, module.loads

        def dumps_oob(obj: Any, protocol: int) -> Any:
            buffers: list[Any] = []
            return dumps(obj, protocol, buffer_callback=buffers.append, **options), buffers

        return dumps_oob, lambda data: loads(data[0], buffers=data[1])

    return plain, oob


def gc_paused() -> Pair:
    """What any user can have with `gc.disable()`: C pickle with the cyclic collector off."""

    def dumps(obj: Any, protocol: int) -> bytes:
        on = gc.isenabled()
        gc.disable()
        try:
            return pickle.dumps(obj, protocol)
        finally:
            if on:
                gc.enable()

    def loads(data: bytes) -> Any:
        on = gc.isenabled()
        gc.disable()
        try:
            return pickle.loads(data)
        finally:
            if on:
                gc.enable()

    return dumps, loads


def with_policy(**choices: Any) -> Callable[[], Pair]:
    """ferropickle with these choices."""

    def pair() -> Pair:
        module = load_module(OURS)
        policy = module.Policy(**choices)
        return functools.partial(module.dumps, policy=policy), functools.partial(
            module.loads, policy=policy
        )

    return pair


def quickle() -> Pair:
    """Encoder and decoder are made once, as its documentation advises."""
    module = load_module("quickle")
    return module.Encoder().dumps, module.Decoder().loads


def pyfory() -> Pair:
    """Python mode with references tracked, as a replacement for pickle needs it."""
    module = load_module("pyfory")
    fory = module.Fory(
        xlang=False, ref=True, strict=False, max_depth=10_000, max_graph_memory_bytes=2**33
    )
    return fory.serialize, fory.deserialize


def functions_of(name: str) -> Callable[[], Pair]:
    """`dumps(obj)` and `loads(data)` of a module."""

    def pair() -> Pair:
        module = load_module(name)
        return module.dumps, module.loads

    return pair


def joblib() -> Pair:
    """To memory and back, not compressed."""
    module = load_module("joblib")

    def dumps(obj: Any) -> bytes:
        file = io.BytesIO()
        module.dump(obj, file, protocol=5)
        return file.getvalue()

    return dumps, lambda data: module.load(io.BytesIO(data))


# -- other formats: no classes, no identity ------------------------------------------------------


def msgspec() -> Pair:
    """MessagePack without a schema."""
    module = load_module("msgspec")
    return module.msgpack.Encoder().encode, module.msgpack.Decoder().decode


def ormsgpack() -> Pair:
    """MessagePack."""
    module = load_module("ormsgpack")
    return module.packb, module.unpackb


def marshal() -> Pair:
    """The interpreter's own format of code objects."""
    return stdlib_marshal.dumps, stdlib_marshal.loads
