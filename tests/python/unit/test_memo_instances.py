"""Leaving out the memo, continued: what makes an instance plain, leaves, temporaries.

What belongs here: rules 5 to 7 as numbered at the head of test_memo_soundness.py.
"""

import copyreg
import gc
import io
import pickle

import pytest

import ferropickle as fp
from helpers.crossing import assert_fails_alike, both_ways, cross
from helpers.graph import assert_same_graph
from helpers.shapes import Does, Plain, StrChild

# 5: what makes an instance plain


class Borg:
    shared = {}

    def __init__(self):
        self.__dict__ = Borg.shared


def test_5_shared_dict(protocol):
    Borg.shared.clear()
    one, two = Borg(), Borg()
    one.items = [[1]]
    both_ways([one, two, one.__dict__, two.items], protocol)
    Borg.shared["itself"] = one
    both_ways([[one], two], protocol)
    Borg.shared.clear()


def test_5_a_dict_that_someone_else_holds(protocol):
    value = Plain(items=[1])
    held = value.__dict__
    back = both_ways([held, value, held], protocol)
    assert back[0] is back[2]
    assert back[0]["items"] is back[1].items
    both_ways([value, held], protocol)


@pytest.mark.parametrize(
    "name",
    ["__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"],
)
def test_5_hooks_in_the_instance_dict(name, protocol):
    """The standard library looks some of them up on the instance: whatever it does, so do we."""

    def make():
        value = Plain(a=1)
        answers = {
            "__reduce_ex__": lambda number: (str.upper, ("from the instance",)),
            "__reduce__": lambda: (str.upper, ("from the instance",)),
            "__getstate__": lambda: {"a": "from the instance"},
            "__getnewargs__": lambda: (),
            "__getnewargs_ex__": lambda: ((), {}),
        }
        value.__dict__[name] = answers[name]
        return value

    try:
        expected = pickle.loads(pickle.dumps(make(), protocol))
    except Exception:
        assert_fails_alike(make, protocol)
    else:
        assert_same_graph(expected, fp.loads(fp.dumps(make(), protocol)))


def test_5_one_instance_with_a_hook_among_plain_ones(protocol):
    values = [Plain(a=[i]) for i in range(10)]
    values[5].__dict__["__reduce_ex__"] = lambda number: (str.upper, ("own",))
    back = both_ways(values, protocol)
    assert back[5] == "OWN"
    assert back[6].a == [6]


class Lying:
    """Says that it is of another class."""

    @property
    def __class__(self):
        return Plain


def test_5_lying_about_the_class(protocol):
    def make():
        value = Lying()
        value.__dict__["x"] = [1]
        return value

    try:
        expected = pickle.loads(pickle.dumps([make()], protocol))
    except Exception:
        assert_fails_alike(lambda: [make()], protocol)
    else:
        assert_same_graph(expected, both_ways([make()], protocol))


class Guarded:
    """``__getattribute__`` and ``__getattr__`` that run code."""

    calls = 0

    def __getattribute__(self, name):
        Guarded.calls += 1
        return super().__getattribute__(name)

    def __getattr__(self, name):
        raise AttributeError(name)


def test_5_getattribute_is_called(protocol):
    value = Guarded()
    value.x = [1]
    Guarded.calls = 0
    pickle.dumps(value, protocol)
    expected, Guarded.calls = Guarded.calls, 0
    data = fp.dumps(value, protocol)
    assert (Guarded.calls > 0) == (expected > 0)
    assert fp.loads(data).x == [1]


class Changing:
    pass


@pytest.mark.parametrize("name", ["__reduce__", "__reduce_ex__", "__getstate__"])
def test_5_a_class_that_changes_is_noticed(name, protocol):
    """Whatever is remembered about a class is forgotten when the class or a base changes."""

    def hook(self, *number):
        return {"x": "hook"} if name == "__getstate__" else (str.upper, ("hook",))

    value = Changing()
    value.x = [1]
    before = fp.dumps(value, protocol)
    setattr(Changing, name, hook)
    try:
        during = fp.loads(fp.dumps(value, protocol))
    finally:
        delattr(Changing, name)
    assert during == "HOOK" or during.x == "hook"
    assert fp.dumps(value, protocol) == before


