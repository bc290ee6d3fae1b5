"""NumPy scalars and arrays: same result as through the standard library, both ways.

What belongs here: arrays in band and out of band, beside the standard library's. What only
ferropickle does with them: tests/python/arrays. Skipped where NumPy is not installed.
"""

import copyreg
import pickle
import re

import pytest

import ferropickle as fp
import ferropickle.compat.pickle
from helpers.crossing import cross_as_stdlib
from helpers.graph import assert_same_graph
from helpers.streams import check_stream

np = pytest.importorskip("numpy", reason="NumPy is not installed")

CODES = ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "g", "F", "D"]
TEXT = ["S5", "U3", "V7", "M8[ns]", "m8[D]", ">i4", "<f8", ">c16", "O"]
RECORD = np.dtype([("name", "U4"), ("point", [("x", "<f8"), ("y", ">f4")]), ("pad", "V3")])


def sample(code):
    if np.dtype(code).names:
        return np.array([("ab", (1.5, 2.5), b"xyz"), ("é", (0, -0.0), b"")], dtype=code)
    if code == "O":
        return np.array([None, "text", 1], dtype=object)
    if np.dtype(code).kind in "SU":
        return np.array(["a", "bcd", ""], dtype=code)
    if np.dtype(code).kind == "V":
        return np.array([b"abc", b"", b"xyzxyzx"], dtype=code)
    return np.arange(3).astype(code)


@pytest.mark.parametrize("code", [*CODES, *TEXT, RECORD], ids=str)
def test_dtypes_arrays_and_scalars(code, protocol):
    array = sample(code)
    back = cross_as_stdlib(array, protocol)
    assert back.flags.writeable
    assert fp.loads(fp.dumps(array.dtype, protocol)) == array.dtype
    assert pickle.loads(fp.dumps(array.dtype, protocol)) == array.dtype
    scalar = array[0]
    expected = pickle.loads(pickle.dumps(scalar, protocol))
    for load, dump in ((fp.loads, fp.dumps), (pickle.loads, fp.dumps), (fp.loads, pickle.dumps)):
        again = load(dump([scalar, scalar], protocol))
        assert type(again[0]) is type(expected)
        assert repr(again[0]) == repr(expected)


LAYOUTS = {
    "empty": np.empty((0, 3)),
    "no dimensions": np.array(5),
    "c order": np.arange(24.0).reshape(2, 3, 4),
    "fortran order": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "transposed": np.arange(6).reshape(2, 3).T,
    "with gaps": np.arange(20)[::3],
    "backwards": np.arange(5)[::-1],
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "offset": np.arange(100)[50:60],
    "readonly": np.frombuffer(bytes(range(16)), dtype="<i4"),
    "masked": np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
    "record array": np.rec.array([(1, "a")], dtype=[("number", "i4"), ("text", "U1")]),
    "matrix of objects": np.array([[None, [1]], [{}, "x"]], dtype=object),
    "large": np.arange(300_000),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, protocol):
    array = LAYOUTS[name]
    expected = pickle.loads(pickle.dumps(array, protocol))
    ours = fp.dumps(array, protocol)
    check_stream(ours, protocol if protocol >= 2 else None)
    for back in (pickle.loads(ours), fp.loads(ours), fp.loads(pickle.dumps(array, protocol))):
        assert type(back) is type(array)
        if name == "masked":
            assert back.mask.tolist() == array.mask.tolist()
            back, wanted = back.data, expected.data
        else:
            # A broadcast array stays one, where the standard library writes all its elements.
            stays = name == "broadcast" and protocol == 5 and back.strides[0] == 0
            wanted = array if stays else expected
        assert_same_graph(wanted, back)
        assert back.flags.writeable == wanted.flags.writeable


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"masked", "matrix of objects"}))
def test_out_of_band(name):
    array = LAYOUTS[name]
    theirs, ours = [], []
    pickle.dumps(array, 5, buffer_callback=theirs.append)
    stream = fp.dumps(array, 5, buffer_callback=ours.append)
    if theirs:  # the standard library keeps arrays with gaps in band
        assert [bytes(item) for item in ours] == [bytes(item) for item in theirs]
    elif name == "broadcast":
        assert memoryview(ours[0]).nbytes == array[0].nbytes
    elif type(array) is np.ndarray:
        assert bytes(ours[0]) == array.tobytes()
    for load in (fp.loads, pickle.loads):
        back = load(stream, buffers=ours)
        assert back.tolist() == array.tolist()
        assert back.flags.writeable == array.flags.writeable


