"""Random object graphs: our stream read by the standard library, and its stream by us.

What belongs here: properties that hold for every graph. The profiles ``fast`` and ``slow`` are in
conftest.py; choose with the environment variable ``FERROPICKLE_HYPOTHESIS``.
"""

import datetime as dt
import io
import math
import pathlib
import pickle
import uuid
from collections import OrderedDict, defaultdict, deque
from decimal import Decimal

from hypothesis import given, reject
from hypothesis import strategies as st

import ferropickle as fp
from helpers import shapes
from helpers.graph import assert_same_graph, same_graph
from helpers.streams import check_stream

PROTOCOLS = st.integers(0, 5)
# Protocols 0 and 1 do not take slots, below 2 there are no keyword arguments to __new__.
MODERN = st.integers(2, 5)

text = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates included
integers = (
    st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**31, -(2**31), 2**2040])
)
floats = st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, math.inf])
offsets = st.integers(-86399, 86399).map(lambda s: dt.timezone(dt.timedelta(seconds=s)))
zones = st.none() | st.just(dt.timezone.utc) | offsets
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    floats,
    text,
    st.binary(max_size=20),
    st.sampled_from([len, int, shapes.Plain, shapes.Outer.Inner.Core, ..., NotImplemented]),
    st.sampled_from([*shapes.Color, *shapes.Level, *shapes.Access]),
    st.builds(complex, floats, floats),
    st.dates(),
    st.datetimes(timezones=zones),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),  # those have no hash
    st.uuids(),
    st.builds(pathlib.PurePosixPath, st.text("ab/.", max_size=6)),
)
leaves = hashable_leaves | st.binary(max_size=20).map(bytearray) | st.decimals()
keys = st.recursive(
    hashable_leaves,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)


# How a container of each kind is made, filled later with the objects it leads to, so that
# cycles arise; kinds without a way to be filled take what exists already.
FILLED_LATER = {
    "list": (list, lambda value, items: value.extend(items)),
    "dict": (dict, lambda value, items: value.update(enumerate(items))),
    "deque": (deque, lambda value, items: value.extend(items)),
    "plain": (shapes.Plain, lambda value, items: vars(value).update(_named(items))),
    "reduced": (shapes.Reduced, lambda value, items: setattr(value, "inner", items)),
    "with state": (shapes.WithState, lambda value, items: setattr(value, "value", items)),
    "dict child": (shapes.DictChild, lambda value, items: _both(value, value.update, items)),
    "list child": (shapes.ListChild, lambda value, items: _list_child(value, items)),
    "ordered": (OrderedDict, lambda value, items: value.update(enumerate(items))),
    "default": (lambda: defaultdict(list), lambda value, items: value.update(enumerate(items))),
    "record": (lambda: shapes.Record("r"), lambda value, items: value.tags.extend(items)),
    "keyed": (lambda: shapes.Keyed("k"), lambda value, items: setattr(value, "payload", items)),
}
SLOTTED_LATER = {
    "slotted": (shapes.Slotted, lambda value, items: setattr(value, "left", items)),
    "slotted child": (shapes.SlottedChild, lambda value, items: vars(value).update(_named(items))),
    "slot record": (lambda: shapes.SlotRecord("r"), lambda v, items: setattr(v, "value", items)),
}
MADE_AT_ONCE = {
    "tuple": tuple,
    "tuple child": shapes.TupleChild,
    "point": lambda items: shapes.Point(items[:1], items[1:]),
    "typed point": lambda items: shapes.TypedPoint(len(items), items),
    "frozen": lambda items: shapes.FrozenRecord("f", items),
    "new args": shapes.NewArgs,
    "exception": lambda items: ValueError(*items),
}
SETS = {"set": set, "frozenset": frozenset, "set child": shapes.SetChild}


def _named(items):
    return {f"attribute{i}": item for i, item in enumerate(items)}


def _both(value, update, items):
    update(enumerate(items))
    value.note = items


def _list_child(value, items):
    value.extend(items)
    value.note = items[:1]


@st.composite
def graphs(draw, slots=False):
    """A graph of up to 14 containers that lead to each other, back and forth, and to leaves."""
    later = {**FILLED_LATER, **(SLOTTED_LATER if slots else {})}
    kinds = st.sampled_from([*later, *MADE_AT_ONCE, *SETS])
    pool = draw(st.lists(leaves, max_size=6))
    unfilled = []
    for kind in draw(st.lists(kinds, min_size=1, max_size=14)):
        if kind in later:
            make, fill = later[kind]
            value = make()
            unfilled.append((value, fill))
        elif kind in SETS:
            value = SETS[kind](draw(st.lists(keys, max_size=4)))
        else:
            value = MADE_AT_ONCE[kind](draw(_some(pool)))
        pool.append(value)
    for value, fill in unfilled:
        fill(value, draw(_some(pool)))
    for value in draw(_some([v for v in pool if type(v) is list])):
        value.append(draw(st.dictionaries(keys, st.sampled_from(pool), max_size=3)))
    return draw(st.sampled_from(pool[::-1]))


def _some(pool):
    return st.lists(st.sampled_from(pool), max_size=5) if pool else st.just([])


