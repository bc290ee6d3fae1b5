"""The long tail of Python's objects, pickled: run as a script by test_fresh.py."""

# ruff: noqa: C417, E501, F821, UP006, UP045
import collections
import contextvars
import csv
import ctypes
import dataclasses
import datetime
import decimal
import functools
import hashlib
import io
import itertools
import logging
import operator
import queue
import random
import re
import sqlite3
import string
import struct
import sys
import tempfile
import threading
import types
import typing
import uuid
import weakref
import zlib

from helpers import cases

# Where files are that cases open; the one that runs the script removes it.
FOLDER = tempfile.mkdtemp(dir=sys.argv[2])


def path(name, contents="line 0\nline 1\nline 2\n"):
    with open(f"{FOLDER}/{name}", "w") as file:
        file.write(contents)
    return f"{FOLDER}/{name}"


def opened(name, mode, read=0):
    file = open(path(name), mode)
    if read:
        file.read(read)
    return file


class Node:
    """Can be referred to weakly, and by equals."""

    def __init__(self, value=None):
        self.value = value

    def method(self):
        return self.value


def held(container, *others):
    """The container with what it refers to weakly."""
    return [container, *others]


def chain(length):
    """Objects that each hold the next."""
    first = None
    for number in range(length):
        first, below = Node(number), first
        first.next = below
    return first


def count(node):
    length = 0
    while node is not None:
        node, length = node.next, length + 1
    return length


def nested_list(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value):
    depth = 0
    while value:
        value, depth = value[0], depth + 1
    return depth


class Failed(Exception):
    """With an `__init__` that its `args` do not fit."""

    def __init__(self, code, *, hint):
        super().__init__(f"failed with {code}")
        self.code, self.hint = code, hint


def caught():
    try:
        try:
            {}["missing"]
        except KeyError as cause:
            raise Failed(7, hint="again") from cause
    except Failed as failed:
        if sys.version_info >= (3, 11):
            failed.add_note("a note")
        return failed


def traceback_of_a_function():
    try:
        [].pop()
    except IndexError as error:
        return error.__traceback__


def memory():
    database = sqlite3.connect(":memory:")
    database.execute("create table t (a, b)")
    database.execute("insert into t values (1, 'x')")
    database.commit()
    return database


def connected():
    name = path("base", "")
    database = sqlite3.connect(name)
    database.execute("create table t (a)")
    database.execute("insert into t values (5)")
    database.commit()
    return database


def cached():
    @functools.lru_cache(maxsize=3, typed=True)
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    fibonacci(9)
    fibonacci.cache_clear()
    return fibonacci


def dispatched():
    @functools.singledispatch
    def describe(x):
        return "object"

    describe.register(int, lambda x: "int")

    @describe.register
    def _(x: Node):
        return "node"

    return describe


class Dispatching:
    @functools.singledispatchmethod
    def describe(self, x):
        return "object"

    @describe.register
    def _(self, x: int):
        return "int"

    @functools.cached_property
    def made(self):
        return [1]

    def power(self, base, exponent):
        return base**exponent

    square = functools.partialmethod(power, exponent=2)


@functools.total_ordering
class Ordered(Node):
    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return self.value < other.value


VARIABLE = contextvars.ContextVar("VARIABLE", default="nothing")


def context():
    made = contextvars.copy_context()
    made.run(VARIABLE.set, "set")
    return made


def read_variable():
    return VARIABLE.get()


def locked():
    lock = threading.Lock()
    lock.acquire()
    return lock


def queued(kind):
    made = kind(5)
    for item in (3, 1, 2):
        made.put(item)
    return made


def advanced(iterator, times=1):
    for _ in range(times):
        next(iterator)
    return iterator


def logged():
    handler = logging.FileHandler(path("log", ""))
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.Logger("of the case")
    logger.addHandler(handler)
    return [logger, handler.baseFilename]


def log_and_read(logger, name):
    logger.warning("said")
    with open(name) as file:
        return file.read().splitlines()[-1]


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


node, mapping = Node(5), {"a": 1}
ordered = collections.OrderedDict(a=1)
array = bytearray(b"0123456789")

