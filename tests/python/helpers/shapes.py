"""Classes that tests pickle: importable by name, in a test process and in its children."""

import copyreg
import dataclasses
import enum
import typing
from collections import namedtuple


class Plain:
    """State in ``__dict__`` alone."""

    def __init__(self, **state):
        self.__dict__.update(state)


class Keyed:
    """Hashable by value, so that it can be a key or sit in a set."""

    def __init__(self, tag, payload=None):
        self.tag = tag
        self.payload = payload

    def __hash__(self):
        return hash(getattr(self, "tag", None))

    def __eq__(self, other):
        return type(other) is Keyed and self.tag == other.tag


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left=None, right=None):
        self.left = left
        self.right = right


class SlottedChild(Slotted):
    """Slots of its own, those of the base, a mangled one, and a ``__dict__`` besides."""

    __slots__ = ("extra", "__hidden", "__dict__", "__weakref__")

    def __init__(self, left=None, right=None, extra=None, **state):
        super().__init__(left, right)
        self.extra = extra
        self.__hidden = extra
        self.__dict__.update(state)


class Reduced:
    """Rebuilt by calling the class; the state comes after, so cycles through it work."""

    def __init__(self, label=None):
        self.label = label
        self.inner = None

    def __reduce__(self):
        return Reduced, (self.label,), {"inner": self.inner}


class WithState:
    """``__getstate__`` and ``__setstate__`` that pack and unpack a tuple."""

    def __init__(self, value=None):
        self.value = value

    def __getstate__(self):
        return ("packed", self.value)

    def __setstate__(self, state):
        word, self.value = state
        assert word == "packed"


class DictChild(dict):
    pass


class ListChild(list):
    pass


class TupleChild(tuple):
    pass


class SetChild(set):
    pass


class IntChild(int):
    pass


class StrChild(str):
    pass


class FloatChild(float):
    pass


class BytesChild(bytes):
    pass


@dataclasses.dataclass
class Record:
    name: str
    value: typing.Any = None
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    name: str
    value: typing.Any = None


@dataclasses.dataclass(slots=True)
class SlotRecord:
    name: str
    value: typing.Any = None


Point = namedtuple("Point", "x y")


class TypedPoint(typing.NamedTuple):
    x: int
    y: typing.Any = None


class Color(enum.Enum):
    RED = 1
    GREEN = "green"
    ALSO_RED = 1  # noqa: PIE796 an alias


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 1000


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Outer:
    """For nested qualified names."""

    class Inner:
        class Core:
            pass

        def method(self):
            return "method"

        @classmethod
        def build(cls):
            return cls()

        @staticmethod
        def helper():
            return "helper"


class NewArgs:
    """``__getnewargs__`` with state."""

    def __new__(cls, first, second=None):
        self = object.__new__(cls)
        self.first = first
        self.second = second
        return self

    def __getnewargs__(self):
        return (self.first,)


class NewArgsEx:
    """``__getnewargs_ex__``: keyword arguments to ``__new__``."""

    def __new__(cls, first, *, key):
        self = object.__new__(cls)
        self.first = first
        self.key = key
        return self

    def __getnewargs_ex__(self):
        return (self.first,), {"key": self.key}

    def __getstate__(self):
        return None


class SetterState:
    """Six-element reduce: the state goes through a function."""

    def __init__(self):
        self.seen = None

    def __reduce_ex__(self, protocol):
        return SetterState, (), {"seen": self.seen}, None, None, set_state


def set_state(obj, state):
    obj.seen = ("set", state["seen"])


class Calls:
    """Counts how often it was reduced, over all dumps."""

    def __init__(self):
        self.count = 0

    def __reduce__(self):
        self.count += 1
        return Calls, ()


class Returns:
    """Its ``__reduce__`` returns whatever it was given; dumping only."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return self.value() if callable(self.value) else self.value


class Does:
    """Runs code in its reducer, then is a plain object with what that returned."""

    def __init__(self, act):
        self.act = act

    def __reduce__(self):
        return Plain, (), {"result": self.act()}


class Raises:
    """Its ``__reduce__`` raises the exception it was given."""

    def __init__(self, exc):
        self.exc = exc

    def __reduce__(self):
        raise self.exc


class Link:
    """A link of a chain; an instance with ``__dict__``."""

    def __init__(self, next=None):
        self.next = next


class ReduceLink:
    """A link whose reduce has the next one among its arguments."""

    __slots__ = ("next",)

    def __init__(self, next=None):
        self.next = next

    def __reduce__(self):
        return ReduceLink, (self.next,)


class StateLink:
    """A link whose reduce has the next one in its state."""

    __slots__ = ("next",)

    def __reduce__(self):
        return StateLink, (), (None, {"next": self.next})


def plain_function(*args, **kwargs):
    return args, kwargs


def fail_when_loaded(*args):
    raise ZeroDivisionError("raised by a reconstructor")


class FailsInSetstate:
    def __init__(self):
        self.value = 1

    def __setstate__(self, state):
        raise ZeroDivisionError("raised by __setstate__")


def rebuilder(cls):
    """A reduce value that builds an empty instance of the class."""
    return copyreg.__newobj__, (cls,)
