"""`compat.dill.dump_module` and its kin: a module's state in a file and back.

What belongs here: ``__main__`` in processes of its own, imported modules, modules that nothing
can import, names that were imported, files and what may be wrong with them.
"""

import importlib
import io
import math
import sys
import types
import warnings

import pytest

from ferropickle.compat import dill
from helpers.subprocs import run_python

SESSION = """
import calendar, json, sys
import collections as colls
from calendar import Calendar, isleap, day_name
from cmath import log as complex_log
from ferropickle.compat import dill

x = 17
names = ["Alice", "Bob"]
nothing = None
def squared(n): return n ** 2 + offset
cubed = lambda n: n ** 3
offset = 0
class Person:
    def __init__(self, name): self.name = name
    def greet(self): return f"{self.name} {x}"
class Week(Calendar):
    def first(self): return day_name[self.firstweekday]
person, week, again = Person("A"), Week(), Person
selfref = sys.modules["__main__"]
dill.dump_module(sys.argv[1], refimported=len(sys.argv) > 2)
"""

LATER = """
import sys
from ferropickle.compat import dill

assert dill.load_module(sys.argv[1]) is None
main = sys.modules["__main__"]
assert (x, names, nothing) == (17, ["Alice", "Bob"], None)
assert squared.__globals__ is globals() and squared(3) == 9 and cubed(2) == 8
offset = 1
assert squared(3) == 10
assert type(person) is Person is again and Person.__module__ == "__main__"
assert person.greet() == "A 17"
assert week.first() == "Monday"
assert selfref is main
for name in ("calendar", "json", "collections", "cmath"):
    assert name in sys.modules
assert colls is sys.modules["collections"]
assert Calendar is sys.modules["calendar"].Calendar and isleap is sys.modules["calendar"].isleap
assert complex_log is sys.modules["cmath"].log
assert (day_name is sys.modules["calendar"].day_name) == (len(sys.argv) > 2)
assert __name__ == "__main__" and not hasattr(main, "__file__")
"""


@pytest.mark.parametrize("refimported", [[], ["refimported"]], ids=["by_value", "refimported"])
def test_main_in_another_process(tmp_path, refimported):
    path = tmp_path / "session.pkl"
    run_python(SESSION, path, *refimported)
    run_python(LATER, path, *refimported)


def test_main_in_the_same_process():
    run_python("""
        import io
        from ferropickle.compat import dill
        count = 1
        def more(): return count + 1
        buffer = io.BytesIO()
        dill.dump_module(buffer)
        count = 5
        del more
        buffer.seek(0)
        dill.load_module(buffer, module="__main__")
        assert more() == 2 and more.__globals__ is globals()
        count = 7
        assert more() == 8
    """)


def test_main_as_a_dict():
    run_python("""
        import io
        from ferropickle.compat import dill
        x, names = 1, ["a"]
        def get(): return x
        class C:
            def get(self): return x
        c = C()
        buffer = io.BytesIO()
        dill.dump_module(buffer)
        x, y = 2, 3
        kept = (get, C, c)
        for update in (False, True):
            buffer.seek(0)
            space = dill.load_module_asdict(buffer, update=update)
            assert space["__name__"] == "__main__" and "__session__" in space
            assert space["x"] == 1 and space["names"] == ["a"] and space["names"] is not names
            assert ("y" in space) == update
            assert space["get"]() == 1 and space["get"].__globals__ is space
            assert type(space["c"]) is space["C"] and space["c"].get() == 1
            assert (x, y, get, C, c) == (2, 3, *kept)
    """)


def test_the_default_file_is_private():
    run_python("""
        import os, stat, tempfile
        from ferropickle.compat import dill
        folder = tempfile.tempdir = tempfile.mkdtemp()
        x = 1
        dill.dump_module()
        path = os.path.join(folder, "session.pkl")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        x = 2
        dill.load_module()
        assert x == 1
        os.rename(path, path + "2")
        os.symlink(path + "2", path)
        for refused in (dill.dump_module, dill.load_module):
            try:
                refused()
            except OSError:
                pass
            else:
                raise AssertionError("followed a link that anyone could have made")
    """)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of one's own, imported."""
    (tmp_path / "own_module.py").write_text(
        "import math\n"
        "from math import sin\n"
        "rate = 3\n"
        "class Thing:\n    def rate(self): return rate\n"
        "def times(x): return x * rate\n"
        "thing = Thing()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_module")
    sys.modules.pop("own_module", None)


