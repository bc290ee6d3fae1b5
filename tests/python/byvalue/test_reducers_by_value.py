"""The long tail inside functions and classes that go by value."""

import contextlib
import contextvars
import ctypes
import functools
import io
import pickle
import threading
import weakref

import pytest

import ferropickle
from helpers.stock import arrives, copy, dumps


def test_a_cached_function_keeps_its_attributes_and_itself():
    @functools.lru_cache(maxsize=5)
    def fibonacci(n):
        "Grows."
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    fibonacci(5)
    arrives(
        [fibonacci, fibonacci.__wrapped__],
        """
        fibonacci, inner = obj
        assert fibonacci.cache_info()[:4] == (0, 0, 5, 0)
        assert fibonacci(30) == 832040 and fibonacci.cache_info().hits
        assert fibonacci.__wrapped__ is inner and fibonacci.__doc__ == "Grows."
        assert fibonacci.__name__ == "fibonacci"
        """,
    )


def test_a_cached_method_of_a_class_by_value():
    class Table:
        @functools.lru_cache(None)
        def square(self, x):
            return x * x

        @functools.cached_property
        def made(self):
            return [self.square(3)]

    table = Table()
    arrives(
        [table, Table],
        """
        table, Table = obj
        assert table.square(4) == 16 and Table.square.cache_info().misses == 1
        assert table.made == [9] and table.made is table.made
        """,
    )


def test_a_generic_function_keeps_its_implementations():
    @functools.singledispatch
    def describe(x):
        return "other"

    @describe.register
    def _(x: int):
        return f"int {x}"

    describe.register(list, lambda x: [describe(y) for y in x])
    assert describe([1, "a"]) == ["int 1", "other"]
    arrives(
        describe,
        """
        assert obj([1, "a"]) == ["int 1", "other"] and obj(True) == "int True"
        obj.register(str, lambda x: "str")
        assert obj(["a"]) == ["str"] and list(obj.registry) == [object, int, list, str]
        """,
    )


def test_exceptions_of_classes_by_value():
    class Problem(Exception):
        def __init__(self, code, *, detail):
            super().__init__(code)
            self.detail = detail

    error = Problem(3, detail=[1])
    error.__cause__ = Problem(4, detail=error)
    arrives(
        error,
        """
        assert (obj.args, obj.detail) == ((3,), [1])
        assert obj.__cause__.detail is obj and type(obj.__cause__) is type(obj)
        """,
    )


def test_locks_variables_and_references_that_a_function_closes_over():
    lock, local, variable = threading.Lock(), threading.local(), contextvars.ContextVar("v")
    condition = threading.Condition(lock)

    def use():
        with lock:
            taken = condition.acquire(blocking=False)
        local.x = 1
        variable.set(local.x)
        return taken, ref() is use, variable.get()

    ref = weakref.ref(use)
    with lock:
        arrives(use, "assert obj() == (False, True, 1)")


def test_an_instance_that_holds_everything():
    class Service:
        def __init__(self):
            self.lock = threading.RLock()
            self.done = threading.Event()
            self.cache = weakref.WeakValueDictionary(me=self)
            self.buffer = memoryview(bytearray(b"abc"))
            self.keys = vars(self).keys()
            self.log = io.StringIO("x")
            self.thread = threading.Thread(target=self.run, args=("ran",))

        def run(self, text):
            print(text)
            self.done.set()

    out = arrives(
        Service(),
        """
        with obj.lock:
            obj.thread.start()
        assert obj.done.wait(5)
        obj.thread.join()
        assert obj.cache["me"] is obj and bytes(obj.buffer) == b"abc" and "lock" in obj.keys
        """,
    )
    assert out == "ran\n"


def test_a_subclass_of_thread():
    class Worker(threading.Thread):
        def __init__(self, number):
            super().__init__(name="worker")
            self.number = number

        def run(self):
            self.result = self.number * 2

    arrives(Worker(4), "obj.start(); obj.join(); assert obj.result == 8 and obj.name == 'worker'")


def test_a_generator_of_a_function_by_value(monkeypatch):
    def count(end):
        yield from range(end)

    count.__qualname__ = "count"
    monkeypatch.setitem(globals(), "count", count)
    monkeypatch.setattr(count, "__module__", "__main__")
    arrives(count(3), "assert list(obj) == [0, 1, 2]")