def _reference(obj, protocol):
    """What the standard library makes of it: its stream and its result, or nothing.

    It cannot do some cycles (an argument of a call that leads back to its result).
    """
    try:
        data = pickle.dumps(obj, protocol)
    except RecursionError:
        reject()  # endless: depth/test_deep.py has a case of it
    except (TypeError, AttributeError, pickle.PickleError):
        return None
    try:
        return data, pickle.loads(data)
    except (TypeError, AttributeError, pickle.PickleError):
        return None


def check(obj, protocol):
    reference = _reference(obj, protocol)
    if reference is None:
        try:
            data = fp.dumps(obj, protocol)
            fp.loads(data)
        except (RecursionError, TypeError, AttributeError, pickle.PickleError):
            pass
        return
    theirs, expected = reference
    ours = fp.dumps(obj, protocol)
    check_stream(ours, protocol)
    assert_same_graph(expected, fp.loads(ours))
    assert_same_graph(expected, pickle.loads(ours))
    assert_same_graph(expected, fp.loads(theirs))


@given(graphs(), PROTOCOLS)
def test_graphs_in_every_protocol(obj, protocol):
    check(obj, protocol)


@given(graphs(slots=True), MODERN)
def test_graphs_with_slots(obj, protocol):
    check(obj, protocol)


@given(graphs(slots=True), MODERN)
def test_graphs_owned_by_their_edges_alone(obj, protocol):
    """Loaded graphs have no references but their own: what may be left out is left out."""
    reference = _reference(obj, protocol)
    if reference is None:
        return
    copy = [reference[1]]
    del obj, reference
    data = fp.dumps(copy.pop(), protocol)
    check_stream(data, protocol)
    again = fp.dumps(pickle.loads(data), protocol)
    assert_same_graph(pickle.loads(data), fp.loads(again))


@given(leaves, PROTOCOLS)
def test_leaves(value, protocol):
    check([value, value, {"k": value}], protocol)
    check(value, protocol)


@given(st.dictionaries(keys, st.lists(keys, max_size=3), max_size=6), PROTOCOLS)
def test_keys(value, protocol):
    check(value, protocol)


@given(st.lists(graphs(slots=True), min_size=1, max_size=4), MODERN)
def test_one_pickler_and_one_unpickler_for_many(objects, protocol):
    ours, theirs = io.BytesIO(), io.BytesIO()
    try:
        reference = pickle.Pickler(theirs, protocol)
        for obj in objects:
            reference.dump(obj)
    except (RecursionError, TypeError, AttributeError, pickle.PickleError):
        return
    pickler = fp.Pickler(ours, protocol)
    for obj in objects:
        pickler.dump(obj)
    readers = [
        (fp.Unpickler, ours),
        (pickle.Unpickler, ours),
        (fp.Unpickler, theirs),
        (pickle.Unpickler, theirs),
    ]
    results = []
    for make, stream in readers:
        unpickler = make(io.BytesIO(stream.getvalue()))
        try:
            results.append([unpickler.load() for _ in objects])
        except (TypeError, AttributeError, pickle.PickleError):
            results.append(None)
    if results[3] is not None:
        for result in results[:3]:
            assert_same_graph(results[3], result)


@given(graphs(slots=True), MODERN)
def test_without_a_memo_the_standard_library_agrees(obj, protocol):
    """`fast` is deprecated but there: trees come out alike, cycles fail alike."""
    out, reference = io.BytesIO(), io.BytesIO()
    ours, theirs = fp.Pickler(out, protocol), pickle.Pickler(reference, protocol)
    ours.fast = theirs.fast = True
    try:
        theirs.dump(obj)
        expected = pickle.loads(reference.getvalue())
    except Exception:
        return
    ours.dump(obj)
    assert_same_graph(expected, pickle.loads(out.getvalue()))


@given(leaves, leaves)
def test_the_comparison_itself_tells_values_apart(one, two):
    """The helper that all of these trust: unlike leaves are unlike, and sharing counts."""
    if type(one) is not type(two):
        assert not same_graph([one], [two])
    shared = [one]
    assert not same_graph([shared, shared], [[one], [one]])
    assert not same_graph([[one], [one]], [shared, shared])
    assert same_graph([shared, shared], [shared, shared])


def test_the_comparison_tells_the_hard_cases_apart():
    cyclic, other = [], [[]]
    cyclic.append(cyclic)
    other[0].append(other)
    for one, two in (
        (1, True),
        (0.0, -0.0),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2}, {1, 3}),
        ({1}, {True}),
        (cyclic, other),
        (shapes.Plain(a=1), shapes.Plain(a=2)),
        (shapes.Slotted(1), shapes.Slotted(2)),
        (Decimal("1.0"), Decimal("1.00")),
        (uuid.UUID(int=1), uuid.UUID(int=2)),
        (dt.time(fold=0), dt.time(fold=1)),
        (shapes.IntChild(1), 1),
        (shapes.Color.RED, shapes.Color.GREEN),
        (bytearray(b"a"), bytearray(b"b")),
    ):
        assert not same_graph(one, two), (one, two)
        assert same_graph(one, one)
    assert same_graph([math.nan, {math.nan}], [float("nan"), {float("nan")}])
