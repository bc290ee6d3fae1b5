"""Variables of contexts and threads, weak containers, for children that have no ferropickle."""

import contextvars
import threading
import weakref

VARIABLE = contextvars.ContextVar("VARIABLE", default=0)
LOCAL = threading.local()


class Local(threading.local):
    """Is made anew, with the same arguments, in each thread."""

    def __init__(self, a, b):
        self.a = a
        self.b = b


SENTINEL = object()


class Values(weakref.WeakValueDictionary):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def take(self, member):
        self["key"] = member

    def members(self):
        return list(self.values())


class Keys(weakref.WeakKeyDictionary):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def take(self, member):
        self[member] = 1

    def members(self):
        return list(self)


class Members(weakref.WeakSet):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def take(self, member):
        self.add(member)

    def members(self):
        return list(self)
