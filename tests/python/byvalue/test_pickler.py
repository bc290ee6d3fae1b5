"""Pickler objects and what goes by value: hooks, `fast`, several dumps, files."""

import io
import json
import pickle
import sys
import threading
import xml.dom

import pytest

import ferropickle as fp


def make():
    base = [1]

    class Local:
        items = base

        def __init__(self, n):
            self.n = n

        def get(self):
            return self.n, helper()

    def helper():
        return len(base)

    def recursive(n):
        return 0 if n == 0 else 1 + recursive(n - 1)

    return Local, helper, recursive


def dumped(obj, cls=fp.Pickler, **attributes):
    file = io.BytesIO()
    pickler = cls(file)
    for name, value in attributes.items():
        setattr(pickler, name, value)
    pickler.dump(obj)
    return file.getvalue()


def check(back):
    cls, helper, recursive, first, second = back
    assert helper() == 1
    assert recursive(3) == 3
    assert type(first) is type(second) is cls
    assert second.get() == (2, 1)


def graph():
    cls, helper, recursive = make()
    return [cls, helper, recursive, cls(1), cls(2)]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("loads", [fp.loads, pickle.loads])
def test_pickler(fast, loads):
    check(loads(dumped(graph(), fast=fast)))


def test_two_dumps_of_one_pickler():
    file = io.BytesIO()
    pickler = fp.Pickler(file)
    obj = graph()
    pickler.dump(obj)
    pickler.dump(obj[1])
    unpickler = pickle.Unpickler(io.BytesIO(file.getvalue()))
    check(unpickler.load())
    assert unpickler.load()() == 1
    pickler.clear_memo()
    before = file.tell()
    pickler.dump(obj[2])
    assert pickle.loads(file.getvalue()[before:])(2) == 2


def test_persistent_id_sees_what_is_captured():
    class Pickler(fp.Pickler):
        def persistent_id(self, obj):
            return "base" if type(obj) is list and obj == [1] else None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return [pid, pid]

    _, helper, _ = make()
    assert Unpickler(io.BytesIO(dumped(helper, Pickler))).load()() == 2


def names_module():
    return io.StringIO(json.dumps(xml.dom.Node.ELEMENT_NODE)).read()


@pytest.mark.parametrize("protocol", [1, 3, 5])
@pytest.mark.parametrize(
    "choices", [{}, {"main": "ref", "by_value": __name__}, {"sources": "auto"}], ids=repr
)
@pytest.mark.parametrize(
    "obj",
    [names_module, io, lambda: xml.dom, make()[0]],
    ids=["function", "module", "lambda", "class"],
)
def test_names_by_persistent_ids(obj, choices, protocol):
    """Whatever str a stream needs may be a persistent id."""

    class Pickler(fp.Pickler):
        def persistent_id(self, obj):
            return list(obj.encode()) if type(obj) is str else None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return bytes(pid).decode()

    file = io.BytesIO()
    Pickler(file, protocol, policy=fp.Policy(**choices)).dump(obj)
    back = Unpickler(io.BytesIO(file.getvalue())).load()
    assert back.__name__ == obj.__name__
    if back is not io and not isinstance(back, type):
        assert back() == obj()


def test_reducer_override_goes_before_by_value():
    class Pickler(fp.Pickler):
        def reducer_override(self, obj):
            return (
                (str, ("override",)) if getattr(obj, "__name__", "") == "helper" else NotImplemented
            )

    cls, helper, recursive = make()
    back = pickle.loads(dumped([helper, recursive, cls(1)], Pickler))
    assert back[0] == "override"
    assert back[1](2) == 2
    assert back[2].n == 1


def test_dispatch_table_goes_before_by_value():
    import types

    table = {types.ModuleType: lambda obj: (str, (obj.__name__,)), property: lambda obj: (int, ())}
    back = pickle.loads(dumped([io, property(len), make], dispatch_table=table))
    assert back == ["io", 0, make]


def test_a_large_closure_to_a_file():
    data = ["x" * 100 + str(i) for i in range(5000)]
    file = io.BytesIO()
    fp.dump([lambda: data, make()[0]], file)
    file.seek(0)
    assert pickle.load(file)[0]() == data


@pytest.fixture
def often():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads(often):
    """Policies and registries are shared by all of them: each class, of which all consist of
    the same, stays the one that it is."""
    failed = []

    def work():
        try:
            for _ in range(100):
                sent = graph()
                back = pickle.loads(fp.dumps(sent))
                check(back)
                assert back[0] is sent[0]
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
