"""Arrays on devices arrive with their elements, shape, strides and sharing, whatever the route."""

import io
import pickle
import pickletools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import Placed, host
from helpers.routes import OURS


def in_band(obj):
    return fp.loads(fp.dumps(obj))


def out_of_band(obj):
    buffers = []
    return fp.loads(fp.dumps(obj, buffer_callback=buffers.append), buffers=buffers)


def by_callback(obj):
    """A callback that is asked for each buffer, and looks at it."""
    buffers = []

    def take(buffer):
        buffers.append(bytes(buffer))

    stream = fp.dumps(obj, buffer_callback=take)
    return fp.loads(stream, buffers=[bytearray(buffer) for buffer in buffers])


def by_refusing_callback(obj):
    """A callback that leaves every buffer in the stream."""
    return fp.loads(fp.dumps(obj, buffer_callback=lambda buffer: True))


def parcel(obj):
    return fp.unpack(fp.pack(obj))


def parcel_as_bytes(obj):
    return fp.unpack(fp.pack(obj).to_bytes())


def stock_loads(obj):
    return pickle.loads(fp.dumps(obj))


def protocol_2(obj):
    return fp.loads(fp.dumps(obj, 2))


def protocol_4(obj):
    return fp.loads(fp.dumps(obj, 4))


ROUTES = [
    in_band,
    out_of_band,
    by_callback,
    by_refusing_callback,
    parcel,
    parcel_as_bytes,
    OURS["file"],
    OURS["pickler"],
    stock_loads,
    protocol_2,
    protocol_4,
]

RECORD = np.dtype([("a", "<i4"), ("b", "<f8"), ("c", "u1", (3,))])
NAMES = ("u1", "?", "<i2", "<f4", "<f8", "<c16", ">i4", "<M8[ns]")
DTYPES = [*(np.dtype(name) for name in NAMES), RECORD]


def filled(shape, dtype):
    """Bytes that differ from element to element."""
    count = int(np.prod(shape)) * dtype.itemsize
    data = (np.arange(count, dtype=np.uint32) * 7 % 251).astype(np.uint8)
    if dtype == np.dtype("?"):
        data %= 2
    return data.view(dtype).reshape(shape) if count else np.empty(shape, dtype)


@st.composite
def views(draw, base):
    """A view of an array: cut, turned, run backwards, repeated."""
    view = base
    for axis in range(base.ndim):
        start = draw(st.integers(0, base.shape[axis]))
        stop = draw(st.integers(start, base.shape[axis]))
        step = draw(st.sampled_from([1, 1, 2, -1, -3]))
        index = [slice(None)] * base.ndim
        if step > 0:
            index[axis] = slice(start, stop, step)
        else:
            index[axis] = slice(stop - 1 if stop else None, start, step)
        view = view[tuple(index)]
    view = view.transpose(draw(st.permutations(range(view.ndim))))
    if draw(st.booleans()):
        view = np.broadcast_to(view, (draw(st.integers(1, 3)), *view.shape))
    if view.ndim and draw(st.booleans()):
        view = view[..., 0] if view.shape[-1] else view
    return view


def equal(found, expected):
    found = host(found)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tobytes() == expected.tobytes()


def kept_strides(found, expected):
    """Whether strides are as they were, for arrays of one block and repeated ones."""
    one_block = expected.flags.c_contiguous or expected.flags.f_contiguous
    if expected.size and one_block:
        assert found.strides == expected.strides
    if expected.size:
        zeros = [step == 0 for step, n in zip(expected.strides, expected.shape) if n > 1]
        assert [s == 0 for s, n in zip(found.strides, expected.shape) if n > 1] == zeros


