"""The hooks of picklers and unpicklers, and the order in which they are asked.

What belongs here: reducer_override, persistent_id and persistent_load, dispatch_table, find_class,
extension codes as seen by them. What a reduce value may be: test_reduce.py.
"""

import collections
import copyreg
import io
import pickle

import pytest

import ferropickle as fp
from helpers.crossing import raised
from helpers.shapes import Outer, Plain, Record, plain_function
from helpers.streams import opcodes


def dump(pickler_class, obj, *args, **kwargs):
    out = io.BytesIO()
    pickler_class(out, *args, **kwargs).dump(obj)
    return out.getvalue()


def nested():
    shared = Plain(name="inner")
    return [1, "text", (2.5, b"bytes"), {"key": shared}, {3}, frozenset([4]), shared, Record("r")]


@pytest.mark.parametrize("number", range(6))
def test_persistent_id_is_asked_for_the_same_objects_in_the_same_order(number):
    def make(base):
        class Asking(base):
            def persistent_id(self, obj):
                asked.append(repr(obj) if not isinstance(obj, Plain) else "Plain")

        return Asking

    asked = []
    obj = nested()
    dump(make(pickle.Pickler), obj, number)
    expected, asked = asked, []
    dump(make(fp.Pickler), obj, number)
    assert asked == expected


@pytest.mark.parametrize("number", range(6))
def test_reducer_override_is_asked_for_the_same_objects_in_the_same_order(number):
    def make(base):
        class Asking(base):
            def reducer_override(self, obj):
                asked.append(obj if isinstance(obj, type) else type(obj))
                return NotImplemented

        return Asking

    asked = []
    obj = [*nested(), plain_function, Outer.Inner, len, ..., range(3), 1j, bytearray(b"x")]
    dump(make(pickle.Pickler), obj, number)
    expected, asked = asked, []
    dump(make(fp.Pickler), obj, number)
    assert asked == expected


ANSWERS = {
    "a name": lambda obj: "id:" + obj if type(obj) is str else None,
    "a tuple with a name": lambda obj: (1, ["id:" + obj]) if is_name(obj) else None,
    "getattr": lambda obj: "id:<getattr>" if obj is getattr else None,
}


def is_name(obj):
    return type(obj) is str and not obj.startswith("id:")


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("value", [len, Outer.Inner, Outer.Inner.Core, str.join], ids=repr)
def test_persistent_ids_of_the_parts_of_a_name(value, number, answer):
    def make(base):
        class Answering(base):
            def persistent_id(self, obj):
                return ANSWERS[answer](obj)

        return Answering

    class Loading(pickle.Unpickler):
        def persistent_load(self, pid):
            name = (pid if type(pid) is str else pid[1][0])[3:]
            return getattr if name == "<getattr>" else name

    data = dump(make(fp.Pickler), [value, value], number)
    assert Loading(io.BytesIO(data)).load() == [value, value]
    if number < 3:
        assert data == dump(make(pickle.Pickler), [value, value], number)


@pytest.mark.parametrize("number", range(6))
def test_reducer_override_of_the_getattr_in_a_nested_name(number):
    def make(base):
        class Answering(base):
            def reducer_override(self, obj):
                return (eval, ("getattr",)) if obj is getattr else NotImplemented

        return Answering

    data = dump(make(fp.Pickler), [Outer.Inner.Core, Outer.Inner()], number)
    core, inner = pickle.loads(data)
    assert core is Outer.Inner.Core
    assert type(inner) is Outer.Inner
    if number < 3:
        assert data == dump(make(pickle.Pickler), [Outer.Inner.Core, Outer.Inner()], number)


class Hooked:
    """Leaves its mark when a hook of the class itself is asked."""

    def __reduce_ex__(self, protocol):
        return str.upper, ("__reduce_ex__",)


ORDER = ["persistent_id", "reducer_override", "dispatch_table", "copyreg", "__reduce_ex__"]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_order_of_hooks(first, protocol):
    active = ORDER[first:]

    class Everything(fp.Pickler):
        if "persistent_id" in active:

            def persistent_id(self, obj):
                return "PERSISTENT_ID" if isinstance(obj, Hooked) else None

        if "reducer_override" in active:

            def reducer_override(self, obj):
                if isinstance(obj, Hooked):
                    return str.upper, ("reducer_override",)
                return NotImplemented

        if "dispatch_table" in active:
            dispatch_table = {Hooked: lambda obj: (str.upper, ("dispatch_table",))}

    class Loading(fp.Unpickler):
        def persistent_load(self, pid):
            return pid

    if "copyreg" in active:
        copyreg.pickle(Hooked, lambda obj: (str.upper, ("copyreg",)))
    try:
        data = dump(Everything, [Hooked()], protocol)
    finally:
        copyreg.dispatch_table.pop(Hooked, None)
    assert Loading(io.BytesIO(data)).load() == [ORDER[first].upper()]


