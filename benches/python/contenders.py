"""Who is measured: one table, `CONTENDERS`. The first is the base of ratios, as a rule."""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.metadata
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Dumps = Callable[..., Any]
Loads = Callable[[Any], Any]
BASE = "pickle"
OURS = "ferropickle"


class Skip(Exception):
    """This contender cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Contender:
    """One serializer as its users would call it."""

    name: str
    package: str  # the distribution, for the version; "" is the standard library
    plain: Callable[[], tuple[Dumps, Loads]]
    oob: Callable[[], tuple[Dumps, Loads]] | None = None  # buffers out of band, if it can
    note: str = ""
    protocol: int | None = None  # the second argument of dumps, given by the timed loop itself
    reads: str = ""  # loads only: the stream that this other contender wrote
    stock: bool = False  # stdlib `pickle.loads` must read the stream
    named_only: bool = False  # takes part only in workloads that name it

    def functions(self, oob: bool) -> tuple[Dumps, Loads]:
        """`(dumps, loads)`; raises `Skip` with the reason."""
        if not oob:
            return self.plain()
        if self.oob is None:
            raise Skip("no out-of-band buffers")
        return self.oob()

    def version(self) -> str:
        """The version measured; "" for the standard library or where there is none."""
        try:
            return importlib.metadata.version(self.package) if self.package else ""
        except importlib.metadata.PackageNotFoundError:
            return ""


def load_module(name: str) -> Any:
    """Import `name`; whatever keeps it from importing becomes the reason to skip."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.split(".")[0]
        why = str(error).rsplit("/", 1)[-1]  # without the directory of a shared object
        raise Skip("not installed" if missing else f"does not import: {why}") from error


def like_pickle(name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The two faces, in band and out of band, of a module with pickle's functions."""

    def plain() -> tuple[Dumps, Loads]:
        module = load_module(name)
        return module.dumps, module.loads

    def oob() -> tuple[Dumps, Loads]:
        module = load_module(name)
        dumps, loads = module.dumps, module.loads

        def dumps_oob(obj: Any, protocol: int) -> Any:
            buffers: list[Any] = []
            return dumps(obj, protocol, buffer_callback=buffers.append), buffers

        return dumps_oob, lambda data: loads(data[0], buffers=data[1])

    return plain, oob


def gc_paused() -> tuple[Dumps, Loads]:
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


def face_of_pickle() -> tuple[Dumps, Loads]:
    """ferropickle with functions and classes by name alone, as pickle has them."""
    module = load_module(OURS)
    policy = module.Policy(face="pickle")
    return functools.partial(module.dumps, policy=policy), module.loads


def quickle() -> tuple[Dumps, Loads]:
    """Encoder and decoder are made once, as its documentation advises."""
    module = load_module("quickle")
    return module.Encoder().dumps, module.Decoder().loads


def pyfory() -> tuple[Dumps, Loads]:
    """Python mode with references tracked, as a replacement for pickle needs it."""
    module = load_module("pyfory")
    fory = module.Fory(
        xlang=False, ref=True, strict=False, max_depth=10_000, max_graph_memory_bytes=2**33
    )
    return fory.serialize, fory.deserialize


def msgspec() -> tuple[Dumps, Loads]:
    """MessagePack without a schema: another format, no identity, no classes; a reference."""
    module = load_module("msgspec")
    return module.msgpack.Encoder().encode, module.msgpack.Decoder().decode


_PICKLE, _PICKLE_OOB = like_pickle("pickle")
_OURS, _OURS_OOB = like_pickle("ferropickle")
_CLOUD, _CLOUD_OOB = like_pickle("cloudpickle")

CONTENDERS: dict[str, Contender] = {
    c.name: c
    for c in (
        Contender(BASE, "", _PICKLE, _PICKLE_OOB, "stdlib, C: the base", 5),
        Contender(OURS, "ferropickle", _OURS, _OURS_OOB, "", 5, stock=True),
        Contender(
            "ferropickle, stock stream", "ferropickle", _OURS, _OURS_OOB,
            "ferropickle.loads of the stream that C pickle wrote", 5, reads=BASE,
        ),
        Contender("cloudpickle", "cloudpickle", _CLOUD, _CLOUD_OOB, "", 5),
        Contender("quickle", "quickle", quickle, None, "reused Encoder and Decoder"),
        Contender("pyfory", "pyfory", pyfory, None, "xlang=False, ref=True, strict=False"),
        Contender("msgspec", "msgspec", msgspec, None, "MessagePack, no schema: a reference"),
        Contender("pickle, gc paused", "", gc_paused, None, "C pickle inside gc.disable()", 5),
        Contender(
            "ferropickle, face of pickle", "ferropickle", face_of_pickle, None,
            'Policy(face="pickle")', 5, named_only=True,
        ),
    )
}  # fmt: skip
