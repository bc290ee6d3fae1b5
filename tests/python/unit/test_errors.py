"""Errors say where: the path to the culprit on dump, the byte offset and opcode on load.

What belongs here: the text, type, identity and notes of exceptions. That something fails at all
is tested where the feature is.
"""

import collections
import copyreg
import datetime
import enum
import functools
import io
import pickle
import re
import sys

import pytest

import ferropickle as fp
from helpers import shapes
from helpers.crossing import raised
from helpers.shapes import Keyed, Plain, Point, Raises, Record, Returns, Slotted, SlottedChild

NOTES = sys.version_info >= (3, 11)
# The standard library says by itself what it was serializing.
STOCK_NOTES = sys.version_info >= (3, 14)
# Of a type that neither pickle nor ferropickle pickles.
REFUSED = iter(memoryview(b""))


class Holder:
    def __init__(self, **state):
        self.__dict__.update(state)


def plain_paths():
    lock = REFUSED
    yield "obj", lock
    yield "obj[0]", [lock]
    yield "obj[2][1]", [0, 0, (1, lock)]
    yield "obj['key']", {"key": lock}
    yield "obj[5][<tuple key>]", {5: {(1, "a"): lock}}  # no user code runs for a path
    yield "obj[-1.5]", {-1.5: lock}
    yield "obj[None]", {None: lock}
    yield "obj[b'key']", {b"key": lock}
    yield "obj['it\\'s \"\\n']", {"it's \"\n": lock}
    yield "obj._lock", Holder(_lock=lock)
    yield "obj.cfg['clients'][3]._lock", Holder(cfg={"clients": [0, 1, 2, Holder(_lock=lock)]})
    yield "obj.left", Slotted(left=lock)
    yield "obj.right[1]", Slotted(right=[1, lock])
    yield "obj.extra.value", SlottedChild(extra=Record("n", lock))
    yield "obj.more", SlottedChild(more=lock)
    yield "obj.inner[0]", _reduced([lock])
    yield "obj[0].tags[1]", [Record("n", 1, [1, lock])]
    yield "obj[1500]", [0] * 1500 + [lock]
    yield "obj['k1500']", {f"k{i}": i for i in range(1500)} | {"k1500": lock}
    yield "obj['a']['b']['c'][0][0][0]", {"a": {"b": {"c": [[(lock,)]]}}}


def path_id(value):
    return ascii(value) if isinstance(value, str) else ""


def _reduced(inner):
    value = shapes.Reduced("label")
    value.inner = inner
    return value


@pytest.mark.parametrize(("path", "obj"), list(plain_paths()), ids=path_id)
def test_paths_on_dump(path, obj):
    exc = raised(fp.dumps, obj)
    assert type(exc) is TypeError
    assert str(exc) == f"{path}: cannot pickle 'memory_iterator' object"


@pytest.mark.parametrize(("path", "obj"), list(plain_paths()), ids=path_id)
def test_the_path_is_a_note_too(path, obj):
    if not NOTES:
        return  # notes came with 3.11; the message is tested above
    exc = raised(fp.dumps, obj)
    assert any(path in note for note in exc.__notes__)


@pytest.mark.parametrize(
    "dump",
    [
        lambda obj: fp.dumps(obj, 2),
        lambda obj: fp.dump(obj, io.BytesIO()),
        lambda obj: fp.Pickler(io.BytesIO()).dump(obj),
        lambda obj: type("Own", (fp.Pickler,), {})(io.BytesIO(), 3).dump(obj),
    ],
)
def test_every_way_to_dump_tells_the_path(dump):
    exc = raised(dump, {"a": [REFUSED]})
    assert str(exc) == "obj['a'][0]: cannot pickle 'memory_iterator' object"


