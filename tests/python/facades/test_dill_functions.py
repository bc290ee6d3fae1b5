"""`compat.dill`'s dump, load and classes: arguments, settings, savers, copies.

What belongs here: what this facade adds to the engine. What the engine does by value is tested
under ``byvalue/``; here it only shows that it is reached with dill's choices.
"""

import io
import pickle
import sys
import typing

import pytest

from ferropickle.compat import dill
from helpers.shapes import Plain, plain_function
from helpers.subprocs import run_python

try:
    import numpy as np
except ImportError:
    np = None


@pytest.fixture(autouse=True)
def settings_are_left_alone():
    before = dict(dill.settings)
    yield
    assert before == dill.settings


@pytest.fixture
def setting(monkeypatch):
    return lambda name, value: monkeypatch.setitem(dill.settings, name, value)


# ---- arguments and settings ------------------------------------------------------------


def test_settings_are_dill_s():
    assert dill.settings == {
        "protocol": pickle.DEFAULT_PROTOCOL,
        "byref": False,
        "fmode": 0,
        "recurse": False,
        "ignore": False,
    }


def test_the_protocol_of_a_call_or_of_the_settings(monkeypatch):
    assert dill.dumps(1)[:2] == bytes([0x80, pickle.DEFAULT_PROTOCOL])
    assert dill.dumps(1, 2)[:2] == b"\x80\x02"
    monkeypatch.setitem(dill.settings, "protocol", 3)
    assert dill.dumps(1)[:2] == b"\x80\x03"
    assert dill.dumps(1, protocol=True) == b"K\x01."
    monkeypatch.undo()


def test_files_and_bytes():
    file = io.BytesIO()
    dill.dump([1], file)
    dill.dump([2], file)
    file.seek(0)
    assert [dill.load(file), dill.load(file)] == [[1], [2]]
    assert dill.loads(dill.dumps({"a": 1})) == {"a": 1}


def test_buffers_out_of_band():
    buffers = []
    data = dill.dumps(pickle.PickleBuffer(b"abc"), 5, buffer_callback=buffers.append)
    assert bytes(dill.loads(data, buffers=buffers)) == b"abc"
    assert b"abc" not in data


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="wrong"):
        dill.dumps(1, wrong=2)


# ---- functions and classes ----------------------------------------------------------------


def local_function(start):
    return lambda x: x + start


def test_functions_need_nothing_but_python_to_be_loaded():
    assert pickle.loads(dill.dumps(local_function(3)))(4) == 7


def test_functions_by_name_where_they_have_one():
    assert dill.copy(plain_function) is plain_function
    assert dill.copy(Plain) is Plain


MAIN = """
import sys
from ferropickle.compat import dill

def f(): return g
g = 1
class C: pass
c = C()
unpicklable = object.__new__(type("U", (), {"__reduce__": lambda self: 1 / 0}))
"""


def test_globals_of_main_are_referred_to():
    run_python(
        MAIN
        + """
copied = dill.copy(f)
assert copied is not f and copied.__globals__ is globals()
g = 2
assert copied() == 2
"""
    )


def test_recurse_brings_the_globals_that_are_used():
    run_python(
        MAIN
        + """
copied = dill.copy(f, recurse=True)
g = 2
assert copied() == 1 and "unpicklable" not in copied.__globals__
dill.settings["recurse"] = True
assert dill.copy(f)() == 2
g = 3
"""
    )


def test_recurse_with_recursive_functions():
    run_python("""
from ferropickle.compat import dill
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
copied = dill.copy(fib, recurse=True)
del fib
assert copied(10) == 55
""")


def test_classes_of_main_go_by_value_or_by_name():
    run_python(
        MAIN
        + """
assert dill.copy(C) is not C
assert dill.copy(C, byref=True) is C
assert dill.copy([C()], byref=True)[0].__class__ is C
"""
    )


def test_namedtuples_of_main_go_by_name():
    run_python("""
from collections import namedtuple
from ferropickle.compat import dill
P = namedtuple("P", "x y")
Renamed = namedtuple("Q", "x y")
assert dill.copy(P) is P and dill.copy([P(1, 2)])[0].__class__ is P
assert dill.copy(Renamed) is not Renamed and dill.copy(Renamed)._fields == ("x", "y")
""")


