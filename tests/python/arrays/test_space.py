"""Every dtype, order, stride and flag of NumPy, through every route, beside NumPy itself.

What belongs here: single arrays whose elements are plain bytes. Arrays that share memory:
test_views.py; arrays of objects: test_objects.py.
"""

import pickle

import pytest

from helpers.routes import WRITTEN_BY_STOCK, WRITTEN_BY_US

np = pytest.importorskip("numpy", reason="NumPy is not installed")
st = pytest.importorskip("hypothesis.strategies", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

PLAIN = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?")
    | hnp.complex_number_dtypes(endianness="?")
    | hnp.datetime64_dtypes(endianness="?")
    | hnp.timedelta64_dtypes(endianness="?")
    | hnp.byte_string_dtypes(endianness="?", min_len=1)
    | hnp.unicode_string_dtypes(endianness="?", min_len=1)
    | st.sampled_from([np.dtype("V5"), np.dtype("g"), np.dtype("G"), np.dtype("V1")])
)
RECORDS = hnp.array_dtypes(PLAIN, max_size=4, allow_subarrays=True)
PADDED = st.builds(
    lambda kinds: np.dtype([(f"f{i}", kind) for i, kind in enumerate(kinds)], align=True),
    st.lists(hnp.integer_dtypes() | hnp.floating_dtypes(), min_size=1, max_size=4),
)


@st.composite
def arrays(draw):
    """An array whose bytes are random, and a view of it that is anything but plain."""
    dtype = draw(PLAIN | RECORDS | PADDED)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    size = int(np.prod(shape)) * dtype.itemsize
    seed = draw(st.integers(0, 2**32 - 1))
    data = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    if dtype.kind == "b":
        data %= 2
    elif dtype.kind == "U":  # code points that there are
        points = np.random.default_rng(seed).integers(0, 0x10FFFF, size // 4, dtype=np.uint32)
        points[(points >= 0xD800) & (points < 0xE000)] = 65
        data = points.astype(np.dtype(np.uint32).newbyteorder(dtype.byteorder)).view(np.uint8)
    array = np.frombuffer(bytearray(data.tobytes()), dtype=dtype).reshape(shape)
    if any(kind.kind in "Ub" for kind in _leaves(dtype)) and dtype.names:
        array = np.zeros(shape, dtype)
    array = np.array(array, order=draw(st.sampled_from("CF")))
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    if draw(st.booleans()) and array.ndim:
        array = array[draw(hnp.basic_indices(array.shape, max_dims=5, allow_newaxis=True))]
        array = np.asarray(array, dtype=dtype)
    if draw(st.integers(0, 4)) == 0:
        array = np.broadcast_to(array, (draw(st.integers(0, 4)), *array.shape))
    if draw(st.integers(0, 4)) == 0:
        array.flags.writeable = False
    return array


def _leaves(dtype):
    if dtype.subdtype:
        yield from _leaves(dtype.subdtype[0])
    elif dtype.names:
        for name in dtype.names:
            yield from _leaves(dtype.fields[name][0])
    else:
        yield dtype


def assert_same(array, back):
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert repr(back.dtype) == repr(array.dtype)
    assert back.shape == array.shape
    assert list(_bytes(back)) == list(_bytes(array))


def _bytes(array):
    """The elements' bytes: of records those of their fields, without what is between them."""
    if array.dtype.names:
        for name in array.dtype.names:
            yield from _bytes(array[name])
    else:
        yield array.tobytes()


MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@pytest.mark.parametrize("route", WRITTEN_BY_US)
@MANY
@given(array=arrays())
def test_every_array_arrives(route, array):
    assert_same(array, WRITTEN_BY_US[route](array))


@pytest.mark.parametrize("route", WRITTEN_BY_US)
@MANY
@given(array=arrays())
def test_flags_and_size_are_kept(route, array):
    back = WRITTEN_BY_US[route](array)
    if array.size:
        assert back.flags.writeable == array.flags.writeable
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert back.flags.c_contiguous == array.flags.c_contiguous
        assert back.flags.f_contiguous == array.flags.f_contiguous
    # What a broadcast array needs, not what it shows.
    assert _memory(back) <= max(_memory(array), 1)


@pytest.mark.parametrize("route", WRITTEN_BY_STOCK)
@MANY
@given(array=arrays())
def test_arrays_of_the_standard_library_are_as_it_has_them(route, array):
    ours = WRITTEN_BY_STOCK[route](array)
    theirs = READ_BY_ITSELF[route](array)
    assert_same(theirs, ours)
    assert ours.strides == theirs.strides
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED"):
        assert ours.flags[flag] == theirs.flags[flag]


def _memory(array):
    if not array.size:
        return 0
    distinct = [n for n, step in zip(array.shape, array.strides, strict=True) if step]
    return int(np.prod(distinct, dtype=np.int64)) * array.itemsize


def _stock(array):
    return pickle.loads(pickle.dumps(array, 5))


def _stock_out_of_band(array):
    buffers = []
    stream = pickle.dumps(array, 5, buffer_callback=buffers.append)
    given = []
    for buffer in buffers:
        with memoryview(buffer) as view:
            given.append(bytes(view) if view.readonly else bytearray(view))
    return pickle.loads(stream, buffers=given)


READ_BY_ITSELF = {
    "written by stock": _stock,
    "out of band, written by stock": _stock_out_of_band,
}