@pytest.mark.parametrize(
    ("obj", "parts"),
    [
        ({"a": {(1, Keyed("k", REFUSED)): 2}}, ["obj['a']", "payload"]),
        ({"a": {Keyed("k", REFUSED)}}, ["obj['a']", "payload"]),
        ({"a": frozenset([Keyed("k", REFUSED)])}, ["obj['a']", "payload"]),
        ([Returns((shapes.plain_function, (1, [REFUSED])))], ["obj[0]"]),
        ([Returns((Plain, (), {"state": REFUSED}))], ["obj[0]", "state"]),
        ([Returns((Plain, (), ["state", REFUSED]))], ["obj[0]"]),
        ([Returns(lambda: (list, (), None, iter([1, REFUSED])))], ["obj[0]"]),
        ([Returns(lambda: (dict, (), None, None, iter([("k", REFUSED)])))], ["obj[0]", "'k'"]),
        ([shapes.WithState(REFUSED)], ["obj[0]"]),
        ([Point(REFUSED, 1)], ["obj[0]"]),
        ([shapes.NewArgs(REFUSED)], ["obj[0]"]),
    ],
    ids=[
        "key",
        "set",
        "frozenset",
        "args",
        "state",
        "odd state",
        "items",
        "pairs",
        "get",
        "named",
        "new",
    ],
)
def test_paths_through_keys_sets_and_reduce_values(obj, parts):
    exc = raised(fp.dumps, obj)
    assert type(exc) is TypeError
    text = str(exc)
    assert text.startswith(parts[0]), text
    assert text.endswith(": cannot pickle 'memory_iterator' object"), text
    for part in parts[1:]:
        assert part in text


def test_the_path_is_of_the_first_culprit_only():
    assert str(raised(fp.dumps, [1, REFUSED, REFUSED])).startswith("obj[1]:")


def test_the_path_of_a_shared_culprit_is_where_it_was_met_first():
    shared = [REFUSED]
    assert str(raised(fp.dumps, {"a": 1, "b": shared, "c": shared})).startswith("obj['b'][0]:")


def test_the_path_after_foreign_code_has_run():
    obj = {"first": Plain(a=Returns((str, ()))), "second": [[], {"x": (1, REFUSED)}]}
    assert str(raised(fp.dumps, obj)).startswith("obj['second'][1]['x'][1]: ")


def test_the_path_after_a_restart():
    inner = []
    recursive = (inner,)
    inner.append(recursive)
    assert str(raised(fp.dumps, {"r": recursive, "x": [REFUSED]})).startswith("obj['x'][0]: ")


def test_very_deep_paths_are_shortened():
    obj = REFUSED
    for _ in range(10_000):
        obj = [obj]
    obj = {"begin": obj}
    text = str(raised(fp.dumps, obj))
    assert len(text) < 1000
    assert text.startswith("obj['begin'][0]")
    assert "..." in text.replace("…", "...")
    assert text.endswith("[0]: cannot pickle 'memory_iterator' object")


def test_very_long_keys_are_shortened():
    text = str(raised(fp.dumps, {"k" * 100_000: REFUSED}))
    assert len(text) < 1000
    assert text.startswith("obj['kkk")


def test_keys_with_a_hostile_repr_do_not_hide_the_error():
    class Key:
        def __repr__(self):
            raise ZeroDivisionError

        def __reduce__(self):
            return str, ("key",)

    exc = raised(fp.dumps, {Key(): REFUSED})
    assert type(exc) is TypeError
    assert "cannot pickle 'memory_iterator' object" in str(exc)


CAUSES = {
    "local function": (lambda: [lambda: 0], "obj[0]"),
    "local class": (lambda: {"k": type("Local", (), {})}, "obj['k']"),
    "iterator": (lambda: [iter(memoryview(b""))], "obj[0]"),
    "module": (lambda: Holder(m=sys), "obj.m"),
    "bad reduce": (lambda: [Returns(5)], "obj[0]"),
    "bad string reduce": (lambda: [Returns("no_such_name")], "obj[0]"),
    "bad arguments": (lambda: (Returns((Plain, [])),), "obj[0]"),
    "bad items": (lambda: [Returns((list, (), None, 5))], "obj[0]"),
}


