"""Lists, tuples, sets, frozensets and their kin: sizes, sharing, cycles, subclasses.

What belongs here: ordered and unordered collections without keys. Mappings: test_mappings.py.
"""

import array
import gc
import io
import pickle
import random
from collections import deque

import pytest

import ferropickle as fp
from helpers.crossing import cross, cross_as_stdlib
from helpers.graph import assert_same_graph
from helpers.shapes import (
    Keyed,
    ListChild,
    Plain,
    Point,
    SetChild,
    TupleChild,
    TypedPoint,
)
from helpers.streams import check_stream, opcodes

SIZES = [0, 1, 2, 3, 4, 5, 999, 1000, 1001, 2000, 2001]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, deque])
def test_sizes_around_the_batches(kind, size, protocol):
    cross(kind(range(size)), protocol)
    cross([kind(str(i) for i in range(size))], protocol)


def test_a_million_items():
    value = list(range(1_000_000))
    assert fp.loads(fp.dumps(value)) == value


def test_sharing(protocol):
    inner = [1]
    pair = (inner, 2)
    mixed = [inner, inner, pair, (inner,), [pair], frozenset([3, 4])]
    mixed += [mixed[-1], (), (), []]
    back = cross(mixed, protocol)
    assert back[0] is back[1] is back[2][0] is back[3][0]
    assert back[4][0] is back[2]
    assert back[5] is back[6]


def test_list_in_itself(protocol):
    value = []
    value.append(value)
    back = cross(value, protocol)
    assert back[0] is back


@pytest.mark.parametrize("width", range(1, 6))
def test_tuple_in_itself(width, protocol):
    inner = []
    value = (inner,) + tuple(range(width - 1))
    inner.append(value)
    back = cross(value, protocol)
    assert back[0][0] is back
    back = cross(inner, protocol)
    assert back[0][0] is back


def test_tuples_in_each_other(protocol):
    first, second = [], []
    one, two = (first, 1), (second, 2, 3, 4)
    first += [two, one]
    second += [one, two]
    for value in (one, two, first, [two, one], (one, two, one)):
        cross(value, protocol)


def test_frozenset_in_itself(protocol):
    holder = Keyed("holder")
    value = frozenset([holder, 1])
    holder.payload = value
    back = cross(value, protocol)
    (found,) = (item for item in back if type(item) is Keyed)
    assert found.payload is back
    cross(holder, protocol)


def test_set_in_itself(protocol):
    holder = Keyed("holder")
    value = {holder}
    holder.payload = value
    back = cross(holder, protocol)
    (found,) = back.payload
    assert found is back


def test_deque_in_itself(protocol):
    value = deque([1, 2], maxlen=5)
    value.append(value)
    back = cross(value, protocol)
    assert back[2] is back
    assert back.maxlen == 5


@pytest.mark.parametrize("kind", [ListChild, TupleChild, SetChild])
def test_subclasses_keep_type_items_and_attributes(kind, protocol):
    value = kind([1, "two", None])
    value.note = [value]
    back = cross([value, value], protocol)
    assert type(back[0]) is kind
    assert back[0].note[0] is back[1]


def test_named_tuples(protocol):
    shared = [1]
    back = cross([Point(1, shared), Point(shared, Point(2, 3)), TypedPoint(1, shared)], protocol)
    assert back[0].y is back[1].x is back[2].y


def test_named_tuple_in_itself(protocol):
    inner = []
    value = Point(inner, inner)
    inner.append(value)
    cross(inner, protocol)


class Appender(list):
    """Defines its own ``append`` and ``extend``: the loader must call them."""

    def append(self, item):
        super().append(("appended", item))

    def extend(self, items):
        super().extend(("extended", item) for item in items)


@pytest.mark.parametrize("size", [1, 2, 1001])
def test_list_subclass_that_overrides_append(size, protocol):
    value = Appender()
    list.extend(value, range(size))
    cross_as_stdlib(value, protocol)


class Doubling(list):
    def __iter__(self):
        for item in super().__iter__():
            yield item
            yield item


def test_list_subclass_that_overrides_iteration(protocol):
    cross_as_stdlib(Doubling([[1], [2]]), protocol)


class HashedByPlain:
    """Hash depends on state: in a set only after the state is there."""

    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return self.name == other.name


def test_set_of_objects_whose_hash_needs_their_state(protocol):
    value = {HashedByPlain("a"), HashedByPlain("b")}
    back = fp.loads(fp.dumps(value, protocol))
    assert back == value
    assert type(back) is set
    frozen = fp.loads(fp.dumps(frozenset(value), protocol))
    assert frozen == frozenset(value)


def test_iterators(protocol):
    iterators = [iter([1, 2, 3]), iter((1, 2)), iter("ab"), iter(range(4)), reversed([1, 2])]
    next(iterators[0])
    back = fp.loads(fp.dumps(iterators, protocol))
    assert [list(item) for item in back] == [[2, 3], [1, 2], ["a", "b"], [0, 1, 2, 3], [2, 1]]


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_arrays(code, protocol):
    cross(array.array(code, [1, 2, 3]), protocol)


def test_empty_and_short_tuples_have_their_own_opcodes():
    for size, name in enumerate(["EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"]):
        assert name in opcodes(fp.dumps(tuple(range(size)), 4))