PLAIN = {
    "scalars": (
        [None, True, 1, -(2**70), 1.5, float("inf"), 2j, "é\0", b"\xff", bytearray(b"a")],
        "x",
    ),
    "containers": (
        [
            (1,),
            {1: [2]},
            {3},
            frozenset([4]),
            collections.deque([1, 2], 3),
            collections.Counter("aa"),
        ],
        "(x, x[4].maxlen)",
    ),
    "a list in itself": ((lambda a: a.append(a) or a)([1]), "x[1] is x"),
    "library data": (
        [
            datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
            decimal.Decimal("1.10"),
            uuid.UUID(int=5),
            re.compile("a+", re.I),
            string.Template("$a"),
        ],
        "(x[:4], x[4].substitute(a=1))",
    ),
    "chain map": (collections.ChainMap({}, {1: 2}), "(x[1], x.maps)"),
    "defaultdict of a lambda": (collections.defaultdict(lambda: [7]), "(x['k'], dict(x))"),
    "slice, range, constants": ([slice(1, None, 2), range(5), ..., NotImplemented], "x"),
    "namespace": (types.SimpleNamespace(f=lambda: 3), "x.f()"),
    "alias": (
        [list[int], int | str, typing.Optional[int], typing.Callable[[int], str]],
        "[str(a) for a in x]",
    ),
    # In a list: `typing` would keep the function, and with it all of this module, to the very end,
    # where 3.12 crashes on what is left of `itertools`.
    "annotated": (typing.Annotated[int, [lambda: 3]], "x.__metadata__[0][0]()"),
    "literal and forward reference": (
        [typing.Literal["a"], typing.List["Node"]],
        "[str(a) for a in x]",
    ),
}

FUNCTIONS = {
    "built-in function": (
        [len, [].append, "a".join, dict.fromkeys],
        "(x[0]('ab'), x[2]('bc'), x[3]('d'))",
    ),
    "operators": (
        [operator.attrgetter("real"), operator.itemgetter(1), operator.methodcaller("upper")],
        "(x[0](3), x[1]('ab'), x[2]('a'))",
    ),
    "partial of a lambda": (functools.partial(lambda a, b: a - b, b=1), "(x(3), x.keywords)"),
    "cached": (cached(), "(x(30), x.cache_info().hits > 0, x.cache_parameters())"),
    "single dispatch": ([dispatched(), node], "(x[0](''), x[0](1), x[0](x[1]))"),
    "methods of functools": (
        Dispatching(),
        "(x.describe(1), x.describe(''), x.made is x.made, x.square(3))",
    ),
    "total ordering": ([Ordered(1), Ordered(2)], "(x[0] < x[1], x[0] >= x[1])"),
    "sorting key": (sorted([3, 1], key=functools.cmp_to_key(lambda a, b: a - b)), "x"),
    "generator expression": ((n * n for n in [1, 2, 3]), "list(x)"),
    "wrapper descriptor": (int.__add__, "x(1, 2)"),
    "method descriptor": (str.upper, "x('a')"),
    "class method descriptor": (dict.__dict__["fromkeys"], "x.__get__(None, dict)('a')"),
    "attribute descriptors": (
        [types.FunctionType.__dict__["__code__"], types.FunctionType.__closure__],
        "[d.__name__ for d in x]",
    ),
    "method wrapper": ((5).__add__, "x(1)"),
    "super object": (
        [super(Ordered, Ordered(4)), Ordered],
        "(x[0].method(), x[0].__thisclass__ is x[1])",
    ),
    "empty cell": (types.CellType(), "x == type(x)()"),
    "built-in types": (
        [types.FunctionType, types.GeneratorType, type(None), type(...), type({}.keys())],
        "[t.__name__ for t in x]",
    ),
}

