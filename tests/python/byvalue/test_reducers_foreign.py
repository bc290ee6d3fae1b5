"""Libraries and their functions go by name; so do the types that ctypes makes on demand."""

import ctypes
import pickle

import pytest

from helpers.stock import arrives, copy, dumps


def test_types_that_are_made_on_demand():
    array, pointer = ctypes.c_int * 3, ctypes.POINTER(ctypes.c_double)
    types = [
        array,
        array * 2,
        pointer,
        ctypes.POINTER(array),
        ctypes.CFUNCTYPE(ctypes.c_int, pointer),
        ctypes.CFUNCTYPE(None, use_errno=True),
    ]
    assert copy(types) == types
    # The standard library makes this one anew each time.
    got = copy(ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_int))
    assert (got._restype_, got._argtypes_) == (ctypes.py_object, (ctypes.c_int,))
    assert got._flags_ == ctypes.PYFUNCTYPE(None)._flags_
    arrives(
        [array(1, 2, 3), array],
        "import ctypes; assert list(obj[0]) == [1, 2, 3] and obj[1] is ctypes.c_int * 3",
    )


def test_libraries_and_functions():
    library = ctypes.CDLL(None, use_errno=True)
    library.strlen.argtypes = [ctypes.c_char_p]
    library.strlen.restype = ctypes.c_size_t
    item = library["abs"]
    arrives(
        [library.strlen, library, item],
        """
        import ctypes
        strlen, library, item = obj
        assert library.strlen is strlen and strlen(b"abc") == 3
        assert strlen.argtypes == [ctypes.c_char_p] and strlen.restype is ctypes.c_size_t
        assert item(-5) == 5 and item is not library["abs"]
        """,
    )
    arrives(library, "import ctypes; assert obj.strlen.restype is ctypes.c_size_t")
    assert copy(ctypes.pythonapi) is ctypes.pythonapi


def test_pointers_are_refused():
    callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
    with pytest.raises(pickle.PicklingError, match="Python function behind it"):
        dumps(callback)
    with pytest.raises(ValueError, match="pointers cannot be pickled"):
        dumps(ctypes.pointer(ctypes.c_int(1)))
