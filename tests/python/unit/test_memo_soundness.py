"""Leaving out the memo must never show: one test for each way in which it could.

An encoder that writes no memo entry for objects with one reference is right only as long as no
object left out is met a second time. Each test here builds a graph, or runs foreign code in the
middle of a dump, such that a careless encoder writes an object twice, fetches the wrong one,
never ends, or reads freed memory. The numbers are those of the rules they guard:

1 one strong edge, one visit   2 late entries: tuples, frozensets, reduce arguments   3 the root
4 foreign code brings back what was left out   5 what makes an instance plain   6 leaves
7 temporaries   8 mutation and collection during the dump   9 output and reference counts
10 re-entrance   11 other threads

Rules 5 to 7: test_memo_instances.py. 8 to 10: test_memo_mutation.py. 11: test_threads.py.
"""

import gc
import io
import pickle
import weakref

import pytest

import ferropickle as fp
from helpers.crossing import both_ways, cross
from helpers.graph import assert_same_graph
from helpers.shapes import Keyed, Plain

REGISTRY = {}


@pytest.fixture(autouse=True)
def empty_registry():
    REGISTRY.clear()
    yield
    REGISTRY.clear()


class Foreign:
    """Its reduce returns what the test says, as the state of a plain object."""

    def __init__(self, give):
        self.give = give

    def __reduce__(self):
        return Plain, (), {"given": self.give()}


# 1, 2, 3: cycles, late entries, the root


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_2_recursive_tuple_that_owns_a_list_with_one_reference(width, protocol):
    def make():
        inner = []
        value = (inner,) + (None,) * (width - 1)
        inner.append(value)
        return value

    assert both_ways(make(), protocol)[0][0][0][0] is not None
    cross(make(), protocol)
    cross([make(), make()], protocol)
    cross(make()[0], protocol)
    cross({"k": (make(), [make()])}, protocol)


def test_2_recursive_tuple_through_dict_instance_and_tuple(protocol):
    def through(holder, put):
        value = (holder,)
        put(value)
        return value

    holder = {}
    cross(through(holder, lambda v: holder.update(k=v)), protocol)
    plain = Plain()
    cross(through(plain, lambda v: setattr(plain, "k", v)), protocol)
    inner = []
    cross(through((inner, 1), lambda v: inner.append((v, v))), protocol)


def test_2_recursive_frozenset_that_owns_its_holder(protocol):
    holder = Keyed("h")
    value = frozenset([holder])
    holder.payload = [value]
    del holder
    (found,) = both_ways(value, protocol)
    assert type(found) is Keyed
    cross([value, [value]], protocol)


class ArgsHoldList:
    def __init__(self, items):
        self.items = items

    def __reduce__(self):
        return ArgsHoldList, (self.items,)


def test_2_reduce_arguments_that_lead_back(protocol):
    """The object gets its entry only after its arguments, which lead to it."""
    items = []
    value = ArgsHoldList(items)
    items.append(value)
    del value
    expected = pickle.loads(pickle.dumps(items, protocol))
    back = both_ways(items, protocol)
    assert_same_graph(expected, back)


@pytest.mark.parametrize("make", [list, dict, Plain, lambda: Keyed("root")])
def test_3_the_root_is_known_whoever_holds_it(make, protocol):
    """Handed over as a temporary: the only other reference is the edge of its own cycle."""

    def root():
        value = make()
        if type(value) is list:
            value.append([value])
        elif type(value) is dict:
            value["k"] = [value]
        else:
            value.payload = [value]
        return value

    back = fp.loads(fp.dumps(root(), protocol))
    inner = back[0] if type(back) is list else back["k"] if type(back) is dict else back.payload
    assert inner[0] is back
    pickler = fp.Pickler(io.BytesIO(), protocol)
    pickler.dump(root())


def test_1_chain_owned_link_by_link_inside_a_shared_list(protocol):
    shared = [[[[["deep"]]]], {"k": [Plain(x=[1])]}]
    cross([shared, shared, (shared,)], protocol)


# 4: foreign code brings back objects that were left out


