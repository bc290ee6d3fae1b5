"""`itertools`, without the methods for pickling that it loses in 3.14.

Each iterator is rebuilt by calling its type on what is left of its input, so
streams load on every version and no version warns. What the type keeps besides
its input (an element looked at already, a group begun, a combination reached)
is put in front of the input, or reached again by steps that cost what they
cost the first time.
"""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import math
import operator
import sys
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._fields import (
    NULL,
    array,
    items_of_tuple,
    numbers,
    objects,
    small_number,
)
from ferropickle.reducers._forms import Call, after, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferropickle.reducers._forms import ReduceValue


def count(obj: Any, policy: Any) -> ReduceValue:
    (small,) = numbers(obj, 1)
    value, step = objects(obj, 2, first=1)
    return itertools.count, (small if value is NULL else value, step)


def cycle(obj: Any, policy: Any) -> ReduceValue:
    source, saved = objects(obj, 2)
    if source is NULL:
        (index,) = numbers(obj, 1, first=2)
        return itertools.cycle, (saved[index:] + saved[:index],)
    if hasattr(obj, "__setstate__") and small_number(obj, first=3):
        # Made by that method: it has saved what its source still gives.
        return NotImplemented
    return after(itertools.cycle, (_preceded(source, *saved),), _advance(obj, len(saved)))


def repeat(obj: Any, policy: Any) -> ReduceValue:
    (element,), (times,) = objects(obj, 1), numbers(obj, 1, first=1)
    return itertools.repeat, (element,) if times < 0 else (element, times)


def accumulate(obj: Any, policy: Any) -> ReduceValue:
    total, source, function, initial = objects(obj, 4)
    function = None if function is NULL else function
    if total is not NULL:
        return after(itertools.accumulate, (_preceded(source, total), function), _advance(obj, 1))
    if initial is NULL or initial is None:
        return itertools.accumulate, (source, function)
    return functools.partial(itertools.accumulate, initial=initial), (source, function)


def chain(obj: Any, policy: Any) -> ReduceValue:
    source, active = objects(obj, 2)
    if source is NULL:
        return itertools.chain, ()
    if active is NULL:
        return itertools.chain.from_iterable, (source,)
    return itertools.chain.from_iterable, (_preceded(source, active),)


def compress(obj: Any, policy: Any) -> ReduceValue:
    return itertools.compress, tuple(objects(obj, 2))


def starmap(obj: Any, policy: Any) -> ReduceValue:
    return itertools.starmap, tuple(objects(obj, 2))


def filter_false(obj: Any, policy: Any) -> ReduceValue:
    return itertools.filterfalse, tuple(objects(obj, 2))


def drop_while(obj: Any, policy: Any) -> ReduceValue:
    (function, source), (has_started,) = objects(obj, 2), numbers(obj, 1, first=2)
    if has_started:
        # Nothing is in (), so the next element is not dropped.
        function = functools.partial(operator.contains, ())
    return itertools.dropwhile, (function, source)


def take_while(obj: Any, policy: Any) -> ReduceValue:
    (function, source), (has_stopped,) = objects(obj, 2), numbers(obj, 1, first=2)
    return itertools.takewhile, (function, () if has_stopped else source)


def slice_of(obj: Any, policy: Any) -> ReduceValue:
    (source,), (start, stop, step, taken) = objects(obj, 1), numbers(obj, 4, first=1)
    if source is NULL:
        return itertools.islice, ((), 0)
    return itertools.islice, (source, start - taken, None if stop < 0 else stop - taken, step)


def pairwise(obj: Any, policy: Any) -> ReduceValue:
    source, seen = objects(obj, 2)
    if source is NULL:
        return itertools.pairwise, ((),)
    return itertools.pairwise, (source if seen is NULL else _preceded(source, seen),)


def batched(obj: Any, policy: Any) -> ReduceValue:
    (source,), (size,) = objects(obj, 1), numbers(obj, 1, first=1)
    if source is NULL or size < 1:
        return type(obj), ((), 1)
    make: Callable[..., Any] = type(obj)
    # A `bool` of 3.13.
    if sys.version_info >= (3, 13) and small_number(obj, first=2) & 0xFF:
        make = functools.partial(make, strict=True)
    return make, (source, size)


def zip_longest(obj: Any, policy: Any) -> ReduceValue:
    (_size, active), (sources, _result, fill) = numbers(obj, 2), objects(obj, 3, first=2)
    make: Callable[..., Any] = itertools.zip_longest
    if not active:
        return make, ()
    if fill is not None:
        make = functools.partial(make, fillvalue=fill)
    return make, tuple(() if source is NULL else source for source in items_of_tuple(sources))


