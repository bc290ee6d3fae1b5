"""Objects that say how to be rebuilt: reduce values of two to six elements, state, slots.

What belongs here: ``__reduce__``, ``__reduce_ex__``, ``__getnewargs*__``, ``__getstate__`` and
``__setstate__`` of any class. Which hook is asked first: test_hooks.py.
"""

import copyreg
import functools
import operator
import pickle

import pytest

import ferropickle as fp
from helpers import shapes
from helpers.crossing import assert_fails_alike, cross, cross_as_stdlib, raised
from helpers.graph import assert_same_graph
from helpers.shapes import Plain, Returns
from helpers.subprocs import run_python


def samples():
    shared = [1]
    yield shapes.Plain(a=1, b=shared, c=shared)
    yield shapes.Plain()
    yield shapes.Reduced(shared)
    yield shapes.WithState(shared)
    yield shapes.NewArgs(shared, 2)
    yield shapes.Record("name", shared, shared)
    yield shapes.FrozenRecord("name", shared)
    yield functools.partial(operator.add, shared)
    yield ValueError("text", shared)
    yield OSError(2, "No such file", "path")
    yield KeyError("key")
    yield object()


@pytest.mark.parametrize("value", list(samples()), ids=lambda v: type(v).__name__)
def test_samples(value, protocol):
    cross([value, value], protocol, same=_same)


def _same(left, right):
    if isinstance(left[0], functools.partial):  # its state is hidden
        left, right = (
            [[p.func, p.args, p.keywords] for p in left],
            [[p.func, p.args, p.keywords] for p in right],
        )
    assert_same_graph(left, right)


@pytest.mark.parametrize("number", range(2, 6))
def test_slots_alone_inherited_mangled_and_with_a_dict(number):
    shared = [1]
    values = [
        shapes.Slotted(shared, 2),
        shapes.SlottedChild(shared, shared, extra=3, more=shared),
        shapes.SlotRecord("name", shared),
    ]
    values[0].left.append(values[1])
    cross([values, values[0]], number)
    empty = object.__new__(shapes.Slotted)
    cross(empty, number)


@pytest.mark.parametrize("number", [0, 1])
def test_slots_need_protocol_two(number):
    exc = assert_fails_alike(lambda: shapes.Slotted(1), number)
    assert "__slots__" in str(exc)


@pytest.mark.parametrize("number", range(2, 6))
def test_keyword_arguments_to_new(number):
    shared = [1]
    value = shapes.NewArgsEx(shared, key=shared)
    back = cross([value, value], number)
    assert back[0] is back[1]
    assert back[0].first is back[0].key


def test_state_setter(protocol):
    value = shapes.SetterState()
    value.seen = "state"
    back = cross_as_stdlib(value, protocol)
    assert back.seen == ("set", "state")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(shapes.Plain, "any"), (shapes.Reduced, "inner"), (shapes.WithState, "value")],
)
def test_cycles_through_the_state(kind, name, protocol):
    value = kind()
    setattr(value, name, [value])
    back = cross(value, protocol)
    assert getattr(back, name)[0] is back


class CycleInArgs:
    """Its arguments hold itself: the standard library has a way out for lists only."""

    def __init__(self, items=None):
        self.items = items

    def __reduce__(self):
        return CycleInArgs, (self.items,)


def test_cycle_through_a_list_in_the_arguments(protocol):
    value = CycleInArgs([])
    value.items.append(value)
    cross_as_stdlib(value.items, protocol)


class Bag:
    """Takes items as the loader gives them."""

    def __init__(self):
        self.got = []

    def append(self, item):
        self.got.append(("append", item))

    def extend(self, items):
        self.got.append(("extend", list(items)))

    def __setitem__(self, key, value):
        self.got.append((key, value))

    def __setstate__(self, state):
        self.got.append(("state", state))


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 1001])
@pytest.mark.parametrize("state", [None, 0, "state", {}])
def test_items_pairs_and_state_arrive_as_in_the_standard_library(count, state, protocol):
    def make():
        return Returns(lambda: (Bag, (), state, iter(range(count)), iter({1: 2, 3: 4}.items())))

    expected = pickle.loads(pickle.dumps(make(), protocol)).got
    assert pickle.loads(fp.dumps(make(), protocol)).got == expected
    assert fp.loads(fp.dumps(make(), protocol)).got == expected
    assert fp.loads(pickle.dumps(make(), protocol)).got == expected


@pytest.mark.parametrize("state", [False, 0, "", (), [], ({},), (None, None), (None, {})], ids=repr)
def test_states_that_are_false(state, protocol):
    for stateful in (Bag, Plain):
        value = Returns((stateful, (), state))
        expected = _outcome(pickle.loads, pickle.dumps(value, protocol))
        assert _outcome(pickle.loads, fp.dumps(value, protocol)) == expected
        assert _outcome(fp.loads, fp.dumps(value, protocol)) == expected