def test_out_of_band_array_shares_its_memory():
    array = np.arange(1000)
    buffers = []
    stream = fp.dumps({"x": array}, buffer_callback=buffers.append)
    assert len(stream) < 400
    back = fp.loads(stream, buffers=buffers)["x"]
    assert np.shares_memory(array, back)


def test_arrays_and_dtypes_keep_their_identity(protocol):
    array, kind = np.arange(3), np.dtype([("x", "i4")])
    back = cross_as_stdlib([array, array, kind, kind, np.zeros(1, kind)], protocol)
    assert back[0] is back[1]
    assert back[2] is back[3]


def test_views_of_one_array_become_two_with_the_face_of_pickle(protocol):
    array = np.arange(4)
    back = fp.compat.pickle.loads(fp.compat.pickle.dumps([array, array[1:]], protocol))
    assert not np.shares_memory(back[0], back[1])


def test_object_array_in_itself(protocol):
    array = np.empty(1, dtype=object)
    array[0] = [array]
    back = fp.loads(fp.dumps(array, protocol))
    assert back[0][0] is back


class OwnArray(np.ndarray):
    def __reduce__(self):
        return str.upper, ("own array",)


def test_subclass_that_overrides_is_obeyed():
    value = np.arange(3).view(OwnArray)
    for number in range(5):
        assert fp.loads(fp.dumps(value, number)) == "OWN ARRAY"
    assert type(fp.loads(fp.dumps(value, 5))) is type(pickle.loads(pickle.dumps(value, 5)))


@pytest.mark.parametrize("value", [np.arange(3), np.float64(1), np.int32(1), np.dtype("i4")])
def test_copyreg_is_obeyed(value, protocol):
    copyreg.pickle(type(value), lambda obj: (str.upper, ("mine",)))
    try:
        assert fp.loads(fp.dumps(value, protocol)) == "MINE"
    finally:
        del copyreg.dispatch_table[type(value)]
    assert type(fp.loads(fp.dumps(value, protocol))) is type(value)


def test_functions_of_numpy_go_by_name(protocol):
    for function in (np.add, np.sum, np.linalg.norm, np.float32, np.ndarray):
        assert fp.loads(fp.dumps(function, protocol)) is function


def test_random_state(protocol):
    generator = np.random.default_rng(5)
    generator.random(3)
    back = fp.loads(fp.dumps(generator, protocol))
    assert back.random() == generator.random()


def scalar_calls():
    """Streams of `scalar(dtype, bytes)`, with no memo entries."""
    function = np.float64(0).__reduce__()[0]
    for dtype, data in [
        (np.dtype("f8"), b"\x01" * 8),
        (np.dtype(">f8"), b"\x3f\xf0" + bytes(6)),
        (np.dtype(">i2"), b"\x01\x02"),
        (np.dtype("i1"), b"\xff"),
        (np.dtype("?"), b"\x01"),
        (np.dtype("f2"), b"\x00\x3c"),
        (np.dtype("c16"), b"\x01" * 16),
        (np.dtype("g"), np.longdouble(1.5).tobytes()),
        (np.dtype("M8[s]"), b"\x01" * 8),
        (np.dtype("S3"), b"abc"),
        (np.dtype("V3"), b"abc"),
        (np.dtype("i4"), b"abc"),
        (np.dtype("i4"), b"abcdef"),
        (np.dtype("f8"), b""),
        ("f8", b"\x01" * 8),
    ]:
        head = pickle.dumps((function, dtype, data), 4)
        parts = head.removesuffix(b"\x87\x94.")
        assert parts != head
        for twice in (parts + b"\x86R", parts + b"\x86R0" + parts[2:] + b"\x86R"):
            yield re.sub(rb"\x95.{8}", b"", twice, flags=re.DOTALL) + b"."


@pytest.mark.parametrize("data", [*scalar_calls()])
def test_scalars_of_any_bytes_are_as_numpy_makes_them(data):
    np.float64(fp.loads(fp.dumps(np.float64(1.5))))  # NumPy is known from here on
    outcomes = []
    for module in (fp, pickle):
        try:
            made = module.loads(data)
            outcomes.append((type(made), made.dtype, made.tobytes()))
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]