TAKEN = ("local function", "local class", "module")  # by value, or by import: no errors here


@pytest.mark.parametrize("name", [name for name in CAUSES if name not in TAKEN])
def test_type_is_the_standard_librarys_and_the_path_begins_the_text(name):
    make, path = CAUSES[name]
    theirs = raised(pickle.dumps, make())
    ours = raised(fp.dumps, make())
    assert type(ours) is type(theirs)
    assert str(ours).startswith(path + ": "), str(ours)
    if NOTES:
        assert any(path in note for note in ours.__notes__)


def test_the_pickle_face_keeps_the_standard_librarys_text():
    from ferropickle.compat import pickle as compat

    for make, path in CAUSES.values():
        obj = make()
        theirs, ours = raised(pickle.dumps, obj), raised(compat.dumps, obj)
        assert (type(ours), str(ours)) == (type(theirs), str(theirs))
        assert repr(ours.__context__) == repr(theirs.__context__)
        if NOTES and not STOCK_NOTES:
            assert any(path in note for note in ours.__notes__)


class Broken:
    """No reducer, equal to itself alone: anywhere in a graph."""

    def __reduce_ex__(self, protocol):
        raise KeyError("broken")


class BrokenZone(datetime.tzinfo, Broken):
    pass


class BrokenCallable(Broken):
    def __call__(self):
        pass


class Level(enum.Enum):
    LOW = Broken()


def new_ex(*args):
    return copyreg.__newobj_ex__, args


def broken_graphs():
    x = Broken()
    moment = datetime.datetime(2020, 1, 1, tzinfo=BrokenZone())
    yield "list", [1, [2, x]]
    yield "long list", [*range(1005), x]
    yield "tuples", (1, (2, 3, 4, 5, x))
    yield "dict", {"a": {(1, 2): x}}
    yield "long dict", dict.fromkeys(range(1005)) | {"k": x}
    yield "key", [{x: 1}]
    yield "key inside", [{(1, x): 1}]
    yield "set", [{x}]
    yield "frozenset", frozenset([frozenset([x])])
    yield "instance", Plain(a=Plain(b=[x]))
    yield "instance in set", {Plain(a=x)}
    yield "instance as key", {Plain(a=x): 1}
    yield "instances below a set", {1, 2, 3, Plain(a=x), 4, 5}
    yield "slots", [Slotted(left=1, right=x)]
    yield "slots and dict", [SlottedChild(extra=x, left=1)]
    yield "dict beside slots", [SlottedChild(more=x, left=1)]
    yield "named tuple", [Point(1, x)]
    yield "time zone", [moment]
    yield "time zone of a time", (moment.timetz(),)
    yield "enum", [Level.LOW]
    yield "deque", collections.deque([1, Plain(a=x)])
    yield "ordered dict", collections.OrderedDict(a=1, b=Plain(a=x))
    yield "default dict", [collections.defaultdict(list, {"a": [x]})]
    yield "list subclass", [Items([1, Plain(a=x)])]
    yield "partial", functools.partial(print, x)
    yield "bound method", [[].append, Plain(a=x).__eq__]
    yield "callable", Returns((BrokenCallable(), ()))
    yield "arguments", Returns((print, (1, x)))
    yield "instance as argument", Returns((print, (Plain(a=x),)))
    yield "state", Returns((Plain, (), Plain(a=x)))
    yield "state setter", Returns((Plain, (), 1, None, None, BrokenCallable()))
    yield "state with a setter", Returns((Plain, (), x, None, None, print))
    yield "items", Returns(lambda: (list, (), None, iter([1, 2, x])))
    yield "pairs", Returns(lambda: (dict, (), None, None, iter([(1, 2), ("k", x)])))
    yield "key of pairs", Returns(lambda: (dict, (), None, None, iter([(1, 2), (x, 1)])))
    yield "not a pair", Returns(lambda: (dict, (), None, None, iter([(1, 2), 3])))
    yield "failing items", Returns(lambda: (list, (), None, failing()))
    yield "newobj", Returns((copyreg.__newobj__, (Returns, 1, x)))
    yield "newobj of none", Returns((copyreg.__newobj__, ()))
    yield "newobj of another", Returns((copyreg.__newobj__, (str,)))
    yield "newobj of no class", Returns((copyreg.__newobj__, (5,)))
    yield "newobj_ex", Returns(new_ex(Returns, (1, x), {}))
    yield "newobj_ex keywords", Returns(new_ex(Returns, (), {"k": x}))
    yield "newobj_ex of too few", Returns(new_ex(Returns))
    yield "newobj_ex of no class", Returns(new_ex(5, (), {}))
    yield "newobj_ex without tuple", Returns(new_ex(Returns, [], {}))
    yield "newobj_ex without dict", Returns(new_ex(Returns, (), []))
    yield "reduce to a list", [Returns([])]
    yield "reduce to too little", [Returns((print,))]
    yield "reduce to no call", [Returns((5, ()))]
    yield "reduce to no items", [Returns((list, (), None, 5))]
    yield "reduce to no pairs", [Returns((list, (), None, None, 5))]
    yield "reduce to no setter", [Returns((list, (), None, None, None, 5))]
    yield "reduce to a name", [Returns("no_such_name")]
    yield "reduce to a path", [Returns("Plain.no_such.name")]
    yield "local", {"k": lambda: 0}
    yield "bytes before", [b"bytes", bytearray(b"more"), x]