def _outcome(call, data):
    try:
        return vars(call(data))
    except Exception as exc:
        return type(exc)


BAD = {
    "a number": 42,
    "None": None,
    "a list": [Plain, ()],
    "empty": (),
    "one element": (Plain,),
    "seven elements": (Plain, (), None, None, None, None, None),
    "callable is none": (None, ()),
    "callable is not callable": (5, ()),
    "arguments are a list": (Plain, []),
    "arguments are none": (Plain, None),
    "items are a list": (Bag, (), None, [1]),
    "items are a number": (Bag, (), None, 5),
    "pairs are a dict": (Bag, (), None, None, {1: 2}),
    "pairs are no pairs": (Bag, (), None, None, iter([1])),
    "pairs are triples": (Bag, (), None, None, iter([(1, 2, 3)])),
    "pairs are lists": (Bag, (), None, None, iter([[1, 2]])),
    "setter is not callable": (Bag, (), 1, None, None, 5),
    "newobj without class": (copyreg.__newobj__, ()),
    "newobj of a number": (copyreg.__newobj__, (5,)),
    "newobj of another class": (copyreg.__newobj__, (Plain,)),
    "newobj_ex short": (copyreg.__newobj_ex__, (Returns, ())),
    "newobj_ex of a number": (copyreg.__newobj_ex__, (5, (), {})),
    "newobj_ex arguments a list": (copyreg.__newobj_ex__, (Returns, [], {})),
    "newobj_ex keywords a list": (copyreg.__newobj_ex__, (Returns, (), [])),
    "a name that is nowhere": "no_such_name",
    "a nested name that is nowhere": "Plain.no_such",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_reduce_values_fail_as_in_the_standard_library(what, protocol):
    def make():
        value = BAD[what]
        if isinstance(value, tuple):  # iterators are used up
            value = tuple(_fresh(item) for item in value)
        return Returns(value)

    try:
        pickle.dumps(make(), protocol)
    except Exception:
        assert_fails_alike(make, protocol)
    else:
        assert fp.dumps(make(), protocol)


def _fresh(item):
    if type(item) is type(iter([])):
        return iter(item.__reduce__()[1][0])
    return item


def test_string_reduce_is_a_global(protocol):
    value = Returns("plain_function")
    Returns.__module__, kept = "helpers.shapes", Returns.__module__
    try:
        with pytest.raises(pickle.PicklingError):
            fp.dumps(value, protocol)  # found, but another object
    finally:
        Returns.__module__ = kept
    assert fp.loads(fp.dumps(SINGLETON, protocol)) is SINGLETON
    assert pickle.loads(fp.dumps([SINGLETON] * 2, protocol)) == [SINGLETON] * 2


class Singleton:
    def __reduce__(self):
        return "SINGLETON"


SINGLETON = Singleton()


class TellsProtocol:
    def __reduce_ex__(self, protocol):
        return list, ((type(protocol) is int and protocol,),)

    def __reduce__(self):
        raise AssertionError("__reduce_ex__ goes first")


def test_reduce_ex_is_given_the_protocol(protocol):
    assert fp.loads(fp.dumps(TellsProtocol(), protocol)) == [protocol]


class Falsy:
    def __init__(self):
        self.value = 1

    def __bool__(self):
        raise AssertionError("nobody asks for truth")

    def __len__(self):
        raise AssertionError("nobody asks for length")

    def __eq__(self, other):
        raise AssertionError("nobody compares")

    __hash__ = None


def test_objects_are_not_asked_for_truth_length_or_equality(protocol):
    back = fp.loads(fp.dumps([Falsy(), Falsy()], protocol))
    assert [item.value for item in back] == [1, 1]


def test_setstate_gets_any_state_and_its_result_is_ignored(protocol):
    value = Returns((Bag, (), [1, 2]))
    assert fp.loads(fp.dumps(value, protocol)).got == [("state", [1, 2])]


class Guarded:
    """Its attributes go through ``__setattr__``: slot state does too, dict state does not."""

    __slots__ = ("slot", "__dict__")

    def __setattr__(self, name, value):
        object.__setattr__(self, name, ("guarded", value))


@pytest.mark.parametrize("number", range(2, 6))
def test_setattr_is_called_for_slots_only(number):
    value = Guarded()
    object.__setattr__(value, "slot", 1)
    vars(value)["plain"] = 2
    back = cross_as_stdlib(value, number)
    assert back.slot == ("guarded", 1)
    assert back.plain == 2


class WithProperty:
    @property
    def name(self):
        return "from the property"


def test_state_goes_into_the_dict_past_data_descriptors(protocol):
    value = WithProperty()
    vars(value)["name"] = "from the dict"
    back = cross(value, protocol)
    assert vars(back) == {"name": "from the dict"}
    assert back.name == "from the property"


def test_exceptions_in_reducers_pass_unchanged(protocol):
    exc = ZeroDivisionError("mine")
    assert raised(fp.dumps, [shapes.Raises(exc)], protocol) is exc


def test_exceptions_in_reconstructors_pass(protocol):
    data = fp.dumps(Returns((shapes.fail_when_loaded, (1,))), protocol)
    assert type(raised(fp.loads, data)) is ZeroDivisionError
    data = fp.dumps(shapes.FailsInSetstate(), protocol)
    assert type(raised(fp.loads, data)) is ZeroDivisionError


@pytest.mark.parametrize("name", ["open file", "generator", "module", "frame", "lock"])
def test_what_has_no_pickle_fails_as_in_the_standard_library(name, protocol, tmp_path):
    import sys
    import threading

    with open(tmp_path / "file", "wb") as file:
        makers = {
            "open file": lambda: file,
            "generator": lambda: (i for i in ()),
            "module": lambda: sys,
            "frame": sys._getframe,
            "lock": threading.Lock,
        }
        assert_fails_alike(lambda: [makers[name]()], protocol)


class Patched:
    """Its methods are changed while instances are dumped."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Patched, (self.value,)


class PatchedState:
    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {"value": self.value}


@pytest.mark.parametrize("kind", [Patched, PatchedState])
@pytest.mark.parametrize("name", ["__reduce__", "__reduce_ex__", "__getstate__"])
@pytest.mark.parametrize("where", ["instance", "class"])
def test_methods_that_are_replaced_are_asked(kind, name, where, number_from_two, monkeypatch):
    if name == "__getstate__" and kind is Patched:
        answer = {"value": "unused"}
    elif name == "__getstate__":
        answer = {"value": "replaced"}
    else:
        answer = (kind, ("replaced",))
    values = [kind(i) for i in range(3)]
    fp.dumps(values, number_from_two)  # what is known of the type by then must not hold
    if where == "instance":
        setattr(values[1], name, Answer(answer))
    else:
        monkeypatch.setattr(kind, name, lambda *args: answer, raising=False)
    ours, theirs = fp.dumps(values, number_from_two), pickle.dumps(values, number_from_two)
    got, expected = pickle.loads(ours), pickle.loads(theirs)
    assert [v.value for v in got] == [v.value for v in expected]
    assert [vars(v).keys() for v in got] == [vars(v).keys() for v in expected]


class Answer:
    """A callable that is the same wherever it is found, and itself goes by name."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *args):
        return self.answer

    def __reduce__(self):
        return Answer, (self.answer,)


@pytest.fixture(params=range(2, 6))
def number_from_two(request):
    return request.param


class CountedState:
    asked = 0

    def __getstate__(self):
        CountedState.asked += 1
        return vars(self).copy()


def test_state_is_asked_for_once_where_the_walk_begins_again():
    first, second = CountedState(), CountedState()
    first.other, second.other = second, first
    looped = ([first],)
    looped[0].append(looped)  # a tuple in itself: the walk begins again
    CountedState.asked = 0
    back = pickle.loads(fp.dumps([[[]] for _ in range(400)] + [looped, second]))
    assert CountedState.asked == 2
    assert back[-1].other.other is back[-1]
    assert back[-2][0][0] is back[-1].other


class NamelessMeta(type):
    """Classes that cannot say of which module they are."""

    @property
    def __module__(cls):
        raise ValueError("no module")


class Nameless(metaclass=NamelessMeta):
    def __reduce__(self):
        return int, (5,)


def test_a_class_that_cannot_say_its_module(protocol):
    """What its metaclass raises is nobody's error once the object says how it is made."""
    assert fp.loads(fp.dumps(Nameless(), protocol)) == 5
    assert fp.loads(fp.dumps([Nameless(), fp], protocol))[0] == 5


LATE_EDGE = """
import io, pickle, sys, types
import ferropickle as fp

sys.modules["torch"] = types.ModuleType("torch")  # arrays on devices are likely


class Reduced:
    calls = 0

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        Reduced.calls += 1
        return Reduced, (self.value,)


class Edge:
    def __reduce__(self):
        return list, (root[0],)


def dumped():
    Reduced.calls = 0
    file = io.BytesIO()
    fp.dump(root, file)
    return Reduced.calls, file.getvalue()


root = [[i, f"text {i}"] for i in range(20_000)]
root += [Reduced(f"{i} " + 100 * "z") for i in range(3_000)] + [Edge()]
first = dumped()
fp.dumps(Reduced(1))  # begins again where its first reducer is called
assert dumped() == first
assert first[0] == 3_000
assert fp.loads(first[1])[-1] == root[0]
"""


def test_nothing_of_a_dump_that_began_again_reaches_the_next():
    run_python(LATE_EDGE)
