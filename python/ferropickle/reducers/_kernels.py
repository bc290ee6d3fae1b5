"""What the reducers of the kernel libraries share: names, the text of functions, handles refused.

A handle is a number that means something to one process: the address of a stream, an event, a
module, device memory. Nothing here, and nothing that uses this, puts one into a stream.
"""

from __future__ import annotations

import hashlib
import inspect
import operator
import sys
import types
from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._forms import Call, attribute, by_name, goes_by_value, module, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

# Streams that every process has, by the handle's value.
LEGACY, PER_THREAD = (0, 1), 2


def handle(obj: object, what: str, instead: str) -> NoReturn:
    """Refuse what holds a handle: what it is, what to pickle or do in its place."""
    refuse(obj, f"{what} is a handle of this process; {instead}")


def stream(obj: object, address: int, legacy: ReduceValue, per_thread: ReduceValue) -> ReduceValue:
    """The reduce value of a stream: a default one is the receiver's, any other is refused."""
    if address in LEGACY:
        return legacy
    if address == PER_THREAD:
        return per_thread
    handle(obj, "a stream", "make one where it is loaded. Default streams can be pickled")


def named(obj: object, function: Any, policy: Any, links: tuple[str, ...] = ()) -> ReduceValue:
    """The reduce value for a kernel by the name of the function that it was made of, or None.

    links: attributes that lead from a kernel to the one that it wraps. The
        name may lead to one that wraps this one.
    """
    module_name, path = getattr(function, "__module__", None), function.__qualname__
    if type(module_name) is not str or goes_by_value(module_name, policy):
        return None
    found: Any = sys.modules.get(module_name)
    for name in path.split("."):
        found = getattr(found, name, None)
    while found is not None:
        if found is obj:
            return by_name(module_name, path)
        link = next((link for link in links if hasattr(found, link)), None)
        if link is None or found is function:
            return None
        found, path = getattr(found, link), f"{path}.{link}"
    return None


def with_text(function: Any, source: tuple[list[str], int] | None = None) -> Any:
    """A function for libraries that compile its text: what makes it, and shows its text there.

    The text is entered in `linecache` under a name of its own, so the receiver needs no file, and
    a file of the same name there is not taken for it. Line numbers stay as they are.

    source: the lines and the number of the first, if the library has read them; the file may have
        changed since.
    """
    if not isinstance(function, types.FunctionType):
        return function
    try:
        lines, first = source or inspect.getsourcelines(function)
    except (OSError, TypeError):
        refuse(function, "its source is not known here, and the kernel is compiled from it")
    text = "".join(lines)
    name = function.__code__.co_filename
    if not name.startswith("<kernel "):
        digest = hashlib.sha256(f"{first}\n{text}".encode(errors="surrogatepass"))
        name = f"<kernel {function.__name__} {digest.hexdigest()[:16]}>"
    # An entry without a time is never dropped for want of the file.
    blank = Call(operator.mul, ["\n"], max(first, 1) - 1)
    entry = (len(text), None, Call(operator.add, blank, lines), name)
    cache = attribute(module("linecache"), "cache")
    shown = Call(operator.setitem, cache, name, entry)
    return Call(operator.itemgetter(-1), [shown, _renamed(function, name)])


def _renamed(function: types.FunctionType, file: str) -> types.FunctionType:
    """The function as if it was written in another file."""
    if function.__code__.co_filename == file:
        return function
    copy = types.FunctionType(
        function.__code__.replace(co_filename=file),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    for name in ("__kwdefaults__", "__annotations__", "__qualname__", "__module__", "__doc__"):
        setattr(copy, name, getattr(function, name))
    copy.__dict__.update(vars(function))
    return copy
