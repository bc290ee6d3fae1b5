"""dump, load and their kin."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import IO, Any

from ferropickle import _native
from ferropickle.compat.dill import _policies as policies
from ferropickle.compat.dill._errors import PicklingError, UnpicklingError
from ferropickle.compat.dill._pickler import Pickler, Unpickler, of_main
from ferropickle.compat.dill.logger import adapter
from ferropickle.compat.dill.settings import chosen

__all__ = ["check", "copy", "dump", "dumps", "load", "loads", "pickles"]


def dump(
    obj: Any,
    file: IO[bytes],
    protocol: int | None = None,
    byref: bool | None = None,
    fmode: int | None = None,
    recurse: bool | None = None,
    **kwds: Any,
) -> None:
    """Pickle an object to a file.

    protocol, byref, fmode, recurse: as `settings` describes them; its values
        stand where they are not given.
    kwds: those of `Pickler`.

    Raises PicklingError, and what the objects' own reducers raise.
    """
    kwds.update(byref=byref, fmode=fmode, recurse=recurse)
    Pickler(file, protocol, **kwds).dump(obj)


def dumps(
    obj: Any,
    protocol: int | None = None,
    byref: bool | None = None,
    fmode: int | None = None,
    recurse: bool | None = None,
    **kwds: Any,
) -> bytes:
    """Return the pickled form of an object; see `dump`."""
    if not kwds and not Pickler.dispatch and not adapter.tracing:
        # what a Pickler would do, without one
        policy = policies.plain(
            bool(chosen("byref", byref)),
            int(chosen("fmode", fmode)),
            bool(chosen("recurse", recurse)),
        )
        return _native.dumps(obj, int(chosen("protocol", protocol)), policy=policy)
    file = io.BytesIO()
    dump(obj, file, protocol, byref, fmode, recurse, **kwds)
    return file.getvalue()


def load(file: IO[bytes], ignore: bool | None = None, **kwds: Any) -> Any:
    """Read an object from a file.

    ignore: as `settings` describes it; its value stands where it is not given.
    kwds: those of `Unpickler`.

    Raises UnpicklingError, and what the rebuilding of the objects raises.
    """
    return Unpickler(file, ignore=ignore, **kwds).load()


def loads(str: bytes, ignore: bool | None = None, **kwds: Any) -> Any:
    """Read an object from bytes; see `load`."""
    obj = _native.loads(str, policy=policies.LOAD, **kwds)
    return obj if chosen("ignore", ignore) else of_main(obj)


def copy(obj: Any, *args: Any, **kwds: Any) -> Any:
    """Return a copy of an object that is made by pickling it.

    args, kwds: those of `dumps`, and `ignore` of `loads`.
    """
    ignore = kwds.pop("ignore", None)
    return loads(dumps(obj, *args, **kwds), ignore=ignore)


# What means "cannot be pickled". As with dill, an exception of any other kind is a fault of the
# object's own code, to be seen, and passes on unless the caller asks for `safe`.
_REFUSALS = (TypeError, AssertionError, NotImplementedError, PicklingError, UnpicklingError)


def pickles(obj: Any, exact: bool = False, safe: bool = False, **kwds: Any) -> bool:
    """Whether an object can be pickled: a copy is equal, or of the same type.

    exact: a copy has to be equal.
    safe: exceptions of every kind mean no; else those that are not pickling's
        own are passed on.
    kwds: those of `copy`.
    """
    try:
        return _is_like(copy(obj, **kwds), obj, exact)
    except Exception as error:
        if not safe and not isinstance(error, _REFUSALS):
            raise
        return False


def failures(obj: Any, exact: bool, safe: bool) -> Exception | None:
    """The error that a copy of an object ends in, or None.

    exact: an AssertionError for a copy that is not equal.
    safe: errors that are not pickling's own are returned too, else raised.
    """
    try:
        found = copy(obj)
        if _is_like(found, obj, exact):
            return None
    except Exception as error:
        if not safe and not isinstance(error, _REFUSALS):
            raise
        return error
    return AssertionError(f"Unpickling produces {found!r} instead of {obj!r}")


def _is_like(found: Any, obj: Any, exact: bool) -> bool:
    # a class by value is another class of the same name
    if not exact and (type(found) is type(obj) or repr(type(found)) == repr(type(obj))):
        return True
    same = found == obj
    return bool(same.all() if hasattr(same, "all") else same)


_LOAD = "import sys; from ferropickle.compat import dill; print(dill.load(sys.stdin.buffer))"


def check(obj: Any, *args: Any, **kwds: Any) -> None:
    """Load a pickle of an object in another process, which prints what came of it.

    python: the interpreter to run; this one if not given.
    verbose: None to print nothing but errors; True to print the outcome as well.
    args, kwds: those of `copy`.

    Raises what `dumps` raises. What the other process raises it prints.
    """
    python = kwds.pop("python", None) or sys.executable
    verbose = kwds.pop("verbose", False)
    ignore = kwds.pop("ignore", None)
    try:
        data = dumps(obj, *args, **kwds)
    except Exception:
        if verbose:
            print("DUMP FAILED")
        raise
    code = _LOAD if ignore is None else _LOAD.replace(".buffer", f".buffer, {bool(ignore)}")
    quiet = subprocess.DEVNULL if verbose is None else None
    failed = subprocess.run([python, "-c", code], input=data, stdout=quiet, check=False).returncode
    if verbose:
        print("LOAD FAILED" if failed else "SUCCESS")