def saved(module, **kwds):
    buffer = io.BytesIO()
    dill.dump_module(buffer, module, **kwds)
    buffer.seek(0)
    return buffer


def test_an_imported_module(module):
    module.selfref = module
    module.rate = 5
    buffer = saved(module)
    public = [name for name in vars(module) if not name.startswith("__")]
    for name in public:
        delattr(module, name)
    assert dill.load_module(buffer, module) is None
    assert module.selfref is module
    assert type(module.thing) is module.Thing
    assert module.times.__globals__ is vars(module)
    assert module.times(2) == 10
    module.rate = 7
    assert module.thing.rate() == 7
    assert module.sin is math.sin


def test_an_imported_module_by_name(module):
    module.rate = 5
    buffer = saved("own_module")
    del sys.modules["own_module"]
    loaded = dill.load_module(buffer)
    assert loaded is sys.modules["own_module"] is not module
    assert loaded.rate == 5


def test_other_modules_are_not_changed(module):
    other = types.ModuleType("other_runtime")
    other.module = module
    module.rate = 5
    buffer = saved(other)
    module.rate = 6
    assert dill.load_module(buffer).module is module
    assert module.rate == 6


def runtime(**names):
    module = types.ModuleType("made_at_run_time")
    exec("def double(): return 2 * x", vars(module))
    vars(module).update(names)
    return module


@pytest.mark.parametrize("refimported", [False, True])
def test_a_module_that_nothing_can_import(refimported):
    buffer = saved(runtime(x=21), refimported=refimported)
    data = buffer.getvalue()
    loaded = dill.load_module(buffer)
    assert (loaded.__name__, loaded.x, loaded.double()) == ("made_at_run_time", 21, 42)
    assert loaded.double.__globals__ is vars(loaded)
    assert loaded not in sys.modules.values()
    given = types.ModuleType("made_at_run_time")
    assert dill.load_module(io.BytesIO(data), given) is None
    assert given.double() == 42
    assert "made_at_run_time" not in sys.modules


def test_refimported_names_come_from_where_they_were():
    module = runtime(x=1, flags=sys.flags, environment=sys.modules["os"].environ)
    loaded = dill.load_module(saved(module, refimported=True))
    assert loaded.flags is sys.flags
    assert loaded.environment is sys.modules["os"].environ


def test_the_module_has_to_be_the_one_that_was_written(module):
    with pytest.raises(ValueError, match="about the module 'own_module', not 'math'"):
        dill.load_module(saved(module), math)
    with pytest.raises(ValueError, match="about the module 'own_module', not 'math'"):
        dill.load_module(saved(module), "math")
    with pytest.raises(ValueError, match="not imported"):
        dill.load_module(saved(module), types.ModuleType("own_module"))
    with pytest.raises(ValueError, match="a module that was not imported"):
        unimported = types.ModuleType("own_module")
        dill.load_module(saved(unimported), module)
    with pytest.raises(TypeError, match="is not a module"):
        dill.dump_module(io.BytesIO(), 5)


def test_what_is_no_session_file():
    for other in (dill.dumps([1]), dill.dumps({"format": "?"})):
        with pytest.raises(dill.UnpicklingError, match="not a session file"):
            dill.load_module(io.BytesIO(other))


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle 'Refuses' object")


def test_what_cannot_be_pickled_is_named():
    module = runtime(bad=Refuses())
    with pytest.raises(TypeError, match="cannot pickle 'Refuses' object") as caught:
        saved(module)
    if sys.version_info >= (3, 11):
        assert any("bad" in note for note in caught.value.__notes__)


def test_the_old_names(module):
    buffer = io.BytesIO()
    with pytest.warns(PendingDeprecationWarning, match="renamed dump_module"):
        dill.dump_session(buffer, main=module)
    module.rate = 8
    buffer.seek(0)
    with pytest.warns(PendingDeprecationWarning, match="renamed load_module"):
        dill.load_session(buffer, main=module)
    assert module.rate == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PendingDeprecationWarning, match="renamed 'module'"):
            dill.dump_module(io.BytesIO(), main=module)
