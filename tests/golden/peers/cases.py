"""What the streams of peers hold: `make.py` runs this as `__main__` and dumps what a case returns.

A case is a function in `CASES`; the check of the same name is in `checks.py`. What
should travel by value is local, or global here: both peers take `__main__` by value.
"""

import abc
import collections
import dataclasses
import enum
import functools
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

CASES = {}
# Cases that dill also dumps with `recurse=True`, under the name with `_recurse` after it.
RECURSE = []
FACTOR = 3


def case(make):
    CASES[make.__name__] = make
    return make


def recursed(make):
    RECURSE.append(make.__name__)
    return case(make)


def double(x):
    return 2 * x


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


@case
def function_lambda():
    return lambda x: x + 1


@recursed
def function_closure():
    n, words = 3, ["a"]

    def add(x):
        words.append("b")
        return x + n, words

    return add


@recursed
def function_recursive():
    return factorial


@recursed
def function_recursive_closure():
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    return fib


@recursed
def function_globals():
    return lambda x: double(x) * FACTOR


@case
def function_main_dict():
    return lambda: PEERS_SETTING  # noqa: F821  the check puts it into `__main__`


@recursed
def function_module():
    return lambda x: math.sqrt(x)


@recursed
def function_submodule():
    return lambda text: xml.etree.ElementTree.fromstring(text).tag


@case
def function_attributes():
    def full(a, b: int = 2, *, c=3) -> str:
        """Doc."""
        return f"{a}{b}{c}"

    full.mark = ["x"]
    full.__qualname__ = "Outer.full"
    return full


@case
def function_nested_code():
    def outer():
        def middle(x):
            return [y * x for y in range(3)], (lambda: x)()

        return middle

    return outer


@case
def function_generator():
    def count(n):
        yield from range(n)

    return count


@case
def function_async():
    async def later():
        return 5

    return later


@case
def function_empty_cell():
    def outer():
        def inner():
            return unset

        if False:
            unset = 1
        return inner

    return outer()


@case
def function_two():
    total = []

    def put(x):
        total.append(x)

    def get():
        return total

    return put, get


@case
def function_cached():
    @functools.lru_cache(maxsize=7)
    def square(x):
        return x * x

    return square


@case
def function_builtin():
    return [len, [1, 2].count, str.join, dict.fromkeys]


@case
def function_partial():
    return functools.partial(double, 4)


@case
def cell():
    return types.CellType([1])


@case
def cell_empty():
    return types.CellType()


@case
def code():
    return compile("1 + 2", "<text>", "eval")


@case
def descriptors():
    return [str.join, int.__add__, types.FunctionType.__code__, dict.__dict__["fromkeys"]]


@case
def types_by_name():
    return [int, type(None), types.FunctionType, types.CodeType, type, functools.partial, object]


@case
def class_plain():
    class Plain:
        """Doc."""

        shared = [1]

        def __init__(self, x):
            self.x = x

        def get(self):
            return self.x, self.shared

        @property
        def twice(self):
            return 2 * self.x

        @staticmethod
        def static(y):
            return y

        @classmethod
        def make(cls):
            return cls(9)

    return Plain


@case
def class_instance():
    class Box:
        def __init__(self, x):
            self.x = x

        def __eq__(self, other):
            return type(self) is type(other) and self.x == other.x

        __hash__ = None

    return [Box(1), Box(2), Box]


class Base:
    def hello(self):
        return ["Base"]


@case
def class_super():
    class Derived(Base):
        def hello(self):
            return super().hello() + [__class__.__name__]

    return Derived


@case
def class_slots():
    class Slots:
        __slots__ = ("a", "b")

        def __init__(self):
            self.a, self.b = 1, [2]

    return Slots


@case
def class_slot_text():
    class Slot:
        __slots__ = "only"

    return Slot


@case
def class_metaclass():
    class Meta(type):
        def __call__(cls, *args):
            made = super().__call__(*args)
            made.by = cls.__name__
            return made

    class Made(metaclass=Meta):
        pass

    return Made