def product(obj: Any, policy: Any) -> ReduceValue:
    (pools,), (result,) = objects(obj, 1), objects(obj, 1, first=2)
    if small_number(obj, first=3):
        return itertools.product, ((),)
    if result is NULL:
        return itertools.product, pools
    rank = 0
    for index, pool in zip(array(obj, 1, len(pools)), pools, strict=True):
        rank = rank * len(pool) + index
    return after(itertools.product, pools, _advance(obj, rank + 1))


def combinations(obj: Any, policy: Any) -> ReduceValue:
    def later(size: int, index: int, left: int) -> int:
        return math.comb(size - index - 1, left)

    return _selection(obj, later, at_least=1)


def combinations_with_replacement(obj: Any, policy: Any) -> ReduceValue:
    def later(size: int, index: int, left: int) -> int:
        return math.comb(size - index + left - 1, left)

    return _selection(obj, later, at_least=0)


def permutations(obj: Any, policy: Any) -> ReduceValue:
    (pool,), (result,) = objects(obj, 1), objects(obj, 1, first=3)
    (length,) = numbers(obj, 1, first=4)
    if small_number(obj, first=5):
        return itertools.permutations, ((), 1)
    if result is NULL:
        return itertools.permutations, (pool, length)
    left = list(range(len(pool)))
    rank = 0
    for index in array(obj, 1, length):
        place = left.index(index)
        del left[place]
        rank = rank * (len(left) + 1) + place
    return after(itertools.permutations, (pool, length), _advance(obj, rank + 1))


def group_by(obj: Any, policy: Any) -> ReduceValue:
    source, key, of_group, of_value, value = objects(obj, 5)
    if of_group is NULL:
        return itertools.groupby, (source, key)
    if value is NULL and key is None:
        # The value was its own key.
        value = of_value = of_group
    if value is NULL:
        if not (hasattr(type(source), "__length_hint__") and operator.length_hint(source) == 0):
            refuse(obj, "one of its groups has been read in part; read the group to its end")
        return itertools.groupby, ((), key)
    # The value begins the next group, or the present one has it still to come.
    within = _advance(obj, 1) if of_value is of_group else []
    return after(itertools.groupby, (_preceded(source, value), key), within)


def group(obj: Any, policy: Any) -> ReduceValue:
    parent, key = objects(obj, 2)
    if numbers(parent, 1, first=5) != [id(obj)]:
        # The iterator has gone on to another group.
        return iter, ((),)
    return type(obj), (parent, key)


def tee(obj: Any, policy: Any) -> ReduceValue:
    """One of several iterators over the same data, each at a place of its own."""
    (data,), index = objects(obj, 1), small_number(obj, first=1)
    return after(copy.copy, (data,), _advance(obj, index))


def tee_data(obj: Any, policy: Any) -> ReduceValue:
    """A stretch of what `tee` keeps: becomes an iterator that stays at its start, to be copied."""
    (source,), read = objects(obj, 1), small_number(obj, first=1)
    (following,) = objects(obj, 1, first=2)
    values = objects(obj, read, first=3)
    rest = source if following is NULL else Call(copy.copy, following)
    return operator.itemgetter(0), (Call(itertools.tee, _preceded(rest, *values), 1),)


def _preceded(source: Any, *values: Any) -> Call:
    return Call(itertools.chain, values, source)


def _advance(obj: Any, steps: int) -> list[Call]:
    if steps <= 1:
        return [Call(next, obj)] if steps else []
    return [Call(collections.deque, Call(itertools.islice, obj, steps), 0)]


def _selection(obj: Any, later: Callable[[int, int, int], int], at_least: int) -> ReduceValue:
    """Combinations: `later` counts those that go on from an index with so many left to choose."""
    (pool,), (result,), (length,) = (
        objects(obj, 1),
        objects(obj, 1, first=2),
        numbers(obj, 1, first=3),
    )
    if small_number(obj, first=4):
        return type(obj), ((), 1)
    if result is NULL:
        return type(obj), (pool, length)
    rank, lowest = 0, 0
    for place, index in enumerate(array(obj, 1, length)):
        left = length - place - 1
        rank += sum(later(len(pool), earlier, left) for earlier in range(lowest, index))
        lowest = index + at_least
    return after(type(obj), (pool, length), _advance(obj, rank + 1))