def failing():
    yield 1
    raise KeyError("failing")


class Items(list):
    pass


@pytest.mark.skipif(not STOCK_NOTES, reason="the standard library makes notes from 3.14 on")
@pytest.mark.parametrize(
    ("name", "obj"), [pytest.param(*case, id=case[0]) for case in broken_graphs()]
)
def test_the_pickle_face_makes_the_standard_librarys_notes(name, obj, protocol):
    from ferropickle.compat import pickle as compat

    def outcome(dumps):
        try:
            return len(dumps(obj, protocol))
        except Exception as exc:
            context = type(exc.__context__), str(exc.__context__)
            return type(exc), str(exc), getattr(exc, "__notes__", None), context

    assert outcome(compat.dumps) == outcome(pickle.dumps)


class OwnError(Exception):
    def __init__(self, code, *, detail):
        super().__init__(code)
        self.detail = detail


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnError(5, detail="x"),
        lambda: KeyError("k"),
        lambda: TypeError("mine"),
        lambda: pickle.PicklingError("mine"),
        lambda: StopIteration(1),
        lambda: MemoryError(),
        lambda: RecursionError("mine"),
    ],
)
def test_user_exceptions_keep_type_identity_arguments_and_get_a_note(make):
    exc = make()
    args, text = exc.args, str(exc)
    got = raised(fp.dumps, {"a": [0, Raises(exc)]})
    assert got is exc
    assert got.args == args
    assert str(got) == text
    assert got.__traceback__ is not None
    if NOTES:
        assert sum("obj['a'][1]" in note for note in got.__notes__) == 1


def test_user_exceptions_in_every_hook_get_a_note():
    def fail(self, *args):
        raise exc

    for name in ("__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"):
        exc = ZeroDivisionError(name)
        cls = type("Own", (), {name: fail, "__module__": __name__})
        got = raised(fp.dumps, [[], cls()], 2)
        assert got is exc
        if NOTES:
            assert any("obj[1]" in note for note in got.__notes__), name


def test_exits_and_interrupts_pass():
    for exc in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        with pytest.raises(type(exc)) as caught:
            fp.dumps([Raises(exc)])
        assert caught.value is exc


def test_no_note_is_left_on_an_exception_that_was_pickled():
    exc = ValueError("payload")
    back = fp.loads(fp.dumps([exc]))
    assert not hasattr(exc, "__notes__")
    assert not hasattr(back[0], "__notes__")


