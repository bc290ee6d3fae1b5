"""What must hold of each loaded case, whoever loads it: `make.py` runs these on the peer too.

They run in a directory of their own with a file `peers.txt` in it. A check is the function of
the case's name; `_recurse` at a case's end names the same check. `check(name, value)` runs it.
"""

import asyncio
import enum
import functools
import inspect
import logging
import math
import operator
import os.path
import sys
import threading
import types
import typing
import weakref
import xml.etree.ElementTree

import __main__


def check(name, value):
    """Run the check of a case on what was loaded; any exception says that it fails."""
    globals()[name.removesuffix("_recurse")](value)


def function_lambda(f):
    assert f(1) == 2
    assert f.__name__ == "<lambda>"


def function_closure(add):
    assert add(1) == (4, ["a", "b"])
    assert add(1)[1] == ["a", "b", "b"]


def function_recursive(factorial):
    assert factorial(5) == 120


def function_recursive_closure(fib):
    assert fib(10) == 55
    assert fib.__closure__[0].cell_contents is fib


def function_globals(f):
    assert f(5) == 30


def function_main_dict(f):
    __main__.PEERS_SETTING = "set"
    assert f() == "set"
    assert f.__globals__ is vars(__main__)


def function_module(f):
    assert f(9) == 3


def function_submodule(f):
    assert f("<a/>") == "a"


def function_attributes(full):
    assert full("a") == "a23"
    assert full.__doc__ == "Doc."
    assert full.__annotations__ == {"b": int, "return": str}
    assert full.__kwdefaults__ == {"c": 3}
    assert full.mark == ["x"]
    assert full.__name__ == "full"
    assert full.__module__ == "__main__"


def function_nested_code(outer):
    assert outer()(2) == ([0, 2, 4], 2)


def function_generator(count):
    assert list(count(3)) == [0, 1, 2]


def function_async(later):
    assert asyncio.run(later()) == 5


def function_empty_cell(inner):
    try:
        inner()
    except NameError:
        return
    raise AssertionError("the cell holds something")


def function_two(pair):
    put, get = pair
    put(1)
    assert get() == [1]


def function_cached(square):
    assert [square(3), square(3)] == [9, 9]
    assert square.cache_info()[:3] == (1, 1, 7)


def function_builtin(functions):
    length, count, join, fromkeys = functions
    assert length is len
    assert count(2) == 1
    assert join is str.join
    assert fromkeys("a") == {"a": None}


def function_partial(f):
    assert type(f) is functools.partial
    assert f() == 8


def cell(loaded):
    assert loaded.cell_contents == [1]


def cell_empty(loaded):
    assert loaded == types.CellType()


def code(loaded):
    assert eval(loaded) == 3
    assert loaded.co_filename == "<text>"


def descriptors(loaded):
    assert loaded == [
        str.join,
        int.__add__,
        types.FunctionType.__code__,
        dict.__dict__["fromkeys"],
    ]


def types_by_name(loaded):
    assert loaded == [
        int,
        type(None),
        types.FunctionType,
        types.CodeType,
        type,
        functools.partial,
        object,
    ]


def class_plain(Plain):
    plain = Plain(4)
    assert plain.get() == (4, [1])
    assert plain.twice == 8
    assert Plain.static(1) == 1
    assert type(Plain.make()) is Plain
    assert Plain.__doc__ == "Doc."
    assert Plain.__name__ == "Plain"
    assert Plain.__module__ == "__main__"


def class_instance(loaded):
    one, two, Box = loaded
    assert type(one) is type(two) is Box
    assert (one.x, two.x) == (1, 2)
    assert one == Box(1)


def class_super(Derived):
    assert Derived().hello() == ["Base", "Derived"]
    assert Derived.__mro__[1].__name__ == "Base"


def class_slots(Slots):
    slots = Slots()
    assert (slots.a, slots.b) == (1, [2])
    assert Slots.__slots__ == ("a", "b")


def class_slot_text(Slot):
    slot = Slot()
    slot.only = 1
    assert Slot.__slots__ == "only"


def class_metaclass(Made):
    assert type(Made).__name__ == "Meta"
    assert Made().by == "Made"


def class_abc(pair):
    Shape, Square = pair
    assert issubclass(Square, Shape)
    assert issubclass(list, Shape)
    assert Square().area() == 4
    assert inspect.isabstract(Shape)


