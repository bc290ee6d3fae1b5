"""Who is measured: one table, `CONTENDERS`. The first is the base of ratios, as a rule."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import adapters
from adapters import OURS, Pair, Skip

BASE = "pickle"
TWO_THREADS = "ferropickle, 2 threads"
ONE_THREAD = "ferropickle, 1 thread"


@dataclass(frozen=True)
class Contender:
    """One serializer as its users would call it."""

    name: str
    package: str  # the distribution, for the version; "" is the standard library
    plain: Callable[[], Pair]
    oob: Callable[[], Pair] | None = None  # buffers out of band, if it can
    note: str = ""
    protocol: int | None = None  # the second argument of dumps, given by the timed loop itself
    reads: str = ""  # loads only: the stream that this other contender wrote
    stock: bool = False  # stdlib `pickle.loads` must read the stream
    named_only: bool = False  # takes part only where it is named
    reference: bool = False  # another format, with no identity and no classes: no peer

    def functions(self, oob: bool) -> Pair:
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


_PICKLE, _PICKLE_OOB = adapters.like_pickle("pickle")
_OURS, _OURS_OOB = adapters.like_pickle("ferropickle")
_CLOUD, _CLOUD_OOB = adapters.like_pickle("cloudpickle")
_DILL, _DILL_OOB = adapters.like_pickle("dill")
_DILL_RECURSE, _ = adapters.like_pickle("dill", recurse=True)
_LARCH, _ = adapters.like_pickle("larch.pickle")

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
        Contender("dill", "dill", _DILL, _DILL_OOB, "a pickler in Python", 5),
        Contender(
            "dill, recurse", "dill", _DILL_RECURSE, None, "dumps(recurse=True)", 5,
            named_only=True,
        ),
        Contender("quickle", "quickle", adapters.quickle, None, "reused Encoder and Decoder"),
        Contender("pyfory", "pyfory", adapters.pyfory, None, "xlang=False, ref=True, strict=False"),
        Contender("larch", "larch-pickle", _LARCH, None, "", 5),
        Contender("compickle", "compickle", adapters.functions_of("compickle")),
        Contender("pysafe", "pysafe-pickle", adapters.functions_of("pysafe_pickle")),
        Contender("joblib", "joblib", adapters.joblib, None, "to memory", named_only=True),
        Contender(
            "msgspec", "msgspec", adapters.msgspec, None, "MessagePack, no schema", reference=True
        ),
        Contender(
            "ormsgpack", "ormsgpack", adapters.ormsgpack, None, "MessagePack", reference=True
        ),
        Contender(
            "orjson", "orjson", adapters.functions_of("orjson"), None, "JSON", reference=True
        ),
        Contender("marshal", "", adapters.marshal, None, "stdlib, C", reference=True),
        Contender(
            "pickle, gc paused", "", adapters.gc_paused, None, "C pickle inside gc.disable()", 5
        ),
        Contender(
            "ferropickle, face of pickle", "ferropickle", adapters.with_policy(face="pickle"), None,
            'Policy(face="pickle")', 5, named_only=True,
        ),
        Contender(
            ONE_THREAD, "ferropickle", adapters.with_policy(threads=1), None,
            "Policy(threads=1)", 5, named_only=True, stock=True,
        ),
        Contender(
            TWO_THREADS, "ferropickle", adapters.with_policy(threads=2), None,
            "Policy(threads=2)", 5, named_only=True, stock=True,
        ),
    )
}  # fmt: skip