VIEWS = {
    "dict views": (
        [mapping, mapping.keys(), mapping.values(), mapping.items()],
        "(x[0].setdefault('b', 2), *map(list, x[1:]))",
    ),
    "ordered dict views": (
        [ordered, ordered.keys(), ordered.items()],
        "(x[0].setdefault('b', 2), *map(list, x[1:]))",
    ),
    "mapping proxy": (
        [mapping, types.MappingProxyType(mapping)],
        "(x[0].setdefault('c', 3), x[1]['c'])",
    ),
    "namespace of a class": (
        [vars(Node), Node],
        "(x[0]['method'] is x[1].method, type(x[0]).__name__)",
    ),
    "memory view": ([array, memoryview(array)], "(x[0].__setitem__(0, 65), x[1].tobytes())"),
    "slice of a memory view": (memoryview(array)[8:2:-2], "(x.tobytes(), x.format, x.shape)"),
    "iterator over a list": (advanced(iter([1, 2, 3])), "list(x)"),
    "iterator over a dict": (advanced(iter({1: 2, 3: 4}.items())), "list(x)"),
    "zip, map, filter": (
        [zip("ab", [1, 2]), map(lambda a: a + 1, [1]), filter(None, [0, 1]), enumerate("a", 3)],
        "[list(i) for i in x]",
    ),
    "reversed": (advanced(reversed([1, 2, 3])), "list(x)"),
    "call iterator": (iter(lambda: 1, 1), "list(x)"),
    "count and cycle": (
        [advanced(itertools.count(3, 2), 2), advanced(itertools.cycle("abc"), 4)],
        "[next(i) for i in x for _ in 'ab']",
    ),
    "chain and islice": (
        [advanced(itertools.chain("ab", "cd"), 3), itertools.islice(iter("abcdef"), 1, None, 2)],
        "[list(i) for i in x]",
    ),
    "take and drop": (
        [
            itertools.takewhile(lambda a: a < 3, iter([1, 5, 2])),
            advanced(itertools.dropwhile(lambda a: a < 3, [1, 5, 2])),
        ],
        "[list(i) for i in x]",
    ),
    "group by": (advanced(itertools.groupby("aabbc")), "[(k, list(g)) for k, g in x]"),
    "product and permutations": (
        [advanced(itertools.product("ab", [1, 2])), advanced(itertools.permutations("abc", 2), 3)],
        "[list(i) for i in x]",
    ),
    "combinations": (
        [
            advanced(itertools.combinations("abc", 2)),
            advanced(itertools.combinations_with_replacement("ab", 2)),
        ],
        "[list(i) for i in x]",
    ),
    "accumulate and pairwise": (
        [advanced(itertools.accumulate([1, 2, 3])), advanced(itertools.pairwise("abc"))],
        "[list(i) for i in x]",
    ),
    "others of itertools": (
        [
            itertools.compress("abc", [1, 0, 1]),
            itertools.filterfalse(None, [0, 1]),
            itertools.starmap(pow, [(2, 3)]),
            itertools.zip_longest("a", "bc"),
            advanced(itertools.repeat(1, 3)),
        ],
        "[list(i) for i in x]",
    ),
    "tee": (
        (lambda pair: [advanced(pair[0]), pair[1]])(itertools.tee("abc")),
        "[list(i) for i in x]",
    ),
}

THREADS = {
    "lock": (locked(), "(x.acquire(False), x.release())", "(True, None)"),
    "re-entrant lock": (
        threading.RLock(),
        "(x.acquire(False), x.acquire(False), x.release(), x.release())",
    ),
    "condition": (threading.Condition(), "(x.acquire(False), x.notify(), x.release())"),
    "event": ((lambda e: e.set() or e)(threading.Event()), "(x.is_set(), x.wait(0))"),
    "semaphores": (
        [threading.Semaphore(2), threading.BoundedSemaphore(1)],
        "[s.acquire(False) for s in x]",
    ),
    "barrier": (threading.Barrier(1), "(x.parties, x.wait())"),
    "queues": (
        [queued(queue.Queue), queued(queue.LifoQueue), queued(queue.PriorityQueue)],
        "[[q.get_nowait() for _ in 'abc'] for q in x]",
    ),
    "simple queue": ((lambda q: q.put(1) or q)(queue.SimpleQueue()), "(x.get_nowait(), x.empty())"),
    "thread": (
        threading.Thread(target=[].append, args=(1,), name="t"),
        "(x.name, x.start(), x.join(5), x.is_alive())",
    ),
    "thread local": (threading.local(), "(setattr(x, 'a', 1), x.a)"),
    "context variable": (
        [VARIABLE, read_variable],
        "(x[1](), x[0].name, x[0].set(2) and x[1](), x[0].set('nothing') and None)",
    ),
    "context": ([context(), read_variable], "(x[0].run(x[1]), x[1]() == x[0].run(x[1]))"),
    "weak reference": (held(weakref.ref(node), node), "x[0]() is x[1]"),
    "weak reference alone": ([weakref.ref(Node())], "x[0]()"),
    "weak proxy": (
        held(weakref.proxy(node), node),
        "(x[0].value, setattr(x[1], 'value', 6), x[0].value, setattr(x[1], 'value', 5))",
    ),
    "weak method": (held(weakref.WeakMethod(node.method), node), "x[0]()()"),
    "weak containers": (
        held(
            weakref.WeakValueDictionary(a=node),
            weakref.WeakKeyDictionary({node: 1}),
            weakref.WeakSet([node]),
            node,
        ),
        "(x[0]['a'] is x[3], x[1][x[3]], x[3] in x[2])",
    ),
    "finalizer": (
        held(weakref.finalize(node, print), node),
        "x[0].peek()[0] is x[1] and x[0].detach() is not None",
    ),
}

