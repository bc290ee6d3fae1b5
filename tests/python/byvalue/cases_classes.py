"""Classes of a `__main__` and their instances, pickled: run as a script by test_fresh.py."""

# ruff: noqa: F821, PIE796
import abc
import collections
import dataclasses
import enum
import sys
import typing

from helpers import cases

FACTOR = 10


def scaled(x):
    return x * FACTOR


class Base:
    """Doc of Base."""

    count = 0
    items = [1]

    def __init__(self, x):
        self.x = x

    def method(self):
        return self.x * FACTOR

    @property
    def double(self):
        """Doc of double."""
        return self.x * 2

    @double.setter
    def double(self, value):
        self.x = value / 2

    @staticmethod
    def static(a):
        return a + 1

    @classmethod
    def make(cls, a):
        return cls(a)

    class Nested:
        value = 7

    def __eq__(self, other):
        return type(self) is type(other) and self.x == other.x


class Child(Base):
    def method(self):
        return super().method() + 1

    def klass(self):
        return __class__.__name__


class Slots:
    __slots__ = ("a", "__private", "__weakref__")

    def __init__(self):
        self.a, self.__private = 1, 2

    def both(self):
        return self.a, self.__private


class State:
    def __init__(self):
        self.kept, self.dropped = 1, 2

    def __getstate__(self):
        return {"kept": self.kept}

    def __setstate__(self, state):
        self.__dict__.update(state, restored=True)


class Itself:
    pass


Itself.itself = Itself
Itself.instance = Itself()
Itself.instance.a = 1


class WithInstance:
    def __init__(self, n):
        self.n = n

    def __setstate__(self, state):
        self.n = state["n"] + 1

    def __getstate__(self):
        return {"n": self.n}


WithInstance.default = WithInstance(3)


class Meta(type):
    made = []

    def __new__(mcs, name, bases, namespace, flag=None):
        namespace["flag"] = flag
        Meta.made.append(name)
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name, bases, namespace, flag=None):
        super().__init__(name, bases, namespace)

    def hello(cls):
        return "hello " + cls.__name__


class WithMeta(metaclass=Meta, flag=3):
    pass


class Registry:
    children = []

    def __init_subclass__(cls, *, tag, **kwargs):
        super().__init_subclass__(**kwargs)
        Registry.children.append(tag)


class Registered(Registry, tag="t"):
    def method(self):
        return super().__repr__()[:1]


class RegisteredSlots(Registry, tag="s"):
    __slots__ = ("a",)


class RegisteredList(list, Registry, tag="l"):
    pass


class Named:
    def __set_name__(self, owner, name):
        self.names = [*getattr(self, "names", []), name]

    def __get__(self, obj, cls):
        return self.names


class HasNamed:
    field = Named()


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self): ...

    @property
    @abc.abstractmethod
    def prop(self): ...


class AbstractKinds(abc.ABC):
    @abc.abstractclassmethod
    def klass(cls): ...

    @abc.abstractproperty
    def prop(self): ...


class Concrete(Abstract):
    prop = 1

    def method(self):
        return "concrete"


class Virtual:
    pass


Abstract.register(Virtual)


class Color(enum.Enum):
    RED = 1
    GREEN = "g"
    ALIAS = 1

    def describe(self):
        return self.name.lower()

    @classmethod
    def default(cls):
        return cls.RED


class Planet(enum.Enum):
    EARTH = (1.0, 2.0)
    MARS = (3.0, 4.0)

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius

    @property
    def density(self):
        return self.mass / self.radius


class Coord(bytes, enum.Enum):
    def __new__(cls, value, label):
        obj = bytes.__new__(cls, [value])
        obj._value_ = value
        obj.label = label
        return obj

    X = (0, "x label")
    Y = (1, "y label")


class AutoNumber(enum.Enum):
    def __new__(cls):
        obj = object.__new__(cls)
        obj._value_ = len(cls.__members__) + 1
        return obj


class Auto(AutoNumber):
    ONE = ()
    TWO = ()


class Perm(enum.IntFlag):
    R = 4
    W = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(order=True)
class Data:
    a: int
    b: list = dataclasses.field(default_factory=list)
    c: str = "c"


@dataclasses.dataclass(frozen=True, **({"slots": True} if sys.version_info >= (3, 10) else {}))
class Frozen:
    a: int = 1


Point = collections.namedtuple("Point", "x y", defaults=[5])


class Typed(typing.NamedTuple):
    a: int
    b: str = "b"

    def both(self):
        return self.a, self.b


T = typing.TypeVar("T")
P = typing.ParamSpec("P")


