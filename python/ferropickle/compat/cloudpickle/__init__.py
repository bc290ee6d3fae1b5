"""cloudpickle 3's names, by ferropickle's engine.

Same names, same arguments, same rules of what goes by value: what no import
leads to, what `__main__` defines, and the modules of
`register_pickle_by_value`. A class that comes again is the one that is there,
its attributes set anew. Two things differ, both for the better: streams need
nothing but the standard library to be loaded, and no depth is too deep. `load`
and `loads` also read what cloudpickle itself has written.
"""

from ferropickle.compat.cloudpickle import cloudpickle
from ferropickle.compat.cloudpickle.cloudpickle import (
    DEFAULT_PROTOCOL,
    CloudPickler,
    Pickler,
    dump,
    dumps,
    dynamic_subimport,
    instance,
    is_tornado_coroutine,
    list_registry_pickle_by_value,
    load,
    loads,
    register_pickle_by_value,
    subimport,
    unregister_pickle_by_value,
)

__all__ = [
    "DEFAULT_PROTOCOL",
    "CloudPickler",
    "Pickler",
    "__version__",
    "cloudpickle",
    "dump",
    "dumps",
    "dynamic_subimport",
    "instance",
    "is_tornado_coroutine",
    "list_registry_pickle_by_value",
    "load",
    "loads",
    "register_pickle_by_value",
    "subimport",
    "unregister_pickle_by_value",
]

# The release whose names and rules these are.
__version__ = "3.1.2"
