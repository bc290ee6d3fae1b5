"""Iterators go on where they were, and so does the one that was written."""

import itertools
import operator
import pickle
import sys
import warnings

import pytest

from helpers.stock import arrives, copy, dumps

STEPS = range(12)


def is_small(x):
    return x < 3


def makers():
    found = {
        "count": lambda: itertools.count(3),
        "count by": lambda: itertools.count(1.5, 0.25),
        "count far": lambda: itertools.count(sys.maxsize - 2),
        "count down": lambda: itertools.count(0, -2),
        "cycle": lambda: itertools.cycle([1, 2, 3]),
        "cycle of nothing": lambda: itertools.cycle([]),
        "repeat": lambda: itertools.repeat([1]),
        "repeat some": lambda: itertools.repeat("x", 4),
        "accumulate": lambda: itertools.accumulate([1, 2, 3, 4]),
        "accumulate by": lambda: itertools.accumulate([1, 2, 3, 4], operator.mul),
        "accumulate from": lambda: itertools.accumulate([1, 2], operator.mul, initial=7),
        "accumulate from none": lambda: itertools.accumulate([], initial=5),
        "chain": lambda: itertools.chain([1, 2], (), "ab", range(3)),
        "chain of an iterator": lambda: itertools.chain.from_iterable(iter(["ab", "cd"])),
        "compress": lambda: itertools.compress("abcdef", [1, 0, 1, 1, 0, 1]),
        "dropwhile": lambda: itertools.dropwhile(is_small, [1, 2, 5, 1, 6]),
        "takewhile": lambda: itertools.takewhile(is_small, [1, 2, 5, 1, 6]),
        "filterfalse": lambda: itertools.filterfalse(is_small, [1, 5, 2, 6]),
        "filterfalse none": lambda: itertools.filterfalse(None, [1, 0, 2, ""]),
        "starmap": lambda: itertools.starmap(pow, [(2, 3), (3, 2)]),
        "islice": lambda: itertools.islice(range(20), 2, 13, 3),
        "islice open": lambda: itertools.islice(range(9), 1, None, 2),
        "islice exact": lambda: itertools.islice(itertools.count(), 4),
        "zip_longest": lambda: itertools.zip_longest("ab", "cdefg", fillvalue=[0]),
        "zip_longest same": lambda: itertools.zip_longest("ab", "cd"),
        "pairwise": lambda: itertools.pairwise("abcd"),
        "product": lambda: itertools.product("ab", (), repeat=1),
        "product two": lambda: itertools.product("ab", range(3), [None]),
        "product repeat": lambda: itertools.product("ab", repeat=3),
        "product nothing": lambda: itertools.product(),
        "combinations": lambda: itertools.combinations("abcde", 3),
        "combinations all": lambda: itertools.combinations("aab", 3),
        "combinations none": lambda: itertools.combinations("abc", 0),
        "combinations too many": lambda: itertools.combinations("a", 2),
        "with replacement": lambda: itertools.combinations_with_replacement("abc", 3),
        "with replacement none": lambda: itertools.combinations_with_replacement("", 2),
        "permutations": lambda: itertools.permutations("abcd", 2),
        "permutations all": lambda: itertools.permutations("aba"),
        "permutations none": lambda: itertools.permutations("abc", 0),
        "enumerate": lambda: enumerate("abc", 5),
        "zip": lambda: zip("abc", itertools.count(), strict=False),
        "map": lambda: map(pow, [2, 3], itertools.count(1)),
        "filter": lambda: filter(is_small, [1, 5, 2]),
        "reversed": lambda: reversed([1, 2, 3]),
        "nested": lambda: itertools.islice(itertools.cycle(itertools.chain("ab", [1])), 1, 9, 2),
    }
    if sys.version_info >= (3, 12):
        found["batched"] = lambda: itertools.batched("abcdefg", 3)
    if sys.version_info >= (3, 13):
        found["batched strict"] = lambda: itertools.batched("abcd", 2, strict=True)
    return found


