"""Equality of two object graphs: types, values, and which object is which.

Two graphs are the same when a walk over both at once meets equal values of identical types, and
meets an object again in one exactly where it meets its partner again in the other. The walk keeps
its own stack, so graphs may be cyclic or a million levels deep.
"""

import datetime
import decimal
import enum
import math
import pathlib
import struct
import sys
import types
import uuid
import weakref
from collections import OrderedDict, deque

# Compared by value; which object it is carries no meaning (the interpreter caches and interns).
SCALARS = (int, bool, str, bytes, type(None), type(...), type(NotImplemented), range, slice)
BY_IDENTITY = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    type(str.join),
    type(list.__len__),
)
BY_REPR = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    pathlib.PurePath,
)
HEAP_TYPE = 1 << 9
_ABSENT = object()


class Different(AssertionError):
    """The graphs differ; the message says where."""


def assert_same_graph(left, right):
    """Raise `Different` unless the two graphs are the same."""
    _Walk().run(left, right)


def same_graph(left, right):
    """Whether the two graphs are the same."""
    try:
        _Walk().run(left, right)
    except Different:
        return False
    return True


class _Walk:
    def __init__(self):
        self.partner = {}  # id(left) -> id(right)
        self.back = {}  # id(right) -> id(left)
        self.keep = []  # objects made for the walk: their ids must not be used again
        self.stack = []

    def run(self, left, right):
        self.stack.append((left, right, None))
        while self.stack:
            self.pair(*self.stack.pop())

    def push(self, left, right, where, label):
        self.stack.append((left, right, (where, label)))

    def pair(self, left, right, where):
        kind = type(left)
        if kind is not type(right):
            fail(where, f"types differ: {kind.__name__} and {type(right).__name__}")
        if kind is float or kind is complex:
            same = _float_key(left) == _float_key(right)
            return same or fail(where, f"{left!r} and {right!r}")
        if kind in SCALARS:
            return left == right or fail(where, f"{_short(left)} and {_short(right)}")
        if isinstance(left, (*BY_IDENTITY, enum.Enum)):
            return left is right or fail(where, f"not the same object: {_short(left)}")
        if kind in (tuple, frozenset) and not left and not right:
            return True  # singletons
        seen = self.partner.get(id(left), _ABSENT)
        if seen is not _ABSENT:
            return seen == id(right) or fail(where, "one object on the left is two on the right")
        if id(right) in self.back:
            fail(where, "two objects on the left are one on the right")
        self.partner[id(left)] = id(right)
        self.back[id(right)] = id(left)
        self.inside(left, right, where)
        return True

    def inside(self, left, right, where):
        if isinstance(left, (list, tuple, deque)):
            self.items(left, right, where)
        elif isinstance(left, dict):
            self.mapping(left, right, where)
        elif isinstance(left, (set, frozenset)):
            self.elements(left, right, where)
        elif isinstance(left, decimal.Decimal):
            if left.as_tuple() != right.as_tuple():
                fail(where, f"{left!r} and {right!r}")
        elif isinstance(left, BY_REPR):
            self.by_repr(left, right, where)
        elif isinstance(left, float):
            if _float_key(float(left)) != _float_key(float(right)):
                fail(where, f"{left!r} and {right!r}")
        elif isinstance(left, memoryview):
            if (left.readonly, left.tobytes()) != (right.readonly, right.tobytes()):
                fail(where, "contents of the views differ")
        elif isinstance(left, (int, str, bytes, bytearray)):
            if left != right:
                fail(where, f"{_short(left)} and {_short(right)}")
        elif isinstance(left, weakref.ref):
            self.keep += (left(), right())
            self.push(left(), right(), where, "()")
        elif isinstance(left, BaseException):
            self.push(left.args, right.args, where, ".args")
        elif _is_ndarray(left):
            self.ndarray(left, right, where)
        elif (
            type(left).__eq__ is not object.__eq__
            and not type(left).__flags__ & HEAP_TYPE
            and (left != right or repr(left) != repr(right))
        ):
            fail(where, f"{_short(left)} and {_short(right)}")
        self.attributes(left, right, where)

    def by_repr(self, left, right, where):
        for name in ("fold", "is_safe"):
            if getattr(left, name, None) != getattr(right, name, None):
                fail(where, f"{name}: {left!r} and {right!r}")
        if isinstance(left, (datetime.datetime, datetime.time)):
            self.push(left.tzinfo, right.tzinfo, where, ".tzinfo")
            # The packed fields: a damaged stream may give a moment that no method accepts.
            base = datetime.time if isinstance(left, datetime.time) else datetime.datetime
            left, right = (base.__reduce_ex__(moment, 4)[1][0] for moment in (left, right))
        if left != right or repr(left) != repr(right):
            fail(where, f"{left!r} and {right!r}")

    def items(self, left, right, where):
        if len(left) != len(right):
            fail(where, f"lengths {len(left)} and {len(right)}")
        if isinstance(left, deque) and left.maxlen != right.maxlen:
            fail(where, "maxlen differs")
        for index, (one, two) in enumerate(zip(_base_iter(left), _base_iter(right), strict=True)):
            self.push(one, two, where, f"[{index}]")

    def mapping(self, left, right, where):
        if dict.__len__(left) != dict.__len__(right):
            fail(where, f"lengths {dict.__len__(left)} and {dict.__len__(right)}")
        if hasattr(left, "default_factory") and left.default_factory != right.default_factory:
            fail(where, "default_factory differs")
        items = OrderedDict.items if isinstance(left, OrderedDict) else dict.items
        pairs = zip(items(left), items(right), strict=True)
        for index, ((key, value), (other_key, other_value)) in enumerate(pairs):
            self.push(key, other_key, where, f".key({index})")
            label = f"[{key!r}]" if isinstance(key, (str, int)) else f".value({index})"
            self.push(value, other_value, where, label)

    def elements(self, left, right, where):
        if len(left) != len(right):
            fail(where, f"lengths {len(left)} and {len(right)}")
        rest = {}
        for item in right:
            rest.setdefault(_element_key(item), []).append(item)
        for item in left:
            partners = rest.get(_element_key(item))
            if not partners:
                fail(where, f"element {_short(item)} is only on the left")
            self.push(item, partners.pop(), where, "{" + _short(item) + "}")

    def ndarray(self, left, right, where):
        for name in ("dtype", "shape", "strides"):
            if getattr(left, name) != getattr(right, name):
                fail(where, f"{name}: {getattr(left, name)} and {getattr(right, name)}")
        if left.dtype.hasobject:
            one, two = left.tolist(), right.tolist()
            self.keep += (one, two)
            self.push(one, two, where, ".tolist()")
        elif left.tobytes() != right.tobytes():
            fail(where, "bytes of the arrays differ")

    def attributes(self, left, right, where):
        one, two = getattr(left, "__dict__", _ABSENT), getattr(right, "__dict__", _ABSENT)
        if type(one) is dict:
            self.keep += (one, two)
            self.push(one, two, where, ".__dict__")
        if isinstance(left, pathlib.PurePath):
            return  # their slots are caches
        for cls in type(left).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name in ("__dict__", "__weakref__"):
                    continue
                if name.startswith("__") and not name.endswith("__"):
                    name = f"_{cls.__name__.lstrip('_')}{name}"
                one, two = getattr(left, name, _ABSENT), getattr(right, name, _ABSENT)
                if (one is _ABSENT) != (two is _ABSENT):
                    fail(where, f"attribute {name} is only on one side")
                if one is not _ABSENT:
                    self.push(one, two, where, "." + name)