def test_an_instance_takes_the_class_that_main_has_now():
    run_python(
        MAIN
        + """
assert type(dill.copy(c)) is C
assert type(dill.copy(c, ignore=True)) is not C
assert type(dill.copy([c])[0]) is not C
data = dill.dumps(c)
class C:
    def new(self): return 1
assert dill.loads(data).new() == 1
del C
assert type(dill.loads(data)).__name__ == "C"
dill.settings["ignore"] = True
class C:
    __slots__ = ("other",)
assert type(dill.loads(data)) is not C
dill.settings["ignore"] = False
assert type(dill.loads(data)) is not C  # of another layout
"""
    )


def test_modules_go_by_name_and_keep_their_state(monkeypatch):
    import helpers.shapes as module

    monkeypatch.setattr(module, "state", 1, raising=False)
    data = dill.dumps(module)
    module.state = 2
    assert dill.loads(data) is module
    assert module.state == 2


TUPLE = vars(typing)["Tuple"]  # not the class tuple


@pytest.mark.parametrize(
    "alias",
    [
        TUPLE[()],
        TUPLE[()].copy_with(()),
        TUPLE[int, ...],
        vars(typing)["List"][int],
        vars(typing)["Optional"][int],
        vars(typing)["Callable"][[int], str],
    ],
    ids=repr,
)
def test_generic_aliases(alias):
    assert dill.copy(alias) == alias
    assert dill.copy(alias).__args__ == alias.__args__


# ---- savers -----------------------------------------------------------------------------------


class Own:
    def __init__(self, value):
        self.value = value


class Sub(Own):
    pass


@pytest.fixture
def saver(monkeypatch):
    monkeypatch.setattr(dill.Pickler, "dispatch", dict(dill.Pickler.dispatch))

    @dill.register(Own)
    def save(pickler, obj):
        pickler.save_reduce(Own, (obj.value * 2,), obj=obj)

    return save


def test_register(saver):
    assert callable(saver)
    assert dill.copy(Own(4)).value == 8
    assert dill.copy([Own(1), {"k": Own(2)}])[1]["k"].value == 4
    assert dill.copy(Sub(4)).value == 4
    assert pickle.loads(dill.dumps(Own(4))).value == 8


def test_registered_savers_are_called_once_for_an_object(monkeypatch):
    monkeypatch.setattr(dill.Pickler, "dispatch", {})
    calls = []

    def save(pickler, obj):
        calls.append(pickler.proto)
        pickler.save_reduce(Own, (0,), {"value": obj.value}, obj=obj)

    dill.pickle(Own, save)
    own = Own(5)
    first, second = dill.copy([own, own], 2)
    assert first is second
    assert first.value == 5
    assert calls == [2]


def test_savers_by_name(monkeypatch):
    monkeypatch.setattr(dill.Pickler, "dispatch", {})
    dill.pickle(type(NAMED), lambda pickler, obj: pickler.save_global(obj, "NAMED"))
    assert dill.copy(NAMED) is NAMED


class _Named:
    def __init__(self):
        self.__module__ = __name__


NAMED = _Named()


@pytest.mark.parametrize(
    ("save", "text"),
    [
        (lambda pickler, obj: None, "saved nothing"),
        (lambda pickler, obj: pickler.save(1), "must use save_reduce"),
        (lambda pickler, obj: pickler.write(b"N"), "must use save_reduce"),
        (lambda pickler, obj: [pickler.save_reduce(Own, (1,)) for _ in "ab"], "once"),
    ],
)
def test_savers_that_do_something_else(monkeypatch, save, text):
    monkeypatch.setattr(dill.Pickler, "dispatch", {Own: save})
    with pytest.raises(dill.PicklingError, match=text):
        dill.dumps(Own(1))


def test_a_subclass_may_have_savers_of_its_own():
    class Special(dill.Pickler):
        dispatch = {Own: lambda pickler, obj: pickler.save_reduce(Own, ("special",), obj=obj)}

    file = io.BytesIO()
    Special(file).dump(Own(1))
    assert dill.loads(file.getvalue()).value == "special"
    assert dill.copy(Own(1)).value == 1


# ---- classes -----------------------------------------------------------------------------------


def test_picklers_can_be_subclassed():
    class Counting(dill.Pickler):
        def __init__(self, *args, **kwds):
            self.seen = []
            super().__init__(*args, **kwds)

        def persistent_id(self, obj):
            return "own" if isinstance(obj, Own) else None

        def reducer_override(self, obj):
            self.seen.append(type(obj).__name__)
            return NotImplemented

    class Loading(dill.Unpickler):
        def persistent_load(self, pid):
            return pid.upper()

        def find_class(self, module, name):
            found.append(name)
            return super().find_class(module, name)

    file, found = io.BytesIO(), []
    pickler = Counting(file, recurse=True)
    pickler.dump([Own(1), local_function(1)])
    file.seek(0)
    first, func = Loading(file).load()
    assert first == "OWN"
    assert func(1) == 2
    assert "function" in pickler.seen
    assert "FunctionType" in found