def test_very_wide_graph_of_shared_items(protocol):
    shared = [Plain(index=i) for i in range(40)]
    value = [[shared[i % 40], shared[(i * 7) % 40]] for i in range(3000)]
    cross(value, protocol)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "single"])
@pytest.mark.parametrize("to_file", [False, True])
def test_small_containers_across_frames(kind, to_file, protocol):
    """Containers of leaves, where frames end before, within and after them."""
    leaves = [1, "text", 2.5, None, True, "x" * 65_000, "y" * 400, -1, "z" * 70_000, "end"]
    rows = []
    for i in range(40):
        row = leaves[i % 10 :] + ["f" * (i * 97)] + leaves[: i % 10]
        makes = {"list": list, "tuple": tuple, "single": lambda row: [[leaf] for leaf in row]}
        as_dict = {f"key{j}": leaf for j, leaf in enumerate(row)}
        rows.append(makes[kind](row) if kind != "dict" else as_dict)
    if to_file:
        file = io.BytesIO()
        fp.Pickler(file, protocol).dump(rows)
        data = file.getvalue()
    else:
        data = fp.dumps(rows, protocol)
    check_stream(data, protocol)
    assert_same_graph(rows, pickle.loads(data))


def _runs():
    """Numbers, None, bools, what was met and what was not, in every order that matters."""
    rng = random.Random(7)
    words = [f"word {i}" for i in range(300)]  # more than BINGET reaches
    shared = (
        [[i] for i in range(40)] + [{"k": i} for i in range(40)] + [Plain(a=i) for i in range(9)]
    )
    kinds = [
        lambda: rng.choice((None, True, False)),
        lambda: rng.randrange(-(2**70), 2**70) >> rng.randrange(71),
        lambda: rng.random(),
        lambda: rng.choice(words),
        lambda: rng.choice(shared),
        lambda: f"new {rng.random()}",
        lambda: [rng.random()],
        lambda: (rng.choice(words), rng.choice(shared)),
    ]
    for _ in range(40):
        few = rng.sample(kinds, rng.randrange(1, len(kinds) + 1))
        yield [rng.choice(few)() for _ in range(rng.choice((3, 50, 999, 1000, 1001, 2500)))]


def test_runs_of_short_values_and_of_what_was_met(protocol):
    lists = list(_runs())
    back = cross(lists, protocol)
    assert_same_graph(back, lists)


def test_runs_of_small_ints_and_what_ends_them(protocol):
    ends = [0, 255, 256, -1, 2**16, 2**30, 2**62, -(2**63), 2**63, 2**70, 2.5, None, "text"]
    for end in ends:
        for before in range(7):
            value = [*range(250, 250 + before), *([0] * before), end, 255, 1, end]
            back = cross(value, protocol)
            assert [(type(item), item) for item in back] == [(type(item), item) for item in value]


@pytest.mark.parametrize("kind", [set, frozenset])
def test_large_sets_of_numbers_some_of_which_were_removed(kind, protocol):
    rng = random.Random(11)
    for size in (50, 76, 77, 300, 5000):
        numbers = {rng.randrange(-(2**70), 2**70) >> rng.randrange(71) for _ in range(size)}
        numbers |= {rng.random() for _ in range(size // 4)} | {"text", None}
        for number in [number for number in numbers if rng.random() < 0.3]:
            numbers.remove(number)
        value = kind(numbers) if kind is frozenset else numbers
        back = cross([value, 1], protocol)[0]
        assert {(type(item), item) for item in back} == {(type(item), item) for item in value}


def test_a_run_of_lists_that_contain_the_list_itself(protocol):
    value = []
    value += [value, 1, value, None, value, [value], 2.5, value]
    back = cross(value, protocol)
    assert [item is back for item in back] == [item is value for item in value]


def test_runs_in_fast_mode():
    word = "a word"
    value = [None, 1, 2.5, word, word, [word], [word], True]
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    pickler.fast = True
    pickler.dump(value)
    assert "BINGET" not in opcodes(out.getvalue())
    assert fp.loads(out.getvalue()) == value


@pytest.mark.parametrize("kind", [set, frozenset])
@pytest.mark.parametrize("leaves", [0, 1, 998, 999, 1000, 1001, 2500])
def test_sets_of_leaves_and_of_others(kind, leaves, protocol):
    shared = (1, "a tuple")
    value = kind(
        [*range(leaves), None, True, 2.5, "text", shared, ("another",), frozenset([shared])]
    )
    back = cross([value, shared, value], protocol)
    assert back[0] is back[2]
    assert next(item for item in back[0] if item == shared) is back[1]


def test_a_frozenset_of_what_has_no_hash_fails_as_in_the_standard_library():
    stream = b"\x80\x04(K\x01]\x91."
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        pickle.loads(stream)
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        fp.loads(stream)


class Finder:
    """Its hash finds, and keeps, every frozenset that the collector knows."""

    found: list = []

    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return Finder, (self.n,)

    def __eq__(self, other):
        return type(other) is Finder and other.n == self.n

    def __hash__(self):
        Finder.found = [known for known in gc.get_objects() if type(known) is frozenset]
        return self.n


def test_a_frozenset_may_be_found_while_it_is_made():
    value = frozenset([Finder(1), "a", Finder(2), 3])
    assert fp.loads(pickle.dumps(value, 4)) == value
    assert fp.loads(fp.dumps(value)) == value