@pytest.mark.parametrize("name", makers())
def test_an_iterator_goes_on_where_it_was(name):
    make = makers()[name]
    expected = list(itertools.islice(make(), len(STEPS)))
    for taken in range(len(expected) + 2):
        iterator = make()
        for _ in range(taken):
            next(iterator, None)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = copy(iterator)
            again = copy(got)
        if name != "reversed":  # stock's own, which ends as an iterator over nothing
            assert type(got) is type(iterator)
        for one in (got, again, iterator):
            assert list(itertools.islice(one, max(0, len(STEPS) - taken))) == expected[taken:], (
                taken
            )


def test_iterators_share_their_source():
    source = iter(range(9))
    pair = [itertools.islice(source, 4), itertools.chain(source, "z")]
    next(pair[1])
    arrives(pair, "assert next(obj[0]) == 1 and next(obj[1]) == 2 and next(obj[0]) == 3")


def test_a_batched_iterator_keeps_strict():
    if sys.version_info < (3, 13):
        pytest.skip("itertools.batched takes strict from CPython 3.13 on")
    got = copy(itertools.batched("abc", 2, strict=True))
    assert next(got) == ("a", "b")
    with pytest.raises(ValueError, match="incomplete"):
        next(got)


def grouped(groups):
    return [(key, list(items)) for key, items in groups]


@pytest.mark.parametrize("key", [None, str.lower])
@pytest.mark.parametrize("taken", range(4))
def test_groups(key, taken):
    text = "aAbBBc"
    groups = itertools.groupby(text, key)
    for _ in range(taken):
        list(next(groups)[1])
    got = copy(groups)
    assert grouped(got) == grouped(groups)


@pytest.mark.parametrize("key", [None, str.lower])
def test_a_group_that_was_not_read_is_passed_over(key):
    groups = itertools.groupby("aabb", key)
    next(groups)
    assert grouped(copy(groups)) == [("b", ["b", "b"])]


def test_a_group_goes_with_what_it_is_of():
    groups = itertools.groupby("aabb")
    key, group = next(groups)
    arrives(
        [groups, group],
        """
        groups, group = obj
        assert list(group) == ["a", "a"]
        assert [(k, list(g)) for k, g in groups] == [("b", ["b", "b"])]
        """,
    )
    next(groups)
    assert list(copy([groups, group])[1]) == [], "a group that is past"


def test_a_group_read_in_part():
    groups = itertools.groupby("aabb")
    key, group = next(groups)
    next(group)
    assert grouped(copy(groups)) == [("b", ["b", "b"])]
    groups = itertools.groupby("aabb", str.lower)
    key, group = next(groups)
    next(group)
    with pytest.raises(pickle.PicklingError, match="read the group to its end"):
        dumps(groups)


@pytest.mark.parametrize("places", [(0, 0), (2, 5), (60, 3), (0, 130), (57, 114), (140, 140)])
def test_tees_share_what_they_have_read(places):
    tees = itertools.tee(iter(range(150)))
    for tee, place in zip(tees, places, strict=True):
        for _ in range(place):
            next(tee)
    arrives(
        [tees, places],
        """
        tees, places = obj
        first = [next(tee) for tee in tees]
        assert first == list(places), first
        next(tees[0])
        assert list(tees[1]) == list(range(places[1] + 1, 150))
        assert list(tees[0]) == list(range(places[0] + 2, 150))
        """,
    )
    assert [next(tee) for tee in tees] == list(places)


def test_iterators_load_in_a_fresh_interpreter():
    cycle, product = itertools.cycle("abc"), itertools.product("ab", repeat=10)
    next(cycle)
    for _ in range(777):
        expected = next(product)
    expected = list(itertools.islice(itertools.product("ab", repeat=10), 777, 780))
    arrives(
        [cycle, product, expected],
        """
        from itertools import islice
        cycle, product, expected = obj
        assert list(islice(cycle, 5)) == list("bcabc")
        assert list(islice(product, 3)) == expected
        """,
    )
