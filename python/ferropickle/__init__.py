"""ferropickle: a faster pickle with a Rust core.

The functions and classes take what those of the standard library's `pickle`
take and write streams that it can read::

    import ferropickle as fp

    data = fp.dumps({"a": [1, 2, 3]})
    obj = fp.loads(data)

`ferropickle.compat.pickle` keeps to the standard library's contract to the
letter; here errors begin with the path to the object that failed, and the
default protocol is 5 on every Python.
"""

from _pickle import PickleBuffer, PickleError, PicklingError, UnpicklingError

from ferropickle._native import (
    DEFAULT_PROTOCOL,
    HIGHEST_PROTOCOL,
    DeviceError,
    Parcel,
    ParcelError,
    Pickler,
    Policy,
    Unpickler,
    __version__,
    dump,
    dumps,
    load,
    loads,
    pack,
    unpack,
)

# Importing this costs no more than importing the standard library's pickle, and less than typing
# alone: type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ferropickle._carry import Carry, remote
    from ferropickle._device import DeviceArray
    from ferropickle._files import File, load_file, open, save
    from ferropickle._native import Arena
    from ferropickle._policy import policy
    from ferropickle.channel import AuthenticationError, Channel, Listener

# Imported when they are first asked for.
_LATER = {
    "Arena": "_native",
    "AuthenticationError": "channel",
    "Carry": "_carry",
    "Channel": "channel",
    "DeviceArray": "_device",
    "File": "_files",
    "Listener": "channel",
    "load_file": "_files",
    "open": "_files",
    "policy": "_policy",
    "remote": "_carry",
    "save": "_files",
}

__all__ = [
    "Arena",
    "AuthenticationError",
    "Carry",
    "Channel",
    "DEFAULT_PROTOCOL",
    "DeviceArray",
    "DeviceError",
    "File",
    "HIGHEST_PROTOCOL",
    "Listener",
    "Parcel",
    "ParcelError",
    "PickleBuffer",
    "PickleError",
    "Pickler",
    "PicklingError",
    "Policy",
    "Unpickler",
    "UnpicklingError",
    "__version__",
    "dump",
    "dumps",
    "load",
    "load_file",
    "loads",
    "open",
    "pack",
    "policy",
    "remote",
    "save",
    "unpack",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
