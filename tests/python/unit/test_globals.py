"""What goes by name: functions, classes, nested names, Python 2's names, extension codes.

What belongs here: how a global is written, checked and found again.
"""

import collections
import copyreg
import pickle
import sys
import types

import pytest

import ferropickle as fp
from helpers import shapes
from helpers.crossing import assert_fails_alike, assert_loads_fail_alike, cross, raised
from helpers.shapes import Outer
from helpers.streams import opcodes

PLAIN = [len, int, object, type, ValueError, collections.OrderedDict, shapes.plain_function]
PLAIN += [shapes.Plain, pickle.dumps, type(None), type(...), type(NotImplemented)]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_by_name(value, protocol):
    assert cross([value, value], protocol) == [value, value]


NESTED = [Outer.Inner, Outer.Inner.Core, Outer.Inner.method, Outer.Inner.helper, str.join]
NESTED += [dict.fromkeys, int.from_bytes]


@pytest.mark.parametrize("value", NESTED, ids=lambda v: v.__qualname__)
def test_nested_names(value, protocol):
    back = fp.loads(fp.dumps(value, protocol))
    assert back == value
    assert pickle.loads(fp.dumps(value, protocol)) == value
    assert fp.loads(pickle.dumps(value, protocol)) == value
    if protocol < 3:
        assert fp.dumps(value, protocol) == pickle.dumps(value, protocol)


class Höher:
    class Inner:
        pass

    class Ïnner:
        pass


@pytest.mark.parametrize("inner", [Outer.Inner, Höher.Inner, Höher.Ïnner])
def test_instances_of_nested_classes(inner, protocol):
    for value in (inner(), [inner(), inner, inner()]):
        try:
            expected = pickle.dumps(value, protocol)
        except pickle.PicklingError:
            raised(fp.dumps, value, protocol)
            continue
        data = fp.dumps(value, protocol)
        assert type(pickle.loads(data)) is type(fp.loads(data)) is type(value)
        if protocol < 3:
            assert data == expected


def test_bound_methods(protocol):
    owner = shapes.Plain(a=1)
    text = "abc"
    back = fp.loads(fp.dumps([Outer.Inner.build, text.upper, [1].append, owner], protocol))
    assert type(back[0]()) is Outer.Inner
    assert back[1]() == "ABC"
    value = Outer.Inner()
    method, again = fp.loads(fp.dumps([value.method, value], protocol))
    assert method.__self__ is again
    assert method() == "method"


def test_local_functions_and_lambdas_fail_as_in_the_standard_library(protocol):
    def local():
        pass

    class Local:
        pass

    for value in (local, lambda: 0, Local, Local()):
        from ferropickle.compat import pickle as compat

        theirs = raised(pickle.dumps, value, protocol)
        assert type(raised(compat.dumps, value, protocol)) is type(theirs)


@pytest.fixture
def module():
    """A module that exists for one test."""
    made = types.ModuleType("made_for_one_test")
    sys.modules[made.__name__] = made
    yield made
    sys.modules.pop(made.__name__, None)


def make_function(name, module, qualname=None):
    def function():
        pass

    function.__name__ = name
    function.__qualname__ = qualname or name
    function.__module__ = module
    return function


def test_another_object_under_the_name_fails(module, protocol):
    function = make_function("function", module.__name__)
    module.function = make_function("function", module.__name__)
    exc = assert_fails_alike(lambda: function, protocol)
    assert "not the same object" in str(exc)


def test_no_such_module_or_name_fails(module, protocol):
    assert_fails_alike(lambda: make_function("missing", module.__name__), protocol)
    assert_fails_alike(lambda: make_function("name", "no_such_module_anywhere"), protocol)
    assert_fails_alike(lambda: make_function("name", module.__name__, "a.b.c"), protocol)


