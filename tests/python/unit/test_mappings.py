"""Dictionaries and their kin: order, batches, keys of every kind, cycles, subclasses.

What belongs here: collections with keys.
"""

import math
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict

import pytest

import ferropickle as fp
from helpers.crossing import assert_fails_alike, cross, cross_as_stdlib
from helpers.shapes import Color, DictChild, FrozenRecord, Keyed, Plain


@pytest.mark.parametrize("size", [0, 1, 2, 3, 999, 1000, 1001, 2000, 2001])
@pytest.mark.parametrize("kind", [dict, OrderedDict, DictChild, Counter])
def test_sizes_around_the_batches(kind, size, protocol):
    cross(kind((f"key{i}", i) for i in range(size)), protocol)


def test_order_is_kept(protocol):
    value = dict.fromkeys("zyxabc")
    del value["x"]
    value["x"] = 1
    assert list(cross(value, protocol)) == ["z", "y", "a", "b", "c", "x"]
    ordered = OrderedDict.fromkeys("cab")
    ordered.move_to_end("c")
    assert list(cross(ordered, protocol)) == ["a", "b", "c"]


def test_keys_of_every_kind(protocol):
    keys = [None, 1, -1.5, "text", b"bytes", (1, (2, "x")), frozenset([1, 2]), 2**70, 1j]
    keys += [Color.RED, FrozenRecord("frozen", 1), Keyed("keyed"), int, len, ...]
    cross({key: [index] for index, key in enumerate(keys)}, protocol)


def test_true_and_one_are_one_key(protocol):
    back = cross({True: "first"}, protocol)
    assert [type(key) for key in back] == [bool]


def test_nan_keys(protocol):
    nan = math.nan
    back = cross({nan: nan, float("nan"): 1}, protocol)
    assert len(back) == 2


def test_sharing_of_keys_and_values(protocol):
    key, value = Keyed("key", [1]), [2]
    back = cross([{key: value}, key, value, {key: key}], protocol)
    assert next(iter(back[0])) is back[1]
    assert back[0][back[1]] is back[2]


def test_dict_in_itself(protocol):
    value = {}
    value["self"] = value
    back = cross(value, protocol)
    assert back["self"] is back


def test_key_that_holds_the_dict(protocol):
    key = Keyed("key")
    value = {key: 1}
    key.payload = value
    back = cross(value, protocol)
    assert next(iter(back)).payload is back


@pytest.mark.parametrize("kind", [DictChild, OrderedDict, UserDict])
def test_subclass_in_itself_with_attributes(kind, protocol):
    value = kind()
    value.note = [value]
    value["self"] = value.note
    back = cross(value, protocol)
    assert back.note[0] is back
    assert back["self"] is back.note


def test_defaultdict(protocol):
    value = defaultdict(list, {"a": [1]})
    value["self"].append(value)
    back = cross(value, protocol)
    assert back.default_factory is list
    assert back["new"] == []


def test_chain_map(protocol):
    shared = {"a": 1}
    back = cross(ChainMap(shared, {"b": shared}), protocol)
    assert back.maps[1]["b"] is back.maps[0]


class Recording(dict):
    """Defines its own ``__setitem__``: the loader must call it."""

    def __setitem__(self, key, value):
        super().__setitem__(key, ("set", value))


@pytest.mark.parametrize("size", [1, 2, 1001])
def test_dict_subclass_that_overrides_setitem(size, protocol):
    value = Recording()
    dict.update(value, {i: i for i in range(size)})
    cross_as_stdlib(value, protocol)


class Renaming(dict):
    def items(self):
        return iter([("renamed", value) for value in self.values()])


def test_dict_subclass_that_overrides_items(protocol):
    back = cross_as_stdlib(Renaming(a=[1]), protocol)
    assert list(back) == ["a" if protocol < 2 else "renamed"]


def test_views_and_proxies_fail_as_in_the_standard_library(protocol):
    for make in ({}.keys, {}.values, {}.items, lambda: vars(int)):
        assert_fails_alike(make, protocol)


def test_many_instances_with_the_same_attribute_names(protocol):
    value = [Plain(name=str(i), size=i, tags=[i]) for i in range(2000)]
    cross(value, protocol)
    assert len(fp.dumps(value, 4)) < 2000 * 40


def test_instances_whose_dicts_differ(protocol):
    value = [Plain(**{f"name{j}": j for j in range(i % 7)}) for i in range(100)]
    value[3].__dict__["not a name"] = 1
    value[4].__dict__[5] = "not text"
    cross(value, protocol)


def shapes_of_tables():
    """Dicts whose tables differ: shared keys or their own, of strs or not, with gaps or none."""
    strs = {f"key{i}": i for i in range(300)}
    yield strs
    gaps = dict(strs)
    for i in range(0, 300, 3):
        del gaps[f"key{i}"]
    yield gaps
    yield {**gaps, 1: "one"}
    mixed = {**gaps, (1, 2): "pair"}
    del mixed["key1"]
    yield mixed
    first_gone = dict(strs)
    for i in range(299):
        del first_gone[f"key{i}"]
    yield first_gone
    for order in ("abc", "cab", "b"):
        plain = Plain()
        for name in order:
            setattr(plain, name, name)
        yield vars(plain)
    plain = Plain()
    plain.a, plain.b, plain.c = 1, 2, 3
    del plain.a
    plain.a = 4
    yield vars(plain)
    plain = Plain()
    plain.a, plain.b, plain.c = 1, 2, 3
    vars(plain)[5] = 6
    yield vars(plain)


@pytest.mark.parametrize("value", list(shapes_of_tables()), ids=lambda value: str(len(value)))
def test_tables_of_every_shape(value, protocol):
    back = cross(value, protocol)
    assert list(back.items()) == list(value.items())
    held = fp.loads(fp.dumps([value, value], protocol))
    assert list(held[0].items()) == list(value.items())
