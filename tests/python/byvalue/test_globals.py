"""The globals of functions by value: those that they use, or the receiver's module's own.

What belongs here: `__builtins__`, `Policy(main="ref")`, and how both meet persistent ids. Which
names a function uses: cases_functions.py.
"""

import io
import pickle
import sys
import types

import pytest

import ferropickle as fp
from helpers.subprocs import run_python

MODULE = fp.Policy(main="ref", face="dill")

counter = 0


def local():
    def count():
        return counter

    return count


def parser():
    def parse(text):
        import datetime

        return datetime.datetime.strptime(text, "%Y").year

    return parse


@pytest.mark.parametrize("protocol", range(6))
def test_c_code_finds_builtins_in_them(protocol):
    parse = pickle.loads(fp.dumps(parser(), protocol))
    assert parse("1943") == 1943
    assert parse.__globals__["__builtins__"] is vars(sys.modules["builtins"])


@pytest.mark.parametrize("protocol", range(6))
def test_the_module_s_own(protocol, monkeypatch):
    copied = pickle.loads(fp.dumps(local(), protocol, policy=MODULE))
    assert copied.__globals__ is globals()
    monkeypatch.setattr(sys.modules[__name__], "counter", 5)
    assert copied() == 5


def test_those_that_are_used_are_the_default(monkeypatch):
    copied = pickle.loads(fp.dumps(local()))
    monkeypatch.setattr(sys.modules[__name__], "counter", 5)
    assert copied() == 0


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle 'Refuses' object")


running = Refuses()


def test_nothing_of_the_module_is_written():
    func = lambda: running
    with pytest.raises(TypeError, match="Refuses"):
        fp.dumps(func)
    assert pickle.loads(fp.dumps(func, policy=MODULE))() is running


def test_main_goes_by_value_with_its_own_globals():
    run_python("""
        import pickle, ferropickle as fp
        x = 1
        def f(): return x
        class C:
            def get(self): return x
        policy = fp.Policy(main="ref", face="dill", identity="new")
        back, cls = pickle.loads(fp.dumps((f, C), policy=policy))
        assert back is not f and cls is not C
        assert back.__globals__ is globals() is cls.get.__globals__
        x = 2
        assert back() == 2 == cls().get()
    """)


def test_a_module_that_cannot_be_imported_gives_those_that_are_used():
    module = types.ModuleType("made_at_run_time")
    exec("x = 1\ndef f(): return x", vars(module))
    copied = pickle.loads(fp.dumps(module.f, policy=MODULE))
    assert copied() == 1
    assert copied.__globals__ is not vars(module)


@pytest.mark.parametrize("protocol", range(6))
def test_a_persistent_id_of_the_dict_goes_first(protocol):
    module = types.ModuleType("made_at_run_time")
    exec("x = 1\ndef f(): return x\ndef g(): return f()", vars(module))

    class Marking(fp.Pickler):
        def persistent_id(self, obj):
            return "here" if obj is vars(module) else None

    class Placing(pickle.Unpickler):
        def persistent_load(self, pid):
            assert pid == "here"
            return space

    file = io.BytesIO()
    Marking(file, protocol, policy=MODULE).dump([module.f, module.g])
    file.seek(0)
    space = {"x": 7}
    f, g = Placing(file).load()
    assert f.__globals__ is space is g.__globals__
    assert f() == 7