def test_5_a_class_that_changes_during_the_dump(protocol):
    def change():
        Changing.__reduce__ = lambda self: (str.upper, ("changed",))

    values = [Changing(), Does(change), Changing()]
    try:
        back = both_ways(values, protocol)
    finally:
        del Changing.__reduce__
    assert type(back[0]) is Changing
    assert back[2] == "CHANGED"


def test_5_copyreg_that_changes_during_the_dump(protocol):
    values = [Changing(), None, Changing()]
    values[1] = Does(lambda: copyreg.pickle(Changing, lambda obj: (str.upper, ("registered",))))
    try:
        back = both_ways(values, protocol)
    finally:
        copyreg.dispatch_table.pop(Changing, None)
    assert type(back[0]) is Changing
    assert back[2] == "REGISTERED"


# 6, 7: leaves and temporaries


def test_6_text_owned_once_but_met_often(protocol):
    values = [Plain() for _ in range(50)]
    for i, value in enumerate(values):
        setattr(value, "".join(["attr", "ibute"]), "".join(["x", str(i)]))
    cross(values, protocol)


def test_6_text_subclasses_are_objects(protocol):
    text = StrChild("text")
    text.note = [text]
    cross([text, [text], {text: text}], protocol)


class Fresh:
    """Each attribute, state and argument is made anew and dropped at once."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return Plain, (), {"list": [self.number], "inner": [Fresh2(self.number)]}


class Fresh2:
    def __init__(self, number):
        self.number = number

    def __getstate__(self):
        return {"number": [self.number], "tuple": ([self.number], str(self.number) * 3)}


def test_7_temporaries_of_reducers_do_not_alias(protocol):
    """A freed temporary's address is used again: a GET of its entry would fetch another."""
    back = both_ways([Fresh(i) for i in range(500)], protocol)
    for i, item in enumerate(back):
        assert item.list == [i]
        assert item.inner[0].number == [i]
        assert item.inner[0].tuple == ([i], str(i) * 3)
    everything = [item.list for item in back] + [item.inner for item in back]
    assert len({id(item) for item in everything}) == 1000


class FreshItems(list):
    def __iter__(self):
        for i in range(200):
            yield [i]


@pytest.mark.parametrize("number", range(2, 6))
def test_7_temporaries_of_iterators_do_not_alias(number):
    back = both_ways(FreshItems(), number)
    assert [list.__getitem__(back, i) for i in range(200)] == [[i] for i in range(200)]


def test_7_temporaries_of_overrides_and_persistent_ids_do_not_alias():
    class Saving(fp.Pickler):
        def persistent_id(self, obj):
            return [obj.number, [obj.number]] if type(obj) is Fresh2 else None

        def reducer_override(self, obj):
            if type(obj) is Fresh:
                return Plain, (), {"n": [obj.number], "again": [[obj.number]]}
            return NotImplemented

    class Loading(fp.Unpickler):
        def persistent_load(self, pid):
            return tuple(pid)

    out = io.BytesIO()
    Saving(out).dump([(Fresh(i), Fresh2(i)) for i in range(300)])
    back = Loading(io.BytesIO(out.getvalue())).load()
    for i, (one, two) in enumerate(back):
        assert one.n == [i]
        assert one.again == [[i]]
        assert two == (i, [i])


def test_7_objects_die_during_the_dump(protocol):
    """A reducer drops objects that were written: their addresses may come again."""
    holder = [[[i] for i in range(100)]]

    def drop():
        holder.clear()
        gc.collect()
        return [[-i] for i in range(100)]

    outer = [holder, Does(drop), [["new"] for _ in range(100)]]
    back = both_ways(outer, protocol)
    assert back[0] == [[[i] for i in range(100)]]
    assert back[1].result == [[-i] for i in range(100)]
    assert back[2] == [["new"]] * 100