def test_a_module_that_refuses_to_be_imported(protocol, tmp_path, monkeypatch):
    (tmp_path / "refuses_import.py").write_text("raise ImportError('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    assert_fails_alike(lambda: make_function("name", "refuses_import"), protocol)


def test_function_without_module_is_searched(module, protocol):
    module.searched = make_function("searched", None)
    assert fp.loads(fp.dumps(module.searched, protocol)) is module.searched


def test_name_that_is_not_ascii(module, protocol):
    cls = type("Größe", (), {"__module__": module.__name__})
    module.Größe = cls
    if protocol < 3:
        assert_fails_alike(lambda: cls, protocol)
    else:
        assert fp.loads(fp.dumps(cls, protocol)) is cls
        assert pickle.loads(fp.dumps(cls, protocol)) is cls


def test_class_of_classes(protocol):
    class Meta(type):
        pass

    Meta.__module__, Meta.__qualname__ = __name__, "_META"
    globals()["_META"] = Meta
    globals()["_MADE"] = Meta("_MADE", (), {"__module__": __name__})
    try:
        assert fp.loads(fp.dumps(_MADE, protocol)) is _MADE  # noqa: F821
        assert type(fp.loads(fp.dumps(_MADE(), protocol))) is _MADE  # noqa: F821
    finally:
        del globals()["_META"], globals()["_MADE"]


OLD_NAMES = [range, collections.UserDict, collections.ChainMap, ImportError, zip, str, bytes]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("fix", [True, False])
def test_python2_names(number, fix):
    for value in (*OLD_NAMES, len, dict, map):
        data = fp.dumps(value, number, fix_imports=fix)
        assert data == pickle.dumps(value, number, fix_imports=fix), value
        assert fp.loads(data, fix_imports=fix) is value


def test_python2_names_load():
    for data in (b"c__builtin__\nxrange\n.", b"cUserDict\nUserDict\n.", b"cexceptions\nIOError\n."):
        assert fp.loads(data) is pickle.loads(data)
        with pytest.raises(ImportError):
            fp.loads(data, fix_imports=False)


def test_python2_names_only_below_protocol_three():
    data = b"\x80\x03c__builtin__\nxrange\n."
    assert_loads_fail_alike(data)


def test_global_that_is_missing_on_load():
    assert type(assert_loads_fail_alike(b"cno_such_module_anywhere\nname\n.")) in (
        ModuleNotFoundError,
        pickle.UnpicklingError,
    )
    assert_loads_fail_alike(b"chelpers.shapes\nNoSuchName\n.")
    assert_loads_fail_alike(b"\x80\x04chelpers.shapes\nOuter.Inner.Nope\n.")


def test_dotted_names_only_from_protocol_four():
    assert fp.loads(b"\x80\x04chelpers.shapes\nOuter.Inner\n.") is Outer.Inner
    assert_loads_fail_alike(b"\x80\x03chelpers.shapes\nOuter.Inner\n.")


def test_locals_are_not_reached_by_dots():
    data = b"\x80\x04\x8c\x0ehelpers.shapes\x8c\x14Outer.<locals>.Inner\x93."
    assert_loads_fail_alike(data)


@pytest.fixture(params=[1, 255, 256, 65535, 65536, 0x7FFFFFFF])
def extension(request):
    code = request.param
    copyreg.add_extension("helpers.shapes", "Plain", code)
    yield code
    copyreg.remove_extension("helpers.shapes", "Plain", code)
    copyreg.clear_extension_cache()


@pytest.mark.parametrize("number", range(6))
def test_extension_codes(extension, number):
    data = fp.dumps(shapes.Plain, number)
    names = opcodes(data)
    expected = "EXT1" if extension < 256 else "EXT2" if extension < 65536 else "EXT4"
    assert (expected in names) == (number >= 2)
    assert data == pickle.dumps(shapes.Plain, number)
    assert fp.loads(data) is shapes.Plain
    assert fp.loads(data) is shapes.Plain  # now from the cache
    assert type(cross(shapes.Plain(a=1), number)) is shapes.Plain


@pytest.mark.parametrize("data", [b"\x82\x00.", b"\x82\x07.", b"\x83\x00\x00.", b"\x84\0\0\0\x80."])
def test_extension_codes_that_are_not_registered(data):
    assert_loads_fail_alike(data)
