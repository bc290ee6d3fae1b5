"""The names of cloudpickle before release 3, which kept its pickler in this module."""

from ferropickle.compat.cloudpickle.cloudpickle import (
    CloudPickler,
    Pickler,
    dump,
    dumps,
    load,
    loads,
)

__all__ = ["CloudPickler", "Pickler", "dump", "dumps", "load", "loads"]