def test_generators_without_a_name():
    offset = 10

    def count(end):
        nonlocal offset
        while offset < end:
            offset += 1
            yield offset

    def now():
        return offset

    @contextlib.contextmanager
    def entered(name):
        yield f"in {name}"

    numbers = [1, 2, 3]
    arrives(
        [
            (x * x for x in numbers),
            ((x, y) for x in iter("ab") for y in numbers if y != offset),
            entered("it"),
            count(12),
            now,
        ],
        """
        squares, pairs, entered, counting, now = obj
        assert list(squares) == [1, 4, 9]
        assert list(pairs)[:4] == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
        with entered as said:
            assert said == "in it"
        assert next(counting) == 11
        assert now() == 11
        """,
    )


def test_coroutines_of_local_functions():
    factor = 3

    async def times(x):
        return x * factor

    async def numbers(end):
        for i in range(end):
            yield i * factor

    coroutine = times(2)
    arrives(
        [coroutine, numbers(3)],
        """
        import asyncio
        coroutine, numbers = obj
        async def all():
            return await coroutine, [x async for x in numbers]
        assert asyncio.run(all()) == (6, [0, 3, 6])
        """,
    )
    coroutine.close()


def test_structures_of_ctypes():
    class Point(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("x", ctypes.c_int8), ("y", ctypes.c_int32), ("bits", ctypes.c_int32, 3)]

        def total(self):
            return self.x + self.y

    class Either(ctypes.Union):
        _anonymous_ = ["point"]
        _fields_ = [("point", Point), ("raw", ctypes.c_char * 9)]

    class Big(ctypes.BigEndianStructure):
        _fields_ = [("n", ctypes.c_uint16)]

    class Node(ctypes.Structure):
        pass

    Node._fields_ = [("value", ctypes.c_int), ("next", ctypes.POINTER(Node))]
    either = Either()
    either.x = 7
    arrives(
        [Point(1, 2, 3), Point, either, Big(258), Node],
        """
        import ctypes
        point, Point, either, big, Node = obj
        assert type(point) is Point and ctypes.sizeof(Point) == 9
        assert (point.total(), point.bits) == (3, 3)
        assert either.point.x == 7 and either.raw[0] == 7
        assert bytes(big) == b"\1\2"
        assert Node(1, ctypes.pointer(Node(2))).next.contents.value == 2
        """,
    )


def test_the_path_leads_to_what_is_refused():
    class Holder:
        pass

    holder = Holder()
    started = (x for x in "ab")
    next(started)
    holder.items = {"a": [iter([]), started]}
    with pytest.raises(pickle.PicklingError, match=r"obj\.items\['a'\]\[1\].*a list of its items"):
        dumps(holder)


def test_the_face_of_pickle_refuses_what_pickle_refuses():
    policy = ferropickle.Policy(face="pickle")
    for obj in (threading.Lock(), {}.keys(), memoryview(b"a"), weakref.ref(set)):
        with pytest.raises(TypeError, match="cannot pickle"):
            ferropickle.dumps(obj, policy=policy)
    with pytest.raises(TypeError, match="cannot pickle '_thread.lock'"):
        ferropickle.dumps(threading.Condition(threading.Lock()), policy=policy)


def test_hooks_of_the_user_go_first():
    class Pickler(ferropickle.Pickler):
        def reducer_override(self, obj):
            return (str, ("lock",)) if isinstance(obj, type(threading.Lock())) else NotImplemented

    file = io.BytesIO()
    Pickler(file).dump(threading.Lock())
    assert pickle.loads(file.getvalue()) == "lock"
    table = ferropickle.Pickler(file := io.BytesIO())
    table.dispatch_table = {threading.Condition: lambda obj: (str, ("condition",))}
    table.dump(threading.Condition())
    assert pickle.loads(file.getvalue()) == "condition"


def test_everything_is_in_stock_form():
    policy = ferropickle.Policy(require_stock=True, tracebacks="keep")
    try:
        raise ValueError
    except ValueError as error:
        held = [threading.Lock(), error, memoryview(b"x"), weakref.ref(set)]
    assert len(copy(held, policy=policy)) == 4
