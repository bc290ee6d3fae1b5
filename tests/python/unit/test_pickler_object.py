"""Pickler and Unpickler as objects: the memo over several dumps, its proxies, fast, subclasses.

What belongs here: state that lives between calls. Hooks: test_hooks.py. Files: test_files.py.
"""

import gc
import io
import pickle
import weakref

import pytest

import ferropickle as fp
from helpers.crossing import raised
from helpers.graph import assert_same_graph
from helpers.shapes import Plain
from helpers.streams import check_stream, opcodes
from helpers.subprocs import run_python


def test_memo_lives_over_dumps(protocol):
    shared = [1, "text"]
    out = io.BytesIO()
    pickler = fp.Pickler(out, protocol)
    pickler.dump(shared)
    first = out.tell()
    pickler.dump([shared, shared])
    data = out.getvalue()
    check_stream(data[:first], protocol)
    known = sum("PUT" in name or name == "MEMOIZE" for name in opcodes(data[:first]))
    check_stream(data[first:], protocol, known=known)
    for loader in (fp.Unpickler, pickle.Unpickler):
        unpickler = loader(io.BytesIO(data))
        one, two = unpickler.load(), unpickler.load()
        assert two[0] is two[1] is one


def test_whatever_was_dumped_is_known_to_later_dumps(protocol):
    """Also what had one reference then: the pickler must keep it alive and know it again."""
    inner = [[], Plain(), (1, [2]), {"k": {}}, {3}]
    for item in list(inner):
        out = io.BytesIO()
        pickler = fp.Pickler(out, protocol)
        theirs = io.BytesIO()
        reference = pickle.Pickler(theirs, protocol)
        for obj in (inner, item, [item], inner):
            pickler.dump(obj)
            reference.dump(obj)
        ours, other = (pickle.Unpickler(io.BytesIO(o.getvalue())) for o in (out, theirs))
        assert_same_graph([other.load() for _ in range(4)], [ours.load() for _ in range(4)])


def test_temporaries_between_dumps_do_not_alias():
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    for i in range(200):
        pickler.dump([i, [str(i)]])
    unpickler = fp.Unpickler(io.BytesIO(out.getvalue()))
    assert [unpickler.load() for _ in range(200)] == [[i, [str(i)]] for i in range(200)]


def test_clear_memo(protocol):
    shared = ["shared"]
    out = io.BytesIO()
    pickler = fp.Pickler(out, protocol)
    pickler.dump(shared)
    once = out.getvalue()
    pickler.clear_memo()
    pickler.dump(shared)
    assert out.getvalue() == once * 2


def test_memo_proxy_of_a_pickler():
    pickler = fp.Pickler(io.BytesIO())
    shared = ["shared", {"a": ()}]
    pickler.dump(shared)
    copy = pickler.memo.copy()
    assert type(copy) is dict
    assert id(shared) in copy
    index, obj = copy[id(shared)]
    assert obj is shared
    assert type(index) is int
    assert sorted(i for i, _ in copy.values()) == list(range(len(copy)))
    pickler.memo.clear()
    assert pickler.memo.copy() == {}


@pytest.mark.parametrize("as_dict", [True, False])
def test_memo_moves_from_one_pickler_to_another(as_dict, protocol):
    shared = ["shared"]
    first, out = io.BytesIO(), io.BytesIO()
    one, two = fp.Pickler(first, protocol), fp.Pickler(out, protocol)
    one.dump(shared)
    two.memo = dict(one.memo.copy()) if as_dict else one.memo
    two.dump([shared])
    unpickler = fp.Unpickler(io.BytesIO(first.getvalue()))
    loaded = unpickler.load()
    other = fp.Unpickler(io.BytesIO(out.getvalue()))
    other.memo = unpickler.memo.copy() if as_dict else unpickler.memo
    assert other.load()[0] is loaded
    assert "shared" not in str(out.getvalue())


def test_memo_proxy_of_an_unpickler():
    data = fp.dumps([["a"]] * 2)
    unpickler = fp.Unpickler(io.BytesIO(data))
    back = unpickler.load()
    copy = unpickler.memo.copy()
    assert type(copy) is dict
    assert any(value is back[0] for value in copy.values())
    unpickler.memo.clear()
    assert unpickler.memo.copy() == {}


@pytest.mark.parametrize("wrong", [5, None, [1], {1: 2}, {"id": "x"}, {1: (1,)}, {1: ("a", [])}])
def test_setting_a_wrong_memo_fails_as_in_the_standard_library(wrong):
    def put(pickler):
        pickler.memo = wrong

    theirs = raised(put, pickle.Pickler(io.BytesIO()))
    assert type(raised(put, fp.Pickler(io.BytesIO()))) is type(theirs)


@pytest.mark.parametrize("wrong", [5, None, [1], {"a": 1}, {-1: None}, {None: 1}])
def test_setting_a_wrong_unpickler_memo_fails_as_in_the_standard_library(wrong):
    def put(unpickler):
        unpickler.memo = wrong

    theirs = raised(put, pickle.Unpickler(io.BytesIO()))
    assert type(raised(put, fp.Unpickler(io.BytesIO()))) is type(theirs)


def test_fast_writes_no_memo(protocol):
    obj = [["a", ("b", {"c": [1.5]})], Plain(x=1), {4}, "long text" * 10]
    out = io.BytesIO()
    pickler = fp.Pickler(out, protocol)
    assert not pickler.fast
    pickler.fast = True
    assert pickler.fast
    pickler.dump([obj, obj])
    names = opcodes(out.getvalue())
    assert not [name for name in names if "PUT" in name or "GET" in name or name == "MEMOIZE"]
    back = fp.loads(out.getvalue())
    assert back[0] is not back[1]
    assert back[0][0] == obj[0]