class Box(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item


class IntBox(Box[int]):
    pass


class Proto(typing.Protocol):
    def method(self) -> int: ...


class Movie(typing.TypedDict, total=False):
    name: str


UserId = typing.NewType("UserId", int)


class MyError(Exception):
    def __init__(self, code, *, detail="d"):
        super().__init__(code)
        self.detail = detail


class MyDict(dict):
    def total(self):
        return sum(self.values())


class MyList(list):
    pass


class Callable_:
    def __call__(self, x):
        return x + FACTOR


class GetAttr:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class EqMeta(type):
    def __eq__(cls, other):
        return isinstance(other, EqMeta)

    __hash__ = None


class Unhashable(metaclass=EqMeta):
    value = 1


class Diamond1(Base):
    pass


class Diamond2(Base):
    pass


class Diamond(Diamond1, Diamond2):
    def method(self):
        return "diamond", super().method()


CASES = {
    "bound method": (Base(3).method, "x()"),
    "class method": (Base.make, "x(2).x"),
    "property": (Base.__dict__["double"], "x.__doc__"),
    "static method": (Base.__dict__["static"], "x.__func__(1)"),
    "class": (Base, "(x(2).method(), x.__doc__, x.static(1), x.make(3).double, x.items)"),
    "class attributes": (Base, "sorted(k for k in vars(x) if k not in ('__firstlineno__',))"),
    "names": (
        Base,
        "(x.__name__, x.__qualname__, x.__module__, x.Nested.__qualname__, x.Nested.value)",
    ),
    "instance": (Base(5), "(x.method(), x == type(x)(5))"),
    "instances": ([Base(1), Base(2)], "type(x[0]) is type(x[1])"),
    "super": (Child(2), "(x.method(), x.klass(), type(x).__mro__[1].__name__)"),
    "slots": (Slots(), "(x.both(), type(x).__slots__)"),
    "state": (State(), "sorted(x.__dict__) if hasattr(x, 'restored') else ['kept', 'restored']"),
    "class in itself": (Itself, "(x.itself is x, x.instance.a, type(x.instance) is x)"),
    "instance in its class": (WithInstance, "x.default.n in (3, 4)"),
    "metaclass": (WithMeta, "(x.flag, x.hello(), type(x).__name__, type(x).made)"),
    "init_subclass": (
        Registered,
        "(x.__mro__[1].children, x().method(), x.__bases__[0].__name__, len(x.__mro__))",
    ),
    "init_subclass with slots": (RegisteredSlots, "(x.children, len(x.__mro__), x.__slots__)"),
    "init_subclass of a list": (
        RegisteredList,
        "(x([1]), x.children, [c.__name__ for c in x.__bases__])",
    ),
    "set_name": (HasNamed, "x.field"),
    "abstract": (Abstract, "(sorted(x.__abstractmethods__), x.__subclasses__()[:0])"),
    "abstract kinds": (AbstractKinds, "sorted(x.__abstractmethods__)"),
    "concrete": (Concrete, "(x().method(), isinstance(x(), x.__mro__[1]))"),
    "registered with an ABC": ((Abstract, Virtual), "issubclass(x[1], x[0])"),
    "enum": (
        Color,
        "([m.name for m in x], x.RED.describe(), x('g').name, x.ALIAS is x.RED, x.default().name)",
    ),
    "enum member": ([Color.RED, Color.RED], "(x[0] is x[1], x[0].value, x[0].name)"),
    "enum with init": (Planet, "(x.MARS.density, x((1.0, 2.0)).name)"),
    "enum with new": (Coord, "(x.Y.label, x.Y.value, bytes(x.Y), x(0).name)"),
    "enum with inherited new": (Auto, "(x.TWO.value, x(1).name)"),
    "flag": (Perm.R | Perm.W, "(x.value, type(x)(4).name, int(x))"),
    "int enum": (Level.LOW, "(x + 1, type(x).__mro__[1].__name__)"),
    "dataclass": (
        Data(1),
        "(x, x < type(x)(2), x.b, [f.name for f in __import__('dataclasses').fields(x)])",
    ),
    "dataclass made anew": (
        Data,
        "(x(1), __import__('dataclasses').replace(x(1), a=3), x(1).b is x(1).b)",
    ),
    "frozen dataclass": (Frozen(3), "(x, hash(x) == hash(type(x)(3)))"),
    "namedtuple": (Point(1), "(x, x.y, x._replace(x=3), type(x)._field_defaults)"),
    "typed namedtuple": (Typed(1), "(x, x.both(), str(type(x).__annotations__))"),
    "generic": (Box, "(x(1).item, str(x[int]), str(x.__parameters__))"),
    "generic instance": (IntBox(2), "(x.item, str(type(x).__orig_bases__))"),
    "generic alias": (Box[int], "x(3).item"),
    "protocol": (Proto, "x._is_protocol"),
    "typed dict": (Movie, "(x(name='n'), str(x.__annotations__), x.__total__)"),
    "type variable": ([T, T], "(x[0] is x[1], x[0].__name__)"),
    "parameter specification": (P, "x.__name__"),
    "new type": (UserId, "(x(3), x.__name__, x.__supertype__)"),
    "exception": (MyError(5, detail="e"), "(x.args, x.detail, type(x).__name__)"),
    "dict subclass": (MyDict(a=1, b=2), "(x.total(), x)"),
    "list subclass": (MyList([1, 2]), "x"),
    "callable": (Callable_(), "x(1)"),
    "getattr": (GetAttr(), "x.anything"),
    "unhashable metaclass": (Unhashable, "x.value"),
    "diamond": (Diamond(1), "(x.method(), [c.__name__ for c in type(x).__mro__])"),
    "graph": (
        {"f": scaled, "g": [scaled, Base(1)], "b": Base},
        "(x['f'] is x['g'][0], type(x['g'][1]) is x['b'])",
    ),
}

if sys.version_info >= (3, 12):
    exec("""
class Pep695[T: int, *Ts, **P]:
    def method[U](self, u: U) -> U:
        return u
type Alias[V] = list[V]
""")
    CASES["PEP 695 class"] = (
        Pep695,
        "(x().method(1), str(x.__type_params__), str(x.__parameters__))",
    )
    CASES["PEP 695 alias"] = (Alias, "(str(x), str(x.__value__))")


if __name__ == "__main__":
    cases.write(CASES)
