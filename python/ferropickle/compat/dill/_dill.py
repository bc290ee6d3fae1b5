"""The names of dill's inner module that code outside of dill is known to use."""

from __future__ import annotations

import pickle as _pickle
import sys
from typing import Any

from ferropickle.compat.dill._errors import (
    PickleError,
    PickleWarning,
    PicklingError,
    PicklingWarning,
    UnpicklingError,
    UnpicklingWarning,
)
from ferropickle.compat.dill._functions import check, copy, dump, dumps, load, loads, pickles
from ferropickle.compat.dill._pickler import (
    CONTENTS_FMODE,
    FILE_FMODE,
    HANDLE_FMODE,
    Pickler,
    Unpickler,
    pickle,
    register,
)
from ferropickle.compat.dill.logger import adapter as logger

__all__ = [
    "CONTENTS_FMODE",
    "DEFAULT_PROTOCOL",
    "FILE_FMODE",
    "HANDLE_FMODE",
    "HIGHEST_PROTOCOL",
    "IS_PYPY",
    "PickleError",
    "PickleWarning",
    "Pickler",
    "PicklingError",
    "PicklingWarning",
    "Unpickler",
    "UnpicklingError",
    "UnpicklingWarning",
    "check",
    "copy",
    "dump",
    "dumps",
    "is_dill",
    "load",
    "loads",
    "logger",
    "pickle",
    "pickles",
    "register",
]

DEFAULT_PROTOCOL = _pickle.DEFAULT_PROTOCOL
HIGHEST_PROTOCOL = _pickle.HIGHEST_PROTOCOL
IS_PYPY = not hasattr(sys, "getrefcount")


def is_dill(pickler: Any, child: bool | None = None) -> bool:
    """Whether a pickler is one of this facade's.

    child: False for `Pickler` itself alone; else subclasses count too.
    """
    return type(pickler) is Pickler if child is False else isinstance(pickler, Pickler)
