"""Functions by value that lead back to themselves, in every protocol and every loader.

What belongs here: closures and their cells. Globals: test_globals.py.
"""

import io
import pickle

import pytest

import ferropickle as fp


def dump_by_pickler(obj, protocol):
    file = io.BytesIO()
    fp.Pickler(file, protocol).dump(obj)
    return file.getvalue()


DUMPS = [fp.dumps, dump_by_pickler]


@pytest.fixture(params=[2, 5])
def protocol(request):
    return request.param


def alone():
    def g():
        return g

    return g


def through_a_dict():
    found = {}

    def g():
        return found

    found["g"] = g
    return g


def pair():
    def a():
        return b

    def b():
        return a

    return a, b


def shared_cell():
    value = []

    def get():
        return value

    def put(x):
        nonlocal value
        value = x

    return get, put


def unset():
    def g():
        return later

    if False:
        later = 1
    return g


@pytest.mark.parametrize("dumps", DUMPS)
def test_a_function_in_its_own_closure(dumps, protocol):
    g = pickle.loads(dumps(alone(), protocol))
    assert g() is g


@pytest.mark.parametrize("dumps", DUMPS)
def test_a_function_in_a_dict_in_its_closure(dumps, protocol):
    g = pickle.loads(dumps(through_a_dict(), protocol))
    assert g()["g"] is g


@pytest.mark.parametrize("dumps", DUMPS)
def test_functions_in_each_other_s_closure(dumps, protocol):
    a, b = pickle.loads(dumps(pair(), protocol))
    assert a() is b
    assert b() is a
    b = pickle.loads(dumps(pair()[1], protocol))
    assert b()() is b


@pytest.mark.parametrize("dumps", DUMPS)
def test_a_cell_is_shared_by_the_functions_that_share_it(dumps, protocol):
    get, put = pickle.loads(dumps(shared_cell(), protocol))
    assert get() == []
    put([1])
    assert get() == [1]


@pytest.mark.parametrize("dumps", DUMPS)
def test_the_cell_itself_before_and_after_its_function(dumps, protocol):
    g = through_a_dict()
    cell = g.__closure__[0]
    for obj in ((cell, g), (g, cell)):
        back = pickle.loads(dumps(obj, protocol))
        back_cell, back_g = back if obj[0] is cell else back[::-1]
        assert back_g.__closure__[0] is back_cell
        assert back_cell.cell_contents["g"] is back_g


def test_an_empty_cell_stays_empty(protocol):
    g = pickle.loads(fp.dumps(unset(), protocol))
    with pytest.raises(NameError):
        g()


def test_what_a_function_holds_may_lead_back_to_it(protocol):
    g = alone()
    g.self = [g]
    g.__defaults__ = ()
    g = pickle.loads(fp.dumps(g, protocol))
    assert g.self[0] is g


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [b"", b"abc", b"x" * 70_000, "text", 1, None])
def test_a_cell_that_holds_a_plain_value(value, protocol):
    for dump in DUMPS:
        assert pickle.loads(dump(lambda: value, protocol))() == value


@pytest.mark.parametrize("value", ["a text", 7_000_000_000, b"bytes"])
def test_a_cell_whose_value_has_a_persistent_id(value):
    class Pickler(fp.Pickler):
        def persistent_id(self, obj):
            return ["an", "id"] if obj is value else None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid):
            return value if pid == ["an", "id"] else None

    file = io.BytesIO()
    Pickler(file).dump(lambda: value)
    file.seek(0)
    assert Unpickler(file).load()() is value