def class_enum(pair):
    Color, blue = pair
    assert blue is Color.BLUE
    assert Color("b") is blue
    assert blue.title() == "Blue"
    assert [member.name for member in Color] == ["RED", "BLUE"]
    assert isinstance(Color, enum.EnumMeta)


def class_flag(pair):
    Bits, both = pair
    assert both == Bits.ONE | Bits.TWO == 3
    assert type(both) is Bits


def class_dataclass(pair):
    Point, point = pair
    assert point == Point(1, [2])
    assert repr(Point(5)).endswith("Point(x=5, y=[])")
    import dataclasses

    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y"]


def class_namedtuple(pair):
    Pair, value = pair
    assert value == (1, 2)
    assert type(value) is Pair
    assert value._replace(a=3).a == 3
    assert Pair._fields == ("a", "b")


def class_namedtuple_defaults(pair):
    Pair, value = pair
    assert value == (1, 5)
    assert Pair(2).b == 5


def class_generic(pair):
    Stack, of_int = pair
    assert Stack[int] == of_int
    assert Stack().push(3) == 3
    assert typing.get_origin(of_int) is Stack


def class_typevar(pair):
    Item, again = pair
    assert again == [Item]
    assert isinstance(Item, typing.TypeVar)


def class_nested(Outer):
    assert Outer().make().who() == "inner"


def class_exception(error):
    assert isinstance(error, ValueError)
    assert error.args == ("x",)
    assert error.extra == ["x"]


def class_names_itself(Node):
    assert type(Node().child()) is Node


def method_bound(read):
    assert read(2) == 7
    assert isinstance(read, types.MethodType)


def super_object(parent):
    assert parent.hello() == ["Base"]


def views(loaded):
    keys, values, items = loaded
    assert (list(keys), list(values), list(items)) == (["a", "b"], [1, 2], [("a", 1), ("b", 2)])
    assert [type(view) for view in loaded] == [
        type({}.keys()),
        type({}.values()),
        type({}.items()),
    ]


def views_ordered(loaded):
    keys, values, items = loaded
    assert (list(keys), list(values), list(items)) == (["b", "a"], [1, 2], [("b", 1), ("a", 2)])


def mappingproxy(loaded):
    assert type(loaded) is types.MappingProxyType
    assert loaded == {"a": [1]}


def memory(loaded):
    assert bytes(loaded) == b"abc"


def lock(loaded):
    assert type(loaded) is type(threading.Lock())
    assert loaded.acquire(blocking=False)


def lock_held(loaded):
    # Held, or free as new: both are lawful, for nobody is there who holds it.
    assert type(loaded) is type(threading.Lock())


def rlock(loaded):
    # That of dill can never be taken.
    assert type(loaded) is type(threading.RLock())


def file_read(loaded):
    with loaded:
        assert loaded.read() == "line\n"


def file_write(loaded):
    with loaded:
        loaded.write("new")
    with open("peers.out") as again:
        assert again.read() == "new"


def file_standard(loaded):
    assert loaded == [sys.stdout, sys.stderr]


def module(loaded):
    assert loaded == [math, os.path, xml.etree.ElementTree]


def module_dynamic(made):
    assert made.__name__ == "peers_dynamic"
    assert made.plus(1) == 11


def weak_reference(pair):
    target, reference = pair
    assert reference() is target


def weak_reference_dead(reference):
    assert type(reference) is weakref.ref
    assert reference() is None


def weak_proxy(pair):
    target, proxy = pair
    assert proxy.value == 4
    assert isinstance(proxy, weakref.ProxyType)


def weak_set(pair):
    target, members = pair
    assert list(members) == [target]


def constants(loaded):
    assert loaded == [
        ...,
        NotImplemented,
        range(1, 9, 2),
        slice(1, None, 2),
        type(...),
        type(NotImplemented),
    ]


def getters(loaded):
    item, attribute = loaded
    assert item([1, 2]) == 2
    assert attribute(3) == 3
    assert [type(getter) for getter in loaded] == [operator.itemgetter, operator.attrgetter]


def logger(loaded):
    assert loaded == [logging.getLogger("peers"), logging.getLogger()]


def capsule(loaded):
    import _socket

    assert loaded is _socket.CAPI


def numpy_array(loaded):
    import numpy

    array, add, dtype = loaded
    assert array.tolist() == [0, 1, 2, 3]
    assert add is numpy.add
    assert dtype == numpy.dtype("int32")


def numpy_subclass(tagged):
    assert type(tagged).__name__ == "Tagged"
    assert (tagged.tolist(), tagged.tag) == ([0, 1, 2], "t")