def fail(where, text):
    """Raise `Different` with the path, shortened in the middle."""
    labels = []
    while where is not None:
        where, label = where
        labels.append(label)
    labels.reverse()
    if len(labels) > 24:
        labels[12:-12] = [" ... "]
    raise Different("".join(["graph", *labels]) + ": " + text)


def _float_key(value):
    if isinstance(value, complex):
        return _float_key(value.real), _float_key(value.imag)
    return "nan" if math.isnan(value) else struct.pack(">d", value)


def _element_key(item):
    """What pairs the elements of two sets: value where there is one, else type and plain state."""
    if isinstance(item, (float, complex)):
        return type(item), _float_key(item)
    if isinstance(item, (enum.Enum, *SCALARS)):
        return type(item), item
    if isinstance(item, tuple):
        return type(item), tuple(map(_element_key, item))
    if isinstance(item, frozenset):
        return type(item), frozenset(map(_element_key, item))
    if isinstance(item, (decimal.Decimal, *BY_REPR)):
        return type(item), repr(item)
    state = getattr(item, "__dict__", {})
    plain = [f"{k}={v!r}" for k, v in state.items() if isinstance(v, (*SCALARS, float))]
    return type(item), tuple(sorted(plain))


def _base_iter(sequence):
    """The items as the base class has them, whatever a subclass says about iteration."""
    for base in (list, tuple, deque):
        if isinstance(sequence, base):
            return base.__iter__(sequence)
    raise TypeError(type(sequence))


def _is_ndarray(value):
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _short(value):
    try:
        text = repr(value)
    except RecursionError:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:40] + "..." + text[-15:]
