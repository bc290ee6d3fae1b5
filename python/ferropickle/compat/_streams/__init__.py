"""What streams of cloudpickle and dill name, for a Python that has neither.

Such a stream calls helper functions of the package that wrote it. A load looks
here for them when that package cannot be imported; an installed one goes first.
The helpers keep to what the streams need; a table says which names there are.
"""

from __future__ import annotations

import importlib
from pickle import UnpicklingError
from typing import Any

# Module in a stream, and the module here that has its names in `NAMES`.
_MODULES = {
    "cloudpickle": "cloudpickle_names",
    "cloudpickle.cloudpickle": "cloudpickle_names",
    "cloudpickle.cloudpickle_fast": "cloudpickle_names",
    "dill": "dill_names",
    "dill._dill": "dill_names",
    "dill._shims": "dill_names",
    # The name of `dill._dill` before dill 0.2.8.
    "dill.dill": "dill_names",
    # Where dill finds what is in no module.
    "__builtin__": "builtin_names",
}


# What takes the place of a peer's public names.
_FACES = {"cloudpickle": "ferropickle.compat.cloudpickle", "dill": "ferropickle.compat.dill"}


def find(module: str, name: str) -> Any:
    """Return what a stream means by a global of a peer that is not installed.

    A public name of the peer is the one of the face that stands in for it.

    Raises UnpicklingError for a name that is not known, and says what to do.
    """
    here = _MODULES.get(module)
    if here is not None:
        names = importlib.import_module(f"{__name__}.{here}").NAMES
        found = names.get(name, names)
        if found is not names:
            return found
    peer = module.partition(".")[0]
    if here is not None and peer in _FACES:
        face = importlib.import_module(_FACES[peer])
        if name in face.__all__:
            return getattr(face, name)
    raise UnpicklingError(
        f"this stream was written by {peer} and needs {module}.{name}, which ferropickle has no "
        f"replacement for; install {peer} to load it"
    )