@on_driver(hold_us=200)
def test_any_array_by_any_route(d):
    d.context()

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def check(data):
        dtype = data.draw(st.sampled_from(DTYPES))
        shape = tuple(data.draw(st.lists(st.integers(0, 5), min_size=0, max_size=3)))
        base = filled(shape, dtype)
        several = [data.draw(views(base)) for _ in range(data.draw(st.integers(1, 3)))]
        read_only = data.draw(st.booleans())
        placed = Placed(d, base)
        arrays = [placed.produce(view, read_only=read_only) for view in several]
        route = data.draw(st.sampled_from(ROUTES))
        arrived = route({"arrays": arrays, "again": arrays[0]})
        assert arrived["again"] is arrived["arrays"][0]
        for found, expected in zip(arrived["arrays"], several):
            assert type(found) is fp.DeviceArray
            equal(found, expected)
            kept_strides(found, expected)
            assert found.get().tobytes() == expected.tobytes()
            assert found.__cuda_array_interface__["data"][1] == read_only
        d.cuMemFree_v2(placed.address)

    check()
    if hasattr(d.library, "cudasim_report"):
        assert d.violations() == []


@on_driver()
def test_views_of_one_base_stay_views(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    placed = Placed(d, base)
    sent = [placed.produce(view) for view in (base, base[2:], base[::-2, 1], base.T)]
    for route in ROUTES:
        whole, *parts = route(sent)
        first = whole.__cuda_array_interface__["data"][0]
        offsets = [part.__cuda_array_interface__["data"][0] - first for part in parts]
        expected = [a.__cuda_array_interface__["data"][0] - placed.address for a in sent[1:]]
        assert offsets == expected, route.__name__


# Where a dump can begin again: no callback has been asked, and nothing is kept from before.
ONCE = (by_callback, by_refusing_callback, OURS["pickler"], protocol_2)
AGAIN = [route for route in ROUTES if route not in ONCE]


@on_driver(hold_us=200)
def test_views_may_come_before_what_they_are_views_of(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    cases = [
        (base[2:], base, base[::-2, 1]),
        (base[::-2, 1], base.T, base[2:], base),
        # Nobody has all of the memory.
        (base[:4], base[2:]),
        (base[:, :2], base[:, 1:]),
    ]
    for views in cases:
        placed = Placed(d, base)
        sent = [placed.produce(view) for view in views]
        expected = address_of(sent[1]) - address_of(sent[0])
        for route in AGAIN:
            found = route({"arrays": sent, "again": sent[0]})
            arrays = found["arrays"]
            assert found["again"] is arrays[0]
            assert address_of(arrays[1]) - address_of(arrays[0]) == expected, route.__name__
            for array, view in zip(arrays, views):
                equal(array, view)
                assert array.strides == view.strides
    if hasattr(d.library, "cudasim_report"):
        assert d.violations() == []


class Counted:
    """An object that counts how often it is reduced."""

    reduced = 0

    def __reduce__(self):
        Counted.reduced += 1
        return Counted, ()


class Items(list):
    """A list whose items can be asked for once."""

    def __reduce__(self):
        return Items, (), None, iter(self)


@on_driver()
def test_a_dump_that_begins_again_asks_no_object_twice(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    placed = Placed(d, base)
    first, second = placed.produce(base[2:]), placed.produce(base)
    fp.dumps(second)
    for count in (0, 1, 500, 990):
        for route in (in_band, OURS["file"]):
            Counted.reduced = 0
            sent = [*(Counted() for _ in range(count)), Items([1, 2]), first, Counted(), second]
            *_, items, view, _, whole = route(sent)
            assert address_of(view) - address_of(whole) == 32
            assert (Counted.reduced, items) == (count + 1, [1, 2])


@on_driver()
def test_the_first_array_of_a_process_may_be_a_view(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    placed = Placed(d, base)
    view, whole = in_band([placed.produce(base[2:]), placed.produce(base)])
    assert address_of(view) - address_of(whole) == 32


@on_driver()
def test_a_dump_that_has_met_many_objects_and_no_array_goes_on(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    placed = Placed(d, base)
    fp.dumps(placed.produce())
    Counted.reduced = 0
    sent = [*(Counted() for _ in range(3000)), placed.produce(base[2:]), placed.produce(base)]
    *_, view, whole = in_band(sent)
    assert Counted.reduced == 3000
    equal(view, base[2:])
    equal(whole, base)


@on_driver()
def test_views_that_share_no_element_are_apart(d):
    d.context()
    base = filled((6, 4), np.dtype("<f4"))
    placed = Placed(d, base)
    left, right = in_band([placed.produce(base[:, 0]), placed.produce(base[:, 1])])
    assert address_of(right) - address_of(left) != 4
    assert (left.strides, right.strides) == ((4,), (4,))


def address_of(array):
    return array.__cuda_array_interface__["data"][0]


@on_driver()
def test_arrays_that_only_touch_are_apart(d):
    d.context()
    base = filled((8,), np.dtype("<i4"))
    placed = Placed(d, base)
    found = in_band([placed.produce(base[:4]), placed.produce(base[4:])])
    left, right = (array.__cuda_array_interface__["data"][0] for array in found)
    assert left + 16 != right


@on_driver(simulated=True)
def test_small_arrays_come_in_one_copy(d):
    d.context()
    base = filled((1000, 1024), np.dtype("<f4"))
    placed = Placed(d, base)
    arrays = [placed.produce(row) for row in base]
    fp.dumps(arrays)
    for dump in (fp.dumps, fp.pack, lambda obj: fp.dump(obj, io.BytesIO())):
        d.control("reset")
        dump(arrays)
        report = d.report()
        calls = report["calls"]
        assert calls.get("cuMemcpyDtoHAsync_v2") == 1, calls
        assert calls.get("cuLaunchKernel") == 1, calls
        assert not calls.keys() & {"cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamCreate"}, calls
    assert d.violations() == []


@on_driver()
def test_a_parcel_has_the_bytes_out_of_band(d):
    d.context()
    base = filled((1 << 16,), np.dtype("<f8"))
    packed = fp.pack({"a": Placed(d, base).produce()})
    (buffer,) = packed.buffers
    assert bytes(buffer) == base.tobytes()
    assert len(packed.stream) < 1000


@on_driver()
def test_the_stream_calls_nothing_unknown(d):
    d.context()
    base = filled((3, 2), np.dtype("<f4"))
    stream = fp.dumps(Placed(d, base).produce(base.T))
    strings, names = [], []
    for op, arg, _ in pickletools.genops(stream):
        if isinstance(arg, str) and "UNICODE" in op.name:
            strings.append(arg)
        elif op.name == "STACK_GLOBAL":
            names.append(tuple(strings[-2:]))
    assert names == [("ferropickle._device", "array")]


class Wrapper:
    """An object with an array among its attributes, whose memory it offers as well."""

    def __init__(self, array):
        self.array, self.name = array, "wrapped"

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


class Reduced:
    """An array that says itself how it is pickled."""

    interface = None

    @property
    def __cuda_array_interface__(self):
        return self.interface

    def __reduce__(self):
        return Reduced, ()


class Sometimes:
    """An object that may be on a device, and says that it is not."""

    def __init__(self, kind):
        self.kind = kind

    @property
    def __cuda_array_interface__(self):
        raise self.kind("not on a device")

    def __dlpack_device__(self):
        raise self.kind("not on a device")


@on_driver()
def test_objects_that_pickle_by_themselves_stay_what_they_are(d):
    d.context()
    base = filled((5,), np.dtype("<i4"))
    array = Placed(d, base).produce()
    wrapped = in_band(Wrapper(array))
    assert (type(wrapped), wrapped.name) == (Wrapper, "wrapped")
    equal(wrapped, base)
    reduced = Reduced()
    reduced.interface = array.__cuda_array_interface__
    assert in_band(reduced).interface is None
    for kind in (AttributeError, NotImplementedError, TypeError):
        assert in_band(Sometimes(kind)).kind is kind