def test_fast_stops_at_a_cycle():
    cyclic = []
    cyclic.append({"again": (cyclic,)})
    pickler = fp.Pickler(io.BytesIO())
    pickler.fast = 1
    theirs = pickle.Pickler(io.BytesIO())
    theirs.fast = 1
    assert type(raised(pickler.dump, cyclic)) is type(raised(theirs.dump, cyclic))


def test_bin_tells_the_kind_of_protocol(protocol):
    assert fp.Pickler(io.BytesIO(), protocol).bin == pickle.Pickler(io.BytesIO(), protocol).bin


def test_subclass_that_does_not_call_init():
    class Careless(fp.Pickler):
        def __init__(self):
            pass

    class CarelessUnpickler(fp.Unpickler):
        def __init__(self):
            pass

    with pytest.raises(pickle.PicklingError, match=r"__init__\(\) was not called"):
        Careless().dump([])
    with pytest.raises(pickle.UnpicklingError, match=r"__init__\(\) was not called"):
        CarelessUnpickler().load()


def test_init_twice_begins_anew():
    one, two = io.BytesIO(), io.BytesIO()
    pickler = fp.Pickler(one, 2)
    pickler.dump(["x"])
    pickler.__init__(two, 4)
    pickler.dump(["x"])
    assert two.getvalue() == fp.dumps(["x"], 4)
    unpickler = fp.Unpickler(io.BytesIO(one.getvalue()))
    unpickler.load()
    unpickler.__init__(io.BytesIO(two.getvalue()))
    assert unpickler.load() == ["x"]


def test_init_that_fails_leaves_the_object_alive():
    pickler = fp.Pickler(io.BytesIO())
    with pytest.raises(TypeError):
        pickler.__init__(3)
    with pytest.raises(ValueError, match="protocol"):
        pickler.__init__(io.BytesIO(), 99)
    for call in (lambda: pickler.dump([]), pickler.clear_memo):
        try:
            call()
        except pickle.PicklingError:
            pass


def test_a_pickler_survives_its_own_errors():
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    good = ["good"]
    pickler.dump(good)
    with pytest.raises(TypeError):
        pickler.dump([good, iter(memoryview(b""))])
    mark = out.tell()
    pickler.clear_memo()
    pickler.dump([good, good])
    assert fp.loads(out.getvalue()[mark:]) == [good, good]


def test_an_unpickler_survives_its_own_errors():
    unpickler = fp.Unpickler(io.BytesIO(b"\x80\x04\xff" + fp.dumps([1])))
    with pytest.raises(pickle.UnpicklingError):
        unpickler.load()
    assert unpickler.load() == [1]


def test_dump_inside_a_dump_of_the_same_pickler():
    """It may be refused or work; it must not crash nor corrupt the outer stream."""
    run_python(
        """
        import io
        import ferropickle as fp

        class Nested:
            def __reduce__(self):
                try:
                    pickler.dump([1, 2, 3])
                except Exception:
                    pass
                return str.upper, ("nested",)

        out = io.BytesIO()
        pickler = fp.Pickler(out)
        pickler.dump(["before", Nested(), "after"])
        unpickler = fp.Unpickler(io.BytesIO(out.getvalue()))
        results = []
        while True:
            try:
                results.append(unpickler.load())
            except EOFError:
                break
        assert results[-1] == ["before", "NESTED", "after"], results
        assert results[:-1] in ([], [[1, 2, 3]]), results
        """
    )


def test_load_inside_a_load_of_the_same_unpickler():
    """It may be refused or work; it must not crash."""
    run_python(
        """
        import io
        import ferropickle as fp

        class Loading(fp.Unpickler):
            def find_class(self, module, name):
                try:
                    inner.append(self.load())
                except Exception as exc:
                    inner.append(type(exc))
                return super().find_class(module, name)

        inner = []
        unpickler = Loading(io.BytesIO(fp.dumps([fp.Policy], 2) + fp.dumps("second")))
        try:
            back = unpickler.load()
        except (fp.UnpicklingError, EOFError, RuntimeError):
            pass
        else:
            assert back == [fp.Policy], back
        assert len(inner) == 1, inner
        """
    )


def test_picklers_are_collected():
    class Own(fp.Pickler):
        pass

    class OwnUnpickler(fp.Unpickler):
        pass

    pickler = Own(io.BytesIO())
    pickler.itself = pickler
    pickler.dump([Plain])
    unpickler = OwnUnpickler(io.BytesIO(fp.dumps([[]])))
    unpickler.load()
    unpickler.memo = {0: unpickler}
    references = [weakref.ref(pickler), weakref.ref(unpickler)]
    del pickler, unpickler
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_the_memo_keeps_objects_alive_until_cleared():
    class Own(Plain):
        pass

    Own.__qualname__, globals()["_Own"] = "_Own", Own
    obj = Own()
    reference = weakref.ref(obj)
    pickler = fp.Pickler(io.BytesIO())
    pickler.dump([obj])
    del obj
    gc.collect()
    assert reference() is not None
    pickler.clear_memo()
    gc.collect()
    assert reference() is None
    del globals()["_Own"]


def test_picklers_themselves_are_not_pickled():
    for obj in (fp.Pickler(io.BytesIO()), fp.Unpickler(io.BytesIO())):
        with pytest.raises(TypeError):
            fp.dumps(obj)
