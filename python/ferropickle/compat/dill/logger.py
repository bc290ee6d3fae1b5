"""The trace of a dump: each object as it is entered, and what it added to the stream.

`trace` is for users. `logger` is the `logging.Logger` called ``dill``, `adapter`
what the facade's pickler writes the trace with, `stderr_handler` the handler
that `logger` begins with.

A trace looks like this::

    >>> with trace():
    ...     dumps({"a": 42, "b": {"x": None}})
    ┬ D: <dict object at 0x7f2721804800>
    ├┬ D: <dict object at 0x7f27217f5c40>
    │└ # D [8 B]
    └ # D [22 B]

Every object is in it but numbers, strings and the like, and those that were
written before. Where a dump fails, the last lines are those of the culprit and
of what contains it.
"""

from __future__ import annotations

import logging
import os
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from contextlib import AbstractContextManager

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # generic from 3.11 on

__all__ = ["adapter", "logger", "stderr_handler", "trace"]

_PLAIN = {"prefix": "", "suffix": ""}


class TraceFormatter(logging.Formatter):
    """Puts the tree's lines before a message and the size after it."""

    def __init__(self) -> None:
        super().__init__("%(prefix)s%(message)s%(suffix)s")

    def format(self, record: logging.LogRecord) -> str:
        for name, value in _PLAIN.items():
            record.__dict__.setdefault(name, value)
        return super().format(record)


class TraceAdapter(_Adapter):
    """Writes a trace with a logger."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs.setdefault("extra", _PLAIN)
        return msg, kwargs

    def addHandler(self, handler: logging.Handler) -> None:
        """Add a handler to the logger, with a formatter that draws the tree."""
        handler.setFormatter(TraceFormatter())
        self.logger.addHandler(handler)

    def removeHandler(self, handler: logging.Handler) -> None:
        """Remove a handler from the logger."""
        self.logger.removeHandler(handler)

    @property
    def tracing(self) -> bool:
        """Whether dumps are traced."""
        return self.logger.isEnabledFor(logging.INFO)


class Trace:
    """Turns what an engine tells of one dump into the lines of a tree."""

    def __init__(self, adapter: TraceAdapter) -> None:
        self._adapter = adapter
        # depth and position in the engine's terms, and the object's mark
        self._open: list[tuple[int, int, str]] = []
        # kept alive, so that no other object gets their id
        self._met: dict[int, Any] = {}

    def observe(self, obj: Any, depth: int, position: int) -> None:
        """Take note of an object: `Pickler` calls this before each one.

        depth: grows from an object to its parts; -1 at the end of the dump.
        position: how long the stream is.
        """
        while self._open and self._open[-1][0] >= depth:
            _, began, mark = self._open.pop()
            lines = "│" * len(self._open) + "└ "
            size = f" [{_human(position - began)}]"
            self._adapter.info("# %s", mark, extra={"prefix": lines, "suffix": size})
        if depth < 0 or type(obj) in _ATOMS or id(obj) in self._met:
            return
        self._met[id(obj)] = obj
        mark, text = _described(obj)
        around = len(self._open)
        lines = "│" * (around - 1) + "├" if around else ""
        extra = {"prefix": lines + "┬ ", "suffix": ""}
        self._adapter.info("%s: %s", mark, text, extra=extra)
        self._open.append((depth, position, mark))


_ATOMS = (type(None), bool, int, float, complex, str, bytes)

# Marks of kinds of objects; "O" is any other.
_MARKS: dict[type, str] = {
    dict: "D",
    list: "L",
    tuple: "Tu",
    set: "S",
    frozenset: "S",
    types.FunctionType: "F",
    types.BuiltinFunctionType: "F",
    types.MethodType: "Me",
    types.CodeType: "Co",
    types.CellType: "Ce",
    types.ModuleType: "M",
}

_TELLING: tuple[Any, ...] = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    types.CodeType,
)


def _described(obj: Any) -> tuple[str, str]:
    """The mark of an object's kind, and a text that runs no code of its class."""
    cls = type(obj)
    mark = "T" if isinstance(obj, type) else _MARKS.get(cls, "O")
    if cls in _TELLING:
        return mark, repr(obj)
    name = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    return mark, f"<{name} object at {id(obj):#x}>"


def _human(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    amount = float(size)
    for unit in ("KiB", "MiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.0f} {unit}"
    return f"{amount / 1024:.0f} GiB"


logger = logging.getLogger("dill")
logger.propagate = False
adapter = TraceAdapter(logger)
# As dill's: to whatever sys.stderr is when something is written.
stderr_handler: logging.Handler = logging._StderrHandler()  # type: ignore[attr-defined]
adapter.addHandler(stderr_handler)
logger.setLevel(logging.WARNING)


def trace(
    arg: bool | TextIO | str | os.PathLike[str] | None = None, *, mode: str = "a"
) -> AbstractContextManager[Callable[..., None]] | None:
    """Trace what is pickled, from here on or for a block.

    arg: True or False puts the trace on or off. Anything else makes a context
        manager: nothing for standard error, a text file, or the name of one.
    mode: how a file that is given by its name is opened.

    The context manager gives a function that writes a line of one's own into
    the trace, and puts the level of the logger back at the end.
    """
    if isinstance(arg, bool):
        logger.setLevel(logging.INFO if arg else logging.WARNING)
        return None
    return _tracing(arg, mode)


@contextmanager
def _tracing(
    target: TextIO | str | os.PathLike[str] | None, mode: str
) -> Iterator[Callable[..., None]]:
    level = logger.level
    handler: logging.Handler | None = None
    others = list(logger.handlers)
    if target is not None:
        if isinstance(target, (str, os.PathLike)):
            handler = logging.FileHandler(target, mode, encoding="utf-8")
        else:
            handler = logging.StreamHandler(target)
        for other in others:
            logger.removeHandler(other)
        adapter.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield adapter.info
    finally:
        logger.setLevel(level)
        if handler is not None:
            logger.removeHandler(handler)
            handler.close()
            for other in others:
                logger.addHandler(other)
