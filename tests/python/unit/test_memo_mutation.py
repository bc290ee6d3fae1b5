"""Leaving out the memo, continued: mutation, collection, reference counts, re-entrance.

What belongs here: rules 8 to 10 as numbered at the head of test_memo_soundness.py.
"""

import gc
import io
import pickle
import weakref

import pytest

import ferropickle as fp
from helpers.crossing import both_ways, raised
from helpers.graph import assert_same_graph
from helpers.shapes import Does, Plain, Slotted
from helpers.streams import check_stream

# 8: mutation of what is being walked, collection in the middle


@pytest.mark.parametrize("make", ["x{}".format, "\u0416{}".format, lambda i: b"%d" % i])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("way", ["pickler", "dump"])
def test_8_a_file_that_empties_the_list_being_walked(make, shared, way):
    """The list held the only reference to what is being written."""
    items = []
    items.extend(make(i) * 100_000 for i in range(3))
    more = list(items) if shared else []

    class Emptying:
        def write(self, data):
            items.clear()
            more.clear()
            junk = [make(7) * 100_000 for _ in range(8)]
            return len(data) + len(junk)

    if way == "pickler":
        fp.Pickler(Emptying(), 5).dump([items, make(1), "after"])
    else:
        values = [[[] for _ in range(500)], Does(int), items, make(1), "after"]
        fp.dump(values, Emptying(), 5)


