"""Objects that belong to a process: refused, each with what to pickle in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ferropickle.reducers._forms import refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def awaited(obj: Any, policy: Any) -> NoReturn:
    refuse(obj, "it is in the midst of being awaited; pickle what comes of it")


def connection(obj: Any, policy: Any) -> NoReturn:
    refuse(obj, "a connection belongs to its process; pickle the address and connect again")


def event_loop(obj: Any, policy: Any) -> NoReturn:
    refuse(obj, "an event loop and what runs in it belong to their process; pickle the results")


def process(obj: Any, policy: Any) -> NoReturn:
    refuse(obj, "a child belongs to its process; pickle its arguments, output or return code")


def compressor(obj: Any, policy: Any) -> NoReturn:
    refuse(obj, "the state of the compression cannot be read; pickle the data before or after it")


def mapped_memory(obj: Any, policy: Any) -> ReduceValue:
    refuse(obj, "memory is mapped for this process; pickle bytes(obj), or the name of the file")