def test_a_dispatch_table_replaces_copyregs():
    """With a table of its own, a pickler does not look into the global one."""

    class Own(fp.Pickler):
        dispatch_table = {}

    copyreg.pickle(Hooked, lambda obj: (str.upper, ("copyreg",)))
    try:
        assert fp.loads(dump(Own, Hooked())) == "__REDUCE_EX__"
        assert fp.loads(dump(fp.Pickler, Hooked())) == "COPYREG"
    finally:
        del copyreg.dispatch_table[Hooked]


@pytest.mark.parametrize(
    "make", [dict, collections.OrderedDict, lambda d: collections.ChainMap({}, d)]
)
def test_dispatch_table_of_an_instance_and_of_a_class(make):
    table = make({Hooked: lambda obj: (str.upper, ("table",))})
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    pickler.dispatch_table = table
    assert pickler.dispatch_table is table
    pickler.dump([Hooked()])
    assert fp.loads(out.getvalue()) == ["TABLE"]

    class OfTheClass(fp.Pickler):
        dispatch_table = table

    assert fp.loads(dump(OfTheClass, [Hooked()])) == ["TABLE"]


def test_dispatch_table_is_any_object_with_getitem():
    class Table:
        def __getitem__(self, kind):
            asked.append(kind)
            raise KeyError(kind)

    asked = []
    pickler = fp.Pickler(io.BytesIO())
    pickler.dispatch_table = Table()
    pickler.dump([Hooked(), 1, "text"])
    assert asked[0] is Hooked
    assert int not in asked
    assert str not in asked


def test_dispatch_table_that_raises():
    exc = ZeroDivisionError("mine")

    class Table:
        def __getitem__(self, kind):
            raise exc

    pickler = fp.Pickler(io.BytesIO())
    pickler.dispatch_table = Table()
    assert raised(pickler.dump, [Hooked()]) is exc


def test_deleting_the_dispatch_table():
    pickler = fp.Pickler(io.BytesIO())
    with pytest.raises(AttributeError):
        pickler.dispatch_table
    pickler.dispatch_table = {}
    del pickler.dispatch_table
    with pytest.raises(AttributeError):
        pickler.dispatch_table


def test_reducer_override_may_be_set_on_the_instance():
    class Own(fp.Pickler):
        pass

    out = io.BytesIO()
    pickler = Own(out)
    pickler.reducer_override = lambda obj: (
        (str.upper, ("override",)) if isinstance(obj, Hooked) else NotImplemented
    )
    pickler.dump([Hooked()])
    assert fp.loads(out.getvalue()) == ["OVERRIDE"]


def test_reducer_override_that_raises_or_returns_nonsense():
    exc = ZeroDivisionError("mine")

    class Raising(fp.Pickler):
        def reducer_override(self, obj):
            raise exc

    assert raised(dump, Raising, [Hooked()]) is exc
    for nonsense in (None, 5, [str, ()], (str,)):

        class Wrong(fp.Pickler):
            def reducer_override(self, obj):
                return nonsense

        class Theirs(pickle.Pickler):
            def reducer_override(self, obj):
                return nonsense

        theirs = raised(dump, Theirs, [Hooked()])
        assert type(raised(dump, Wrong, [Hooked()])) is type(theirs)


@pytest.mark.parametrize("pid", ["text", 0, "", (1, "two"), ["list"], False], ids=repr)
@pytest.mark.parametrize("number", range(1, 6))
def test_persistent_objects(pid, number):
    target = Plain()

    class Saving(fp.Pickler):
        def persistent_id(self, obj):
            return pid if obj is target else None

    class Loading(fp.Unpickler):
        def persistent_load(self, given):
            assert given == pid
            assert type(given) is type(pid)
            return target

    data = dump(Saving, [target, {"again": target}, (target,)], number)
    back = Loading(io.BytesIO(data)).load()
    assert back[0] is back[1]["again"] is back[2][0] is target
    assert "BINPERSID" in opcodes(data)


