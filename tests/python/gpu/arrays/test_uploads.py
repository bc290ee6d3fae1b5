"""Elements of many arrays go to a device together; what could look at them sees them."""

import datetime
import decimal
import fractions
import io
import ipaddress
import pathlib
import types
import uuid

import numpy as np
import pytest

import ferropickle as fp
from helpers import stand_ins
from helpers.cuda import on_driver
from helpers.producers import Placed, host

MANY = 1000
DEVICE = fp.Policy(device="device")
ROUTES = {
    "loads": (fp.dumps, fp.loads),
    "load": (fp.dumps, lambda data: fp.load(io.BytesIO(data))),
    "Unpickler": (fp.dumps, lambda data: fp.Unpickler(io.BytesIO(data)).load()),
    "unpack": (fp.pack, fp.unpack),
    "bytes": (lambda obj: fp.pack(obj).to_bytes(), fp.unpack),
    "bytes for a device": (lambda obj: fp.pack(obj, policy=DEVICE).to_bytes(), fp.unpack),
}


def rows(count=MANY, width=1024):
    return np.arange(count * width, dtype="<f4").reshape(count, width)


def maker(d, library):
    """A function that makes an array of a library; None: of no library."""
    if library is None:
        return lambda array: Placed(d, array).produce()
    module = getattr(stand_ins, library)(d)
    return module.array if library == "cupy" else lambda array: module.Tensor.of(d, array)


def elements(array):
    return host(array.produced() if hasattr(array, "produced") else array)


def few_copies(d, load, bound=3):
    """What a load gives, which may make few transfers and wait for few."""
    d.control("reset")
    found = load()
    calls = d.report()["calls"]
    counted = {
        name: count
        for name, count in calls.items()
        if "HtoD" in name or "Synchronize" in name or "Launch" in name
    }
    assert all(count <= bound for count in counted.values()), calls
    assert any("HtoD" in name for name in counted), calls
    return found


def many_arrays(d, library, routes):
    d.context()
    make, base = maker(d, library), rows()
    arrays = [make(row) for row in base]
    fp.loads(fp.dumps(arrays[:2]))  # What transfers need is made once.
    for name in routes:
        dump, load = ROUTES[name]
        data = dump(arrays)
        found = few_copies(d, lambda load=load, data=data: load(data))
        for array, row in zip(found, base):
            np.testing.assert_array_equal(elements(array), row, err_msg=name)
    assert d.violations() == []


@on_driver(hold_us=200, simulated=True)
def test_many_arrays_are_few_copies(d):
    many_arrays(d, None, ROUTES)


@on_driver(hold_us=200, simulated=True)
def test_many_arrays_of_cupy_are_few_copies(d):
    many_arrays(d, "cupy", list(ROUTES)[:-1])


@on_driver(hold_us=200, simulated=True)
def test_many_tensors_are_few_copies(d):
    many_arrays(d, "torch", list(ROUTES)[:-1])


@on_driver(simulated=True)
def test_an_array_that_is_kept_does_not_keep_all(d):
    d.context()
    make = maker(d, None)
    data = fp.dumps([make(row) for _ in range(8) for row in rows()])
    fp.loads(data)
    before = d.report()["bytes"]
    kept = fp.loads(data)[-1]
    assert len(host(kept)) == 1024
    assert d.report()["bytes"] - before < 8 << 20


class Plain:
    def __init__(self, array):
        self.array, self.when = array, datetime.datetime(2020, 1, 2)


@on_driver(hold_us=200, simulated=True)
def test_what_runs_no_code_of_the_users_does_not_part_arrays(d):
    d.context()
    for library in (None, "cupy", "torch"):
        make, base = maker(d, library), rows(200, 32)
        whole = [make(row) for row in base]
        view = (lambda array: array[2:5]) if library else (lambda array: array)
        sent = [
            {"plain": Plain(array), (1, "view"): view(array), 2.5: (array, {3, None})}
            for array in whole
        ]
        if library == "torch":
            sent = [
                {**row, "turned": row["plain"].array.view(row["plain"].array.dtype)} for row in sent
            ]
        fp.loads(fp.dumps(whole[:2]))
        data = fp.dumps(sent)
        found = few_copies(d, lambda data=data: fp.loads(data))
        for row, expected in zip(found, base):
            np.testing.assert_array_equal(elements(row["plain"].array), expected)
            part = expected[2:5] if library else expected
            np.testing.assert_array_equal(elements(row[1, "view"]), part)


@on_driver(hold_us=200, simulated=True)
def test_objects_of_the_standard_library_do_not_part_arrays(d):
    d.context()
    make, base = maker(d, None), rows(200, 32)
    made = [
        decimal.Decimal,
        lambda n: fractions.Fraction(n, 7),
        ipaddress.ip_address,
        lambda n: ipaddress.ip_network((n, 128)),
        lambda n: pathlib.Path("a", str(n)),
        lambda n: pathlib.PureWindowsPath(f"c:/{n}"),
        lambda n: uuid.UUID(int=n),
        datetime.timedelta,
        lambda n: datetime.timezone(datetime.timedelta(minutes=n)),
        lambda n: types.SimpleNamespace(a=n),
    ]
    fp.loads(fp.dumps([make(row) for row in base[:2]]))
    for other in made:
        data = fp.dumps([(make(row), other(number)) for number, row in enumerate(base)])
        found = few_copies(d, lambda data=data: fp.loads(data))
        for number, (array, value) in enumerate(found):
            np.testing.assert_array_equal(elements(array), base[number])
            assert value == other(number)