@case
def class_abc():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self):
            """To be given."""

    class Square(Shape):
        def area(self):
            return 4

    Shape.register(list)
    return Shape, Square


@case
def class_enum():
    class Color(enum.Enum):
        RED = 1
        BLUE = "b"

        def title(self):
            return self.name.title()

    return Color, Color.BLUE


@case
def class_flag():
    class Bits(enum.IntFlag):
        ONE = 1
        TWO = 2

    return Bits, Bits.ONE | Bits.TWO


@case
def class_dataclass():
    @dataclasses.dataclass
    class Point:
        x: int
        y: list = dataclasses.field(default_factory=list)
        kind: typing.ClassVar[str] = "p"

    return Point, Point(1, [2])


@case
def class_namedtuple():
    Pair = collections.namedtuple("Pair", "a b")
    return Pair, Pair(1, 2)


@case
def class_namedtuple_defaults():
    Pair = collections.namedtuple("Pair", "a b", defaults=[5])
    return Pair, Pair(1)


Item = typing.TypeVar("Item")


@case
def class_generic():
    class Stack(typing.Generic[Item]):
        def push(self, item: Item) -> Item:
            return item

    return Stack, Stack[int]


@case
def class_typevar():
    return Item, [Item]


@case
def class_nested():
    class Outer:
        class Inner:
            def who(self):
                return "inner"

        def make(self):
            return self.Inner()

    return Outer


@case
def class_exception():
    class Failure(ValueError):
        def __init__(self, text):
            super().__init__(text)
            self.extra = [text]

    return Failure("x")


@case
def class_names_itself():
    class Node:
        def child(self):
            return Node()

    return Node


@case
def method_bound():
    class Counter:
        count = 5

        def read(self, more):
            return self.count + more

    return Counter().read


@case
def super_object():
    class Derived(Base):
        pass

    return super(Derived, Derived())


@case
def views():
    d = {"a": 1, "b": 2}
    return [d.keys(), d.values(), d.items()]


@case
def views_ordered():
    d = collections.OrderedDict(b=1, a=2)
    return [d.keys(), d.values(), d.items()]


@case
def mappingproxy():
    return types.MappingProxyType({"a": [1]})


@case
def memory():
    return memoryview(b"abc")


@case
def lock():
    return threading.Lock()


@case
def lock_held():
    held = threading.Lock()
    held.acquire()
    return held


@case
def rlock():
    return threading.RLock()


@case
def file_read():
    return open("peers.txt")


@case
def file_write():
    return open("peers.out", "w")


@case
def file_standard():
    return [sys.stdout, sys.stderr]


@case
def module():
    return [math, os.path, xml.etree.ElementTree]


@case
def module_dynamic():
    made = types.ModuleType("peers_dynamic")
    exec("base = 10\ndef plus(x):\n    return base + x", made.__dict__)
    return made


@case
def weak_reference():
    class Target:
        pass

    target = Target()
    return [target, weakref.ref(target)]


@case
def weak_reference_dead():
    class Target:
        pass

    return weakref.ref(Target())


@case
def weak_proxy():
    class Target:
        value = 4

    target = Target()
    return [target, weakref.proxy(target)]


@case
def weak_set():
    class Target:
        pass

    target = Target()
    return [target, weakref.WeakSet([target])]


@case
def constants():
    return [..., NotImplemented, range(1, 9, 2), slice(1, None, 2), type(...), type(NotImplemented)]


@case
def getters():
    return [operator.itemgetter(1), operator.attrgetter("real")]


@case
def logger():
    return [logging.getLogger("peers"), logging.getLogger()]


@case
def capsule():
    import _socket

    return _socket.CAPI


@case
def numpy_array():
    import numpy

    return [numpy.arange(4), numpy.add, numpy.dtype("int32")]


@case
def numpy_subclass():
    import numpy

    class Tagged(numpy.ndarray):
        pass

    tagged = numpy.arange(3).view(Tagged)
    tagged.tag = "t"
    return tagged