@pytest.mark.parametrize("act", ["clear", "shrink", "grow", "replace"])
@pytest.mark.parametrize("length", [1, 5, 1000, 2500])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_8_reducers_that_mutate_the_list_being_walked(act, length, place):
    """Any result or error will do that is no crash; with growth, it must end."""
    values = [[i] for i in range(length)]

    def mutate():
        if act == "clear":
            values.clear()
        elif act == "shrink":
            del values[len(values) // 2 :]
        elif act == "grow":
            values.extend([["grown"]] * 500)
        else:
            values[:] = [["replaced"] for _ in values]
        gc.collect()
        return [["made"] for _ in range(50)]

    values.insert(place if place >= 0 else len(values), Does(mutate))
    try:
        data = fp.dumps(values)
    except RuntimeError:
        return
    check_stream(data)
    assert isinstance(pickle.loads(data), list)


@pytest.mark.parametrize("act", ["clear", "shrink", "grow", "replace", "new value"])
@pytest.mark.parametrize("kind", [dict, set])
@pytest.mark.parametrize("length", [1, 5, 1000, 2500])
def test_8_reducers_that_mutate_the_dict_or_set_being_walked(act, kind, length):
    values = {f"k{i}": [i] for i in range(length)} if kind is dict else set(range(length))

    def mutate():
        if act == "clear":
            values.clear()
        elif act == "shrink":
            for key in list(values)[: len(values) // 2]:
                values.pop(key) if kind is dict else values.remove(key)
        elif act == "grow":
            for i in range(5000):
                values.update({f"new{i}": [i]} if kind is dict else {f"new{i}"})
        elif act == "replace" or kind is set:
            values.clear()
            values.update({f"r{i}": [i] for i in range(length + 1)})
        else:
            for key in values:
                values[key] = ["new value"]
        gc.collect()
        return [["made"] for _ in range(50)]

    foreign = Does(mutate)
    values.update({"foreign": foreign} if kind is dict else {foreign})
    try:
        data = fp.dumps(values)
    except RuntimeError as exc:
        assert "changed" in str(exc)  # noqa: PT017
        return
    check_stream(data)
    pickle.loads(data)


def test_8_reducers_that_mutate_an_instance_being_walked(protocol):
    value = Plain(a=[1], b=None, c=[3])

    def mutate():
        vars(value).clear()
        value.__dict__ = {"new": [1]}
        gc.collect()

    value.b = Does(mutate)
    try:
        data = fp.dumps([value], protocol)
    except RuntimeError:
        return
    check_stream(data, protocol)
    pickle.loads(data)


def test_8_reducers_that_mutate_slots_and_class_of_an_instance():
    value = Slotted([1], None)

    def mutate():
        del value.left
        value.right = [2]
        gc.collect()

    value.right = Does(mutate)
    data = fp.dumps([value, value])
    check_stream(data)
    assert len(pickle.loads(data)) == 2


def test_8_reducers_that_mutate_containers_further_out():
    outer = {"a": [[[1], None, [2]], [3]], "b": [4]}

    def mutate():
        inner = outer["a"]
        outer["a"] = None
        inner.clear()
        gc.collect()
        return [[] for _ in range(1000)]

    outer["a"][0][1] = Does(mutate)
    try:
        data = fp.dumps(outer)
    except RuntimeError:
        return
    check_stream(data)
    pickle.loads(data)


def test_8_collection_in_the_middle(protocol):
    def collect():
        return gc.collect() and None

    rubbish = []
    for _ in range(100):
        cycle = [Plain()]
        cycle.append(cycle)
        rubbish.append(cycle)
    outer = [[[i], Does(collect), {"k": [i]}] for i in range(8)]
    del cycle
    rubbish.clear()
    back = both_ways(outer, protocol)
    assert [item[0] for item in back] == [[i] for i in range(8)]


def test_8_weakref_callbacks_and_finalizers_run_in_the_middle(protocol):
    """They mutate what is being walked, at a moment nobody chose."""
    outer = [[["a"], ["b"]], None, [["c"]]]
    dying = Plain()
    dying.cycle = dying
    reference = weakref.ref(dying, lambda _: outer[0].clear())

    class Finalized:
        def __del__(self):
            outer[2].append(["late"])

    dying.finalized = Finalized()
    del dying
    outer[1] = Does(lambda: gc.collect() and None)
    data = fp.dumps(outer, protocol)
    check_stream(data, protocol)
    back = pickle.loads(data)
    assert back[0] == [["a"], ["b"]]
    assert back[2][0] == ["c"]
    assert reference() is None
    assert outer[0] == []


# 9: output and reference counts


def test_9_the_graph_does_not_depend_on_who_else_holds_it(protocol):
    values = [[1], [2], {"k": [3]}, (4, [5]), Plain(x=[6])]
    before = fp.loads(fp.dumps(values, protocol))
    held = [values[0], values[2], values[2]["k"], values[3], values[4].__dict__]
    assert_same_graph(before, fp.loads(fp.dumps(values, protocol)))
    del held
    assert_same_graph(before, fp.loads(fp.dumps(values, protocol)))


# 10: re-entrance


def test_10_dumps_within_a_reducer(protocol):
    inner = {"inner": [[i] for i in range(2000)], "text": "x" * 1000}

    def nested():
        return [fp.dumps(inner, protocol), fp.dumps([1], protocol)]

    outer = [[["before"]], Does(nested), [["after"], "y" * 1000]]
    back = both_ways(outer, protocol)
    assert back[0] == [["before"]]
    assert back[2] == [["after"], "y" * 1000]
    assert fp.loads(back[1].result[0]) == inner
    assert fp.loads(back[1].result[1]) == [1]


def test_10_dumps_of_the_same_object_within_a_reducer(protocol):
    class Once:
        busy = False

        def __reduce__(self):
            if Once.busy:
                return str.upper, ("inner",)
            Once.busy = True
            return str.upper, (str(len(pickle.loads(fp.dumps(outer, protocol)))),)

    outer = [[1], Once(), [2]]
    assert both_ways_equal(outer, protocol) == [[1], "3", [2]]


def both_ways_equal(obj, protocol):
    data = fp.dumps(obj, protocol)
    assert fp.loads(data) == pickle.loads(data)
    return fp.loads(data)


def test_10_nested_many_levels(protocol):
    class Level:
        def __init__(self, depth):
            self.depth = depth

        def __reduce__(self):
            below = fp.dumps([Level(self.depth - 1), [self.depth]]) if self.depth else b""
            return bytes, (below,)

    data = fp.dumps([Level(40)], protocol)
    for depth in range(40, 0, -1):
        data = fp.loads(data)[0]
        assert pickle.loads(data)[1] == [depth]


def test_10_an_error_in_a_nested_dump(protocol):
    def nested():
        return str(type(raised(fp.dumps, [[1], iter(memoryview(b""))])))

    back = both_ways([["a"], Does(nested), ["b"]], protocol)
    assert back[1].result == "<class 'TypeError'>"
    assert back[2] == ["b"]


def test_10_loads_within_loads_and_dumps_within_loads(protocol):
    class Own(fp.Unpickler):
        def find_class(self, module, name):
            assert fp.loads(fp.dumps([[1], {"k": (2,)}])) == [[1], {"k": (2,)}]
            return super().find_class(module, name)

    value = [["a"], Plain(x=[1]), {"k": Slotted}]
    assert_same_graph(value, Own(io.BytesIO(fp.dumps(value, protocol))).load())
