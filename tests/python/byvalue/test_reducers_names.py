"""Objects known by where they are: descriptors, sentinels, types that are not where they say."""

import collections
import dataclasses
import datetime
import pickle
import sys
import threading
import types
import weakref

import pytest

from ferropickle import reducers
from helpers import contextual, raised
from helpers.stock import arrives, copy, dumps

DESCRIPTORS = [
    vars(dict)["fromkeys"],
    vars(type)["__dict__"],
    vars(type)["__name__"],
    vars(type)["__call__"],
    vars(type)["mro"],
    vars(types.FunctionType)["__code__"],
    vars(types.FunctionType)["__globals__"],
    vars(str)["join"],
    vars(object)["__init_subclass__"],
    vars(object)["__class__"],
    vars(int)["__add__"],
    vars(raised.Slotted)["obj"],
    vars(collections.UserList)["__weakref__"],
    vars(contextual.Local)["__dict__"],
]


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=repr)
def test_descriptors(descriptor):
    assert copy(descriptor) is descriptor


def test_descriptors_load_in_a_fresh_interpreter():
    arrives(DESCRIPTORS[0], "assert obj is vars(dict)['fromkeys']")


def test_method_wrappers():
    for wrapper in ((5).__add__, [1].__len__, int.__call__, collections.UserList.__call__):
        assert copy(wrapper) == wrapper or copy(wrapper)() == wrapper()
    number = copy((5).__add__)
    assert number(1) == 6
    made = copy(vars(type)["__call__"].__get__(contextual.Local))(1, 2)
    assert type(made) is contextual.Local


def test_super_objects():
    error = raised.FromSystem("p")
    bound, unbound = super(raised.FromSystem, error), super(raised.FromSystem)
    to_class = super(raised.FromSystem, raised.FromSystem)
    got, obj, alone, of_class = copy([bound, error, unbound, to_class])
    assert got.__self__ is obj
    assert got.__thisclass__ is raised.FromSystem
    assert alone.__self__ is None
    assert alone.__thisclass__ is raised.FromSystem
    assert of_class.__self__ is raised.FromSystem


def test_capsules():
    arrives(datetime.datetime_CAPI, "import datetime; assert obj is datetime.datetime_CAPI")
    with pytest.raises(pickle.PicklingError, match="a pointer of this process"):
        dumps(nameless_capsule())


def nameless_capsule():
    import ctypes

    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return make(1, None, None)


def test_sentinels():
    for sentinel in (dataclasses.MISSING, dataclasses.KW_ONLY, dataclasses._FIELD):
        assert copy(sentinel) is sentinel
    arrives(
        [contextual.SENTINEL, object()],
        """
        from helpers import contextual
        assert obj[0] is contextual.SENTINEL and type(obj[1]) is object
        """,
    )


@pytest.mark.parametrize("name", ["version_info", "flags", "float_info", "hash_info", "int_info"])
def test_tables_of_sys(name):
    table = getattr(sys, name)
    assert copy(table) is table
    assert copy(type(table)) is type(table)


@pytest.mark.parametrize(
    "cls",
    [
        types.FunctionType,
        types.GeneratorType,
        types.MappingProxyType,
        types.TracebackType,
        types.GetSetDescriptorType,
        type({}.keys()),
        type(iter([])),
        type(None),
        type(...),
        type(NotImplemented),
        type(threading.Lock()),
        type(weakref.ref(set)),
        types.MethodWrapperType,
        types.BuiltinMethodType,
    ],
)
def test_types_that_are_not_where_they_say(cls):
    assert copy(cls) is cls


def test_types_with_a_name_are_left_to_stock():
    for cls in (int, threading.Thread, collections.OrderedDict):
        assert reducers.find(type)(cls, None) is NotImplemented


def test_a_name_is_not_enough():
    """A class of the user's that claims a name is told from its owner."""
    impostor = type("Condition", (), {"__module__": "threading"})
    assert reducers.find(threading.Condition) is not None
    assert reducers.find(impostor) is None


def test_what_a_class_says_of_itself_goes_first():
    class Local(threading.local):
        def __reduce__(self):
            return list, ()

    assert copy(Local()) == []


def test_what_is_not_covered():
    class Plain:
        pass

    for cls in (int, list, dict, str, Plain, types.FunctionType, types.ModuleType, types.CodeType):
        assert reducers.find(cls) is None


def test_finding_imports_no_module_of_the_standard_library():
    from helpers.subprocs import run_python

    run_python(
        """
        import sys
        from ferropickle import reducers
        before = set(sys.modules)
        for cls in object.__subclasses__():
            reducers.find(cls)
        heavy = {"sqlite3", "ctypes", "csv", "hashlib", "random", "socket", "asyncio", "queue"}
        assert not set(sys.modules) & heavy, set(sys.modules) & heavy
        """
    )