FILES = {
    "text file that is read": (opened("read.txt", "r", 7), "(x.readline(), x.mode, x.close())"),
    "binary file": (opened("read.bin", "rb", 7), "(x.readline(), x.tell(), x.close())"),
    "file that is written": (
        (lambda f: f.write("abc") and f)(opened("written.txt", "w")),
        "(x.tell(), x.write('d'), x.flush(), open(x.name).read()[:3], x.close())",
    ),
    "file that is appended to": (
        opened("more.txt", "a"),
        "(x.mode, x.write('end'), x.flush(), open(x.name).read()[-3:], x.close())",
    ),
    "closed file": ((lambda f: f.close() or f)(opened("closed.txt", "r")), "(x.closed, x.mode)"),
    "text in memory": (
        (lambda f: f.read(2) and f)(io.StringIO("abcd")),
        "(x.read(), x.getvalue())",
    ),
    "bytes in memory": (
        (lambda f: f.read(2) and f)(io.BytesIO(b"abcd")),
        "(x.read(), x.getvalue())",
    ),
    "standard streams": (
        [sys.stdin, sys.stdout, sys.stderr, sys.stdout.buffer],
        "[f is g for f, g in zip(x, (lambda s: [s.stdin, s.stdout, s.stderr, s.stdout.buffer])(__import__('sys')))]",
    ),
    "logger": (
        logging.getLogger("ferropickle.case"),
        "(x.name, x is __import__('logging').getLogger('ferropickle.case'))",
    ),
    "logger with a handler": ([*logged(), log_and_read], "x[2](*x[:2])"),
}

LIBRARY = {
    "match": (re.search("(?P<b>b+)", "abbc"), "(x.groups(), x.span('b'), x.re.pattern)"),
    "struct": (struct.Struct("<hi"), "x.pack(1, 2)"),
    "hash": ([hashlib.sha256(), hashlib.md5()], "[(h.update(b'a'), h.hexdigest()) for h in x]"),
    "random": (random.Random(5), "[x.random() for _ in 'ab']"),
    "csv reader": (advanced(csv.reader(["a;b", "c;d"], delimiter=";")), "list(x)"),
    "csv writer": (
        (lambda f: [csv.writer(f, delimiter=";"), f])(io.StringIO()),
        "(x[0].writerow([1, 2]), x[1].getvalue())",
    ),
    "database in memory": (memory(), "x.execute('select * from t').fetchall()"),
    "database in a file": (connected(), "x.execute('select * from t').fetchall()"),
    "ctypes data": ([ctypes.c_int(3), (ctypes.c_short * 2)(1, 2)], "(x[0].value, list(x[1]))"),
    "ctypes structure": ([Point(1, 2.5), Point], "(x[0].x, x[0].y, type(x[0]) is x[1])"),
    "ctypes function": (ctypes.pythonapi.Py_IsInitialized, "x()"),
    "capsule": (
        datetime.datetime_CAPI
        if hasattr(datetime, "datetime_CAPI")
        else __import__("_datetime").datetime_CAPI,
        "type(x).__name__",
    ),
    "sentinels of dataclasses": (
        [dataclasses.MISSING, dataclasses.field(default=1).default],
        "x[0] is __import__('dataclasses').MISSING",
    ),
    "field of dataclasses": (
        dataclasses.fields(dataclasses.make_dataclass("D", [("a", int, 1)]))[0],
        "(x.name, x.default)",
    ),
    "tables of sys": (
        [sys.version_info, sys.flags, sys.float_info],
        "[t is getattr(__import__('sys'), n) for t, n in zip(x, ('version_info', 'flags', 'float_info'))]",
    ),
    "module": ([sys, string, __import__("os.path").path], "[m.__name__ for m in x]"),
    "checksum function": (zlib.crc32, "x(b'a')"),
}

ERRORS = {
    "exception": (caught(), "(type(x).__name__, str(x), x.args, x.code, x.hint)"),
    "cause and context": (
        caught(),
        "(repr(x.__cause__), x.__context__ is x.__cause__, x.__suppress_context__)",
    ),
    "notes": (caught(), "getattr(x, '__notes__', [])"),
    "errors of the system": (
        [OSError(2, "no", "f"), UnicodeDecodeError("utf-8", b"a", 0, 1, "r"), StopIteration(3)],
        "(x[0].filename, type(x[0]).__name__, x[1].reason, x[2].value)",
    ),
    "traceback": (
        traceback_of_a_function(),
        "[f.name for f in __import__('traceback').extract_tb(x)]",
    ),
    "list of 5,000 levels": ([depth_of, nested_list(5_000)], "x[0](x[1])"),
    "chain of 20,000 objects": ([count, chain(20_000)], "x[0](x[1])"),
}

CASES = {**PLAIN, **FUNCTIONS, **VIEWS, **THREADS, **FILES, **LIBRARY, **ERRORS}

if sys.version_info >= (3, 11):
    CASES["exception group"] = (
        ExceptionGroup("several", [caught(), ValueError(1)]),  # noqa: PLE0602
        "(x.message, [type(e).__name__ for e in x.exceptions], x.exceptions[0].code)",
    )
if sys.version_info >= (3, 12):
    CASES["batched"] = (advanced(itertools.batched("abcde", 2)), "list(x)")

if __name__ == "__main__":
    cases.write(CASES)
