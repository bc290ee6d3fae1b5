"""ferropickle with the interface of dill: code changes nothing but its import.

    from ferropickle.compat import dill

    data = dill.dumps(lambda x: x + 1)

The engine is ferropickle's own: what dill does in Python is done there, and
streams need no dill to be loaded. `settings` is one dict for the process, as
in dill; only this facade reads it.

Where it differs from dill, it is on purpose:

* The standard library's `pickle` is never changed: `extend` does nothing.
* Modules go by name, never with their state: loading one would overwrite the
  receiver's. `dump_module` writes a module's state.
* NumPy arrays go as NumPy writes them, also out of band.
"""

from pickle import DEFAULT_PROTOCOL, HIGHEST_PROTOCOL
from typing import Any

from ferropickle.compat.dill import (
    _dill,
    detect,
    logger,
    objtypes,
    pointers,
    session,
    source,
    temp,
)
from ferropickle.compat.dill import objtypes as types
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
from ferropickle.compat.dill.session import (
    dump_module,
    dump_session,
    load_module,
    load_module_asdict,
    load_session,
)
from ferropickle.compat.dill.settings import settings

__all__ = [
    "CONTENTS_FMODE",
    "DEFAULT_PROTOCOL",
    "FILE_FMODE",
    "HANDLE_FMODE",
    "HIGHEST_PROTOCOL",
    "PickleError",
    "PickleWarning",
    "Pickler",
    "PicklingError",
    "PicklingWarning",
    "Unpickler",
    "UnpicklingError",
    "UnpicklingWarning",
    "_dill",
    "check",
    "citation",
    "copy",
    "detect",
    "dump",
    "dump_module",
    "dump_session",
    "dumps",
    "extend",
    "license",
    "load",
    "load_module",
    "load_module_asdict",
    "load_session",
    "load_types",
    "loads",
    "logger",
    "objects",
    "objtypes",
    "pickle",
    "pickles",
    "pointers",
    "register",
    "session",
    "settings",
    "source",
    "temp",
    "types",
]

# The dill whose interface this is.
__version__ = "0.4.1"

# The catalogue of objects, by the name of their type; `load_types` fills it.
objects: dict[str, Any] = {}


def load_types(pickleable: bool = True, unpickleable: bool = True) -> None:
    """Fill `objects` with an object of each kind, and `types` with their types.

    pickleable: those that can be pickled.
    unpickleable: those that cannot.
    """
    from ferropickle.compat.dill import _objects

    if pickleable:
        objects.update(_objects.pickleable())
    if unpickleable:
        objects.update(_objects.unpickleable())
    for name, obj in objects.items():
        setattr(objtypes, name, type(obj))


def extend(use_dill: bool = True) -> None:
    """Do nothing; dill adds its types to the standard library's `pickle` here.

    ferropickle never changes `pickle`. Use this module's functions, or a
    subclass of its `Pickler`, where `pickle` alone is not enough.
    """


def license() -> None:
    """Print the licence of ferropickle."""
    print("ferropickle: Apache-2.0 OR MIT. The texts are in its distribution.")


def citation() -> None:
    """Print how to cite ferropickle."""
    from ferropickle import __version__ as version

    print(f'The ferropickle developers, "ferropickle {version}".')