# ---- code of the user's that looks at arrays during the load -------------------------------------

SEEN = []


def look(array):
    SEEN.append(elements(array).tolist())
    return "looked"


class Called:
    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return look, (self.array,)


class WithState:
    def __init__(self, array):
        self.array = array

    def __setstate__(self, state):
        look(state["array"])


class WithSetter:
    __slots__ = ("array",)

    def __init__(self, array):
        object.__setattr__(self, "array", array)

    def __setattr__(self, name, value):
        look(value)


class WithNew:
    def __new__(cls, array):
        look(array)
        return object.__new__(cls)

    def __getnewargs__(self):
        return (self.array,)


class WithKeywords:
    def __new__(cls, *, array):
        look(array)
        return object.__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"array": self.array}


def of_new(cls):
    def make(array):
        made = object.__new__(cls)
        made.array = array
        return made

    return make


class Items(list):
    def extend(self, items):
        for item in items:
            look(item)


class Entries(dict):
    def __setitem__(self, key, value):
        look(value)


class Key:
    def __init__(self, array):
        self.array = array

    def __hash__(self):
        return hash(look(self.array))


LOOKS = {
    "call": Called,
    "state": WithState,
    "setattr": WithSetter,
    "new": of_new(WithNew),
    "new with keywords": of_new(WithKeywords),
    "items": lambda array: Items([array]),
    "entries": lambda array: Entries(key=array),
    "key": lambda array: {Key(array): 1},
    "key in a tuple": lambda array: {(1, (Key(array),)): 1},
    "set": lambda array: {Key(array)},
    "frozenset": lambda array: frozenset([Key(array)]),
}


@on_driver(hold_us=1000, simulated=True)
def test_code_that_looks_sees_the_elements(d):
    d.context()
    for library in (None, "cupy", "torch"):
        make, base = maker(d, library), rows(4, 8)
        for name, wrap in LOOKS.items():
            arrays = [make(row) for row in base]
            data = fp.dumps([arrays[0], wrap(arrays[1]), arrays[2], wrap(arrays[3])])
            SEEN.clear()
            found = fp.loads(data)
            assert SEEN == [base[1].tolist(), base[3].tolist()], (library, name)
            for index in (0, 2):
                np.testing.assert_array_equal(elements(found[index]), base[index])


@on_driver(simulated=True)
def test_persistent_ids_see_the_elements(d):
    d.context()
    make, base = maker(d, "cupy"), rows(1, 8)

    class Pickler(fp.Pickler):
        def persistent_id(self, obj):
            return ("id", obj.array) if type(obj) is Plain else None

    class Unpickler(fp.Unpickler):
        def persistent_load(self, pid):
            return elements(pid[1])

    file = io.BytesIO()
    Pickler(file).dump(Plain(make(base[0])))
    file.seek(0)
    np.testing.assert_array_equal(Unpickler(file).load(), base[0])


class Ends:
    def __init__(self, array):
        self.array = array

    def __del__(self):
        look(self.array)


@on_driver(simulated=True)
def test_what_is_thrown_away_sees_the_elements(d):
    d.context()
    make, base = maker(d, "cupy"), rows(1, 8)
    data = fp.dumps(Ends(make(base[0])))
    assert data[2:3] == b"\x95", "a frame, whose length has to go"
    thrown_away = data[:2] + data[11:-1] + b"0N."
    SEEN.clear()
    assert fp.loads(thrown_away) is None
    assert SEEN == [base[0].tolist()]


KEPT = []


class Keeps:
    def __setstate__(self, state):
        KEPT.append(state["items"])


@on_driver(simulated=True)
def test_what_is_kept_of_a_load_that_fails_has_its_elements(d):
    d.context()
    make, base = maker(d, "cupy"), rows(1, 8)
    keeps, items = Keeps(), []
    keeps.items = items
    items += [keeps, make(base[0]), *range(2000)]
    data = fp.dumps(items)
    with pytest.raises(fp.UnpicklingError):
        fp.loads(data[:-1] + b"\xff")
    np.testing.assert_array_equal(elements(KEPT.pop()[1]), base[0])


# ---- errors --------------------------------------------------------------------------------------


@on_driver(simulated=True)
def test_an_upload_that_fails_names_the_array(d):
    d.context()
    make = maker(d, None)
    small, large = make(np.zeros(100)), make(np.zeros(8 << 20, np.uint8))
    data = fp.dumps({"model": Plain([small, large])})
    fp.loads(fp.dumps(small))
    d.control(f"memory {d.report()['bytes'] + (6 << 20)}")
    with pytest.raises(fp.DeviceError, match=r"^obj\['model'\]\.array\[1\]: .*memory"):
        fp.loads(data)


@on_driver(simulated=True)
def test_an_array_of_a_library_that_cannot_be_filled_is_named(d):
    d.context()
    make = maker(d, "cupy")
    data = fp.dumps({"model": [1, make(np.zeros(100))]})
    fp.loads(data)
    import cupy

    cupy.stream = d.stream(1)
    d.cuStreamBeginCapture_v2(cupy.stream, 2)
    with pytest.raises(fp.DeviceError, match=r"^obj\['model'\]\[1\]: .*captured into a graph"):
        fp.loads(data)