BROKEN = [
    (b"\x80\x04K\x01\xff.", 4, "ff"),
    (b"\x80\x04h\x07.", 2, "BINGET"),
    (b"\x80\x04K\x01j\x00\x01\x00\x00.", 4, "LONG_BINGET"),
    (b"g12\n.", 0, "GET"),
    (b"\x80\x04K\x01\x85\x85t.", 6, "TUPLE"),
    (b"\x80\x04K\x01a.", 4, "APPEND"),
    (b"\x80\x05\x97.", 2, "NEXT_BUFFER"),
    (b"\x80\x04K\x01K\x02\x93.", 6, "STACK_GLOBAL"),
    (b"\x80\x04K\x01Q.", 4, "BINPERSID"),
    (b"\x80\x05K\x01\x98.", 4, "READONLY_BUFFER"),
]


@pytest.mark.parametrize(("data", "offset", "opcode"), BROKEN, ids=[b[2] for b in BROKEN])
@pytest.mark.parametrize("way", ["loads", "load", "Unpickler"])
def test_load_errors_name_offset_and_opcode(data, offset, opcode, way):
    call = {
        "loads": lambda: fp.loads(data),
        "load": lambda: fp.load(io.BytesIO(data)),
        "Unpickler": lambda: fp.Unpickler(io.BytesIO(data)).load(),
    }[way]
    exc = raised(call)
    text = " ".join([str(exc), *getattr(exc, "__notes__", ())])
    assert type(exc) in (pickle.UnpicklingError, TypeError)
    assert re.search(rf"\b{offset}\b", text), text
    assert opcode in text, text


def test_truncation_names_the_offset():
    data = fp.dumps(["some text", 1.5, b"bytes"])
    for length in range(3, len(data)):
        exc = raised(fp.loads, data[:length])
        if type(exc) is pickle.UnpicklingError:
            assert re.search(r"\bbyte \d+|\boffset \d+", str(exc)), str(exc)
        else:
            assert type(exc) is EOFError


def test_offsets_count_from_the_begin_of_each_pickle_or_of_the_file():
    good, bad = fp.dumps([1]), b"\x80\x04K\x01\xff."
    unpickler = fp.Unpickler(io.BytesIO(good + bad))
    unpickler.load()
    text = str(raised(unpickler.load))
    assert re.search(rf"\b(4|{len(good) + 4})\b", text), text


@pytest.mark.parametrize(
    ("obj", "opcode"),
    [
        (lambda: Returns((shapes.fail_when_loaded, (1,))), "REDUCE"),
        (lambda: shapes.FailsInSetstate(), "BUILD"),
    ],
)
def test_exceptions_of_reconstructors_keep_type_and_get_a_note(obj, opcode):
    data = fp.dumps(["before", obj()])
    exc = raised(fp.loads, data)
    assert type(exc) is ZeroDivisionError
    assert str(exc).startswith("raised by ")
    if NOTES:
        (note,) = exc.__notes__
        assert opcode in note
        assert re.search(r"\b\d+\b", note), note


def test_exceptions_of_imports_keep_type_and_get_a_note():
    for data, kind in (
        (b"\x80\x04cno_such_module_anywhere\nname\n.", ModuleNotFoundError),
        (b"\x80\x04chelpers.shapes\nNoSuchName\n.", AttributeError),
    ):
        exc = raised(fp.loads, data)
        assert type(exc) is kind
        if NOTES:
            (note,) = exc.__notes__
            assert "GLOBAL" in note
            assert re.search(r"\b2\b", note), note


def test_errors_do_not_keep_the_graph_alive():
    import gc
    import weakref

    obj = Plain(lock=REFUSED)
    reference = weakref.ref(obj)
    exc = raised(fp.dumps, [obj])
    text = str(exc)
    del obj
    exc.__traceback__ = None
    gc.collect()
    assert reference() is None
    assert text.startswith("obj[0].lock")
