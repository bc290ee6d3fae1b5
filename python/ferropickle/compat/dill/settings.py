"""The defaults of this facade, for the whole process, as dill has them.

The functions and classes of this package read the dict each time that they are
called without the argument in question. Nothing else in ferropickle reads it.

=========  ==============================================================
protocol   the pickle protocol
byref      classes of ``__main__`` by name instead of by value
fmode      open files: HANDLE_FMODE, CONTENTS_FMODE or FILE_FMODE
recurse    functions carry the globals that they use, not a reference to
           all of their module's
ignore     on load: do not re-point an instance to the class of that name
           in ``__main__``
=========  ==============================================================
"""

from __future__ import annotations

from pickle import DEFAULT_PROTOCOL
from typing import Any

__all__ = ["settings"]

settings: dict[str, Any] = {
    "protocol": DEFAULT_PROTOCOL,
    "byref": False,
    "fmode": 0,
    "recurse": False,
    "ignore": False,
}


def chosen(name: str, given: Any) -> Any:
    """An argument, or where it is None what the settings have."""
    return settings[name] if given is None else given