class Node:
    """A tree with weak parents: children are owned once, parents come out of ``__getstate__``."""

    def __init__(self, name):
        self.name = name
        self.children = []
        self.parent = None

    def add(self, child):
        child.parent = weakref.ref(self)
        self.children.append(child)
        return child

    def __getstate__(self):
        return {**vars(self), "parent": self.parent and self.parent()}

    def __setstate__(self, state):
        parent = state.pop("parent")
        vars(self).update(state)
        self.parent = parent and weakref.ref(parent)


def test_4_weak_parents(protocol):
    root = Node("root")
    for i in range(3):
        child = root.add(Node(f"child{i}"))
        for j in range(3):
            child.add(Node(f"leaf{i}{j}"))
    wrapped = {"tree": [root]}
    del root, child
    for value in (wrapped, wrapped["tree"][0], wrapped["tree"][0].children[1]):
        back = both_ways(value, protocol)
        del value
    back = both_ways(wrapped, protocol)["tree"][0]
    assert [leaf.name for leaf in back.children[2].children] == ["leaf20", "leaf21", "leaf22"]
    for child in back.children:
        assert child.parent() is back
        assert all(leaf.parent() is child for leaf in child.children)


class Parent:
    """A plain instance, left out when met; a foreign child refers back to it weakly."""


class WeakChild:
    def __init__(self, parent):
        self.parent = weakref.ref(parent)

    def __reduce__(self):
        return Plain, (), {"parent": self.parent()}


def test_4_plain_parent_of_a_foreign_child(protocol):
    parent = Parent()
    parent.child = WeakChild(parent)
    outer = [[parent]]
    del parent
    back = both_ways(outer, protocol)
    assert back[0][0].child.parent is back[0][0]


@pytest.mark.parametrize("kind", [list, dict, set, tuple, Plain, bytearray, frozenset])
def test_4_registry_returns_what_was_left_out(kind, protocol):
    """The registry gives the holder; the object inside has one reference when it is met."""
    holder = {"list": [1], "dict": {"a": 1}, "set": {1}, "tuple": ([1], 2), "Plain": Plain(x=1)}
    holder |= {"bytearray": bytearray(b"x"), "frozenset": frozenset([Keyed("k")])}
    holder = [[holder[kind.__name__]]]
    outer = [holder, Foreign(lambda: holder[0][0])]
    back = both_ways(outer, protocol)
    assert back[1].given is back[0][0][0]


def test_4_registry_returns_the_holder_of_what_was_left_out(protocol):
    holder = [[{"deep": [Plain(x=[1])]}]]
    outer = [holder, Foreign(lambda: (holder[0], holder[0][0]["deep"]))]
    back = both_ways(outer, protocol)
    assert back[1].given[0] is back[0][0]
    assert back[1].given[1] is back[0][0][0]["deep"]


def test_4_gc_get_referrers_brings_back_anything(protocol):
    marker = Plain(mark="findable")
    outer = [[[marker]], None]

    def find():
        (found,) = [r for r in gc.get_referrers(marker) if type(r) is list and len(r) == 1]
        return found

    outer[1] = Foreign(find)
    back = both_ways(outer, protocol)
    assert back[1].given is back[0][0]


def test_4_late_foreign_code_after_thousands_of_plain_records(protocol):
    records = [{"id": i, "tags": [i], "point": (i, [i])} for i in range(5000)]
    chosen = [records[i]["tags"] for i in (0, 1, 777, 4999)]
    chosen_ids = (0, 1, 777, 4999)
    del chosen
    outer = {
        "records": records,
        "late": Foreign(lambda: [records[i]["tags"] for i in chosen_ids]),
        "after": [[i] for i in range(100)],
        "later": Foreign(lambda: [records[i] for i in chosen_ids]),
    }
    back = both_ways(outer, protocol)
    for place, i in enumerate(chosen_ids):
        assert back["late"].given[place] is back["records"][i]["tags"]
        assert back["later"].given[place] is back["records"][i]
    assert back["records"] == records