def test_persistent_id_of_protocol_zero():
    target = Plain()

    class Saving(fp.Pickler):
        def persistent_id(self, obj):
            return pid if obj is target else None

    for pid in ("text", 5, 1.5):
        data = dump(Saving, [target], 0)
        assert data == b"(lp0\nP" + str(pid).encode() + b"\na."
    pid = "é"
    with pytest.raises(pickle.PicklingError):
        dump(Saving, [target], 0)


def test_persistent_load_is_needed():
    for data in (b"Ppid\n.", b"\x80\x04\x8c\x03pidQ."):
        with pytest.raises(pickle.UnpicklingError, match="persistent"):
            fp.loads(data)


def test_persistent_hooks_of_static_and_class_methods():
    target = Plain()

    class Saving(fp.Pickler):
        @staticmethod
        def persistent_id(obj):
            return "pid" if obj is target else None

    class Loading(fp.Unpickler):
        @classmethod
        def persistent_load(cls, pid):
            return cls

    assert Loading(io.BytesIO(dump(Saving, target))).load() is Loading


def test_persistent_hooks_set_on_the_instance():
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    pickler.persistent_id = lambda obj: "pid" if isinstance(obj, Plain) else None
    pickler.dump([Plain()])
    unpickler = fp.Unpickler(io.BytesIO(out.getvalue()))
    unpickler.persistent_load = lambda pid: pid
    assert unpickler.load() == ["pid"]


def test_persistent_hooks_that_raise():
    exc = ZeroDivisionError("mine")

    def hook(self, obj):
        raise exc

    saving = type("Saving", (fp.Pickler,), {"persistent_id": hook})
    loading = type("Loading", (fp.Unpickler,), {"persistent_load": hook})
    assert raised(dump, saving, [1]) is exc
    assert raised(loading(io.BytesIO(b"Ppid\n.")).load) is exc


def test_find_class_sees_every_global(protocol):
    class Finding(fp.Unpickler):
        def find_class(self, module, name):
            found.append((module, name))
            return super().find_class(module, name)

    class Theirs(pickle.Unpickler):
        def find_class(self, module, name):
            found.append((module, name))
            return super().find_class(module, name)

    found = []
    data = fp.dumps([Plain(), Outer.Inner, len, Record("r"), {5}], protocol)
    Theirs(io.BytesIO(data)).load()
    expected, found = found, []
    Finding(io.BytesIO(data)).load()
    assert found == expected
    assert ("helpers.shapes", "Plain") in found


def test_find_class_decides():
    class Renaming(fp.Unpickler):
        def find_class(self, module, name):
            return Record if name == "Plain" else pytest.fail(name)

    class Refusing(fp.Unpickler):
        def find_class(self, module, name):
            raise pickle.UnpicklingError(f"{module}.{name} is forbidden")

    data = fp.dumps(Plain(name="x"))
    assert type(Renaming(io.BytesIO(data)).load()) is Record
    with pytest.raises(pickle.UnpicklingError, match=r"helpers\.shapes\.Plain is forbidden"):
        Refusing(io.BytesIO(data)).load()


def test_find_class_itself():
    unpickler = fp.Unpickler(io.BytesIO())
    assert unpickler.find_class("helpers.shapes", "Plain") is Plain
    with pytest.raises(AttributeError):
        unpickler.find_class("helpers.shapes", "Nothing")
    with pytest.raises(ModuleNotFoundError):
        unpickler.find_class("no_such_module_anywhere", "Nothing")
    with pytest.raises(TypeError):
        unpickler.find_class("helpers.shapes")


def test_find_class_sees_extension_codes():
    class Finding(fp.Unpickler):
        def find_class(self, module, name):
            found.append((module, name))
            return super().find_class(module, name)

    found = []
    copyreg.add_extension("helpers.shapes", "Plain", 200)
    try:
        data = fp.dumps(Plain, 2)
        assert Finding(io.BytesIO(data)).load() is Plain
    finally:
        copyreg.remove_extension("helpers.shapes", "Plain", 200)
        copyreg.clear_extension_cache()
    assert found == [("helpers.shapes", "Plain")]


def test_hooks_of_a_pickler_hold_for_nested_objects_only_there():
    class Replacing(fp.Pickler):
        def reducer_override(self, obj):
            if isinstance(obj, Hooked):
                fp.dumps(obj)  # the plain function does not know of this class
                return str.upper, ("outer",)
            return NotImplemented

    assert fp.loads(dump(Replacing, [Hooked()])) == ["OUTER"]