def test_a_pickler_keeps_its_memo():
    file = io.BytesIO()
    pickler = dill.Pickler(file)
    shared = [1]
    pickler.dump(shared)
    pickler.dump(shared)
    file.seek(0)
    unpickler = dill.Unpickler(file)
    assert unpickler.load() is unpickler.load()


def test_picklers_are_freed(monkeypatch):
    import gc
    import weakref

    monkeypatch.setattr(dill.Pickler, "dispatch", {Own: lambda p, o: p.save_reduce(Own, (1,))})
    pickler = dill.Pickler(io.BytesIO())
    pickler.dump(Own(1))
    gone = weakref.ref(pickler)
    gc.disable()
    try:
        del pickler
        assert gone() is None
    finally:
        gc.enable()


# ---- copies -----------------------------------------------------------------------------------


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle 'Refuses' object")


class Unequal:
    def __eq__(self, other):
        return False

    __hash__ = None


class Fails:
    def __reduce__(self):
        raise LookupError("of its own")


def test_pickles():
    assert dill.pickles([1])
    assert dill.pickles(local_function(1))
    assert not dill.pickles(Refuses())
    assert dill.pickles(Unequal())
    assert not dill.pickles(Unequal(), exact=True)
    assert not dill.pickles(Fails(), safe=True)
    with pytest.raises(LookupError, match="of its own"):
        dill.pickles(Fails())


@pytest.mark.skipif(np is None, reason="NumPy is not installed")
def test_pickles_with_arrays():
    assert dill.pickles(np.arange(3), exact=True)


def test_copy_takes_the_arguments_of_both():
    assert dill.copy([1], 2, byref=True, recurse=True, ignore=True) == [1]


def test_check_loads_in_another_process(capfd):
    assert dill.check([1, 2]) is None
    assert capfd.readouterr().out == "[1, 2]\n"
    dill.check(local_function(1), verbose=True, python=sys.executable, recurse=True)
    out = capfd.readouterr().out.splitlines()
    assert out[0].startswith("<function ")
    assert out[1] == "SUCCESS"
    dill.check([1], verbose=None)
    assert capfd.readouterr().out == ""


class BreaksOnLoad:
    def __reduce__(self):
        return eval, ("1 / 0",)


def test_check_of_what_cannot_be_loaded_or_dumped(capfd):
    dill.check(BreaksOnLoad(), verbose=True)
    out, err = capfd.readouterr()
    assert out == "LOAD FAILED\n"
    assert "ZeroDivisionError" in err
    with pytest.raises(TypeError, match="Refuses"):
        dill.check(Refuses(), verbose=True)
    assert capfd.readouterr().out == "DUMP FAILED\n"


# ---- the rest -----------------------------------------------------------------------------------


def test_errors_and_warnings():
    assert dill.PicklingError is pickle.PicklingError
    assert dill.UnpicklingError is pickle.UnpicklingError
    assert issubclass(dill.PicklingWarning, (dill.PickleWarning, dill.PicklingError))
    assert issubclass(dill.UnpicklingWarning, dill.UnpicklingError)
    assert issubclass(dill.PickleWarning, Warning)


def test_extend_leaves_pickle_alone():
    before = dict(pickle._Pickler.dispatch)
    dill.extend()
    dill.extend(False)
    assert pickle._Pickler.dispatch == before
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(local_function(1))


def test_licence_and_citation(capsys):
    dill.license()
    dill.citation()
    assert "Apache-2.0 OR MIT" in capsys.readouterr().out


def test_names_of_the_inner_module():
    from ferropickle.compat.dill import _dill

    assert _dill.Pickler is dill.Pickler
    assert _dill.is_dill(dill.Pickler(io.BytesIO()))
    assert not _dill.is_dill(pickle._Pickler(io.BytesIO()))

    class Sub(dill.Pickler):
        pass

    assert _dill.is_dill(Sub(io.BytesIO()))
    assert not _dill.is_dill(Sub(io.BytesIO()), child=False)


def test_every_public_name_is_there():
    for name in dill.__all__:
        assert hasattr(dill, name)
    for module in (dill.detect, dill.source, dill.temp, dill.session, dill.pointers, dill.logger):
        for name in module.__all__:
            assert hasattr(module, name)