def test_4_foreign_code_before_between_and_after(protocol):
    first, second = [["first"]], [["second"]]
    outer = [
        Foreign(lambda: first[0]),
        first,
        second,
        Foreign(lambda: (first[0], second[0])),
        [["third"]],
        Foreign(lambda: (outer[4][0], outer[3], outer)),
    ]
    back = both_ways(outer, protocol)
    assert back[0].given is back[1][0] is back[3].given[0]
    assert back[3].given[1] is back[2][0]
    assert back[5].given[0] is back[4][0]
    assert back[5].given[2] is back


class CountsReduces:
    def __init__(self, give=None):
        self.count = 0
        self.give = give

    def __reduce__(self):
        self.count += 1
        return Plain, (), {"given": self.give and self.give()}


def test_4_reducers_are_called_once_although_the_encoder_begins_again(protocol):
    """A reducer may open a handle: a second call within one dump is a side effect too many."""
    holder = [["left out"]]
    counted = [CountsReduces() for _ in range(10)]
    inner = []
    recursive = (inner,)
    inner.append(recursive)
    last = CountsReduces(lambda: holder[0])
    outer = [counted, holder, counted[::-1], last, recursive, CountsReduces(lambda: counted[0])]
    back = both_ways(outer, protocol)
    assert [item.count for item in counted] == [1] * 10
    assert last.count == outer[5].count == 1
    assert back[3].given is back[1][0]
    assert back[5].given is back[0][0] is back[2][9]


def test_4_hooks_are_asked_once_although_the_encoder_begins_again():
    asked = []

    class Asking(fp.Pickler):
        def persistent_id(self, obj):
            if type(obj) is Plain:
                asked.append(("persistent_id", obj.name))

        def reducer_override(self, obj):
            if type(obj) is Plain:
                asked.append(("reducer_override", obj.name))
            return NotImplemented

    inner = []
    recursive = (inner,)
    inner.append(recursive)
    out = io.BytesIO()
    Asking(out).dump([Plain(name=1), recursive, Plain(name=2)])
    assert asked == [(hook, i) for i in (1, 2) for hook in ("persistent_id", "reducer_override")]


class AgainList(list):
    """Its iterator returns objects that were met before."""

    def __iter__(self):
        return iter(REGISTRY["again"]())


class AgainDict(dict):
    def items(self):
        return iter([("again", REGISTRY["again"]())])


@pytest.mark.parametrize("kind", [AgainList, AgainDict])
def test_4_iterators_of_subclasses_return_what_was_left_out(kind):
    for number in range(2, 6):  # below, the items are taken by the base class
        holder = [[1], [2]]
        REGISTRY["again"] = lambda holder=holder: [holder[0], holder[1]]
        back = both_ways([holder, kind()], number)
        again = list.__getitem__(back[1], slice(None)) if kind is AgainList else back[1]["again"]
        assert again[0] is back[0][0]
        assert again[1] is back[0][1]


def test_4_persistent_id_sees_and_changes(protocol):
    """persistent_id is foreign code for every object: nothing may be left out then."""
    kept = []

    class Keeping(fp.Pickler):
        def persistent_id(self, obj):
            if type(obj) is list:
                kept.append(obj)
            if type(obj) is Foreign:
                obj.give = lambda: kept[2]

    out = io.BytesIO()
    Keeping(out, protocol).dump([[1], [2], Foreign(None)])
    back = fp.loads(out.getvalue())
    assert back[2].given is back[1]


class Meta(type):
    """A metaclass whose ``__getattribute__`` is foreign code."""

    def __getattribute__(cls, name):
        if name in ("__module__", "__qualname__") and "seen" in REGISTRY:
            REGISTRY["seen"].append(name)
        return super().__getattribute__(name)


class WithMeta(metaclass=Meta):
    pass


def test_4_metaclasses_that_run_code(protocol):
    REGISTRY["seen"] = []
    value = WithMeta()
    value.items = [[1]]
    back = both_ways([value, value.items], protocol)
    assert back[0].items is back[1]


def test_4_many_foreign_objects_that_refer_to_each_other(protocol):
    objects = []
    for i in range(300):
        objects.append(Foreign(lambda i=i: (objects[(i * 7) % 300], [i], objects[:1])))
    back = both_ways(objects, protocol)
    assert back[5].given[0] is back[35]
    assert back[5].given[2][0] is back[0]
