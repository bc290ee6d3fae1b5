"""Exceptions of every kind of making. Importable where ferropickle is not installed."""

import dataclasses


class Signature(Exception):
    """Takes other arguments than those that it keeps."""

    def __init__(self, code, *, detail=None):
        super().__init__(f"code {code}")
        self.code = code
        self.detail = detail


class KeywordOnly(ValueError):
    def __init__(self, *, need):
        self.need = need


class Explosive(Exception):
    """Counts the calls of its making."""

    calls = 0

    def __new__(cls, a, b):
        cls.calls += 1
        return super().__new__(cls, a)

    def __init__(self, a, b):
        type(self).calls += 1
        self.b = b


class Slotted(Exception):
    __slots__ = ("obj", "__private", "unset")

    def __init__(self, obj, private):
        self.obj = obj
        self.__private = private

    def private(self):
        return self.__private


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    a: int
    b: list


class Property(Exception):
    """Has an attribute behind a property of the same name."""

    def __init__(self, name):
        self.__dict__["name"] = name

    @property
    def name(self):
        return self.__dict__["name"] + "!"


class OwnReduce(Exception):
    def __init__(self, a, b):
        super().__init__(a, b, "more")

    def __reduce__(self):
        return type(self), self.args[:2]


class OwnState(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b

    def __setstate__(self, state):
        raise AssertionError("it is given its attributes otherwise")


class FromSystem(OSError):
    def __init__(self, path):
        super().__init__(2, "gone", path)
        self.path = path


class Decoding(UnicodeDecodeError):
    def __init__(self, text):
        super().__init__("ascii", text, 1, 2, "odd")


class TwoBases(KeyError, AttributeError):
    def __init__(self, key):
        KeyError.__init__(self, key)
        self.name = key
