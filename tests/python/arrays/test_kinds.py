"""Arrays that are more than arrays, and what goes with them: subclasses, masks, maps, scalars.

What belongs here: NumPy's own types beside the plain array, element types of other packages.
"""

import pickle
import subprocess
import sys

import pytest

import ferropickle as fp
from helpers.routes import OURS, WRITTEN_BY_US
from helpers.subprocs import run_python

np = pytest.importorskip("numpy", reason="NumPy is not installed")


class Plain(np.ndarray):
    """A subclass as NumPy's documentation has it."""

    def __array_finalize__(self, obj):
        self.unit = getattr(obj, "unit", "m")


class OwnState(np.ndarray):
    def __setstate__(self, state):
        super().__setstate__(state[1:])
        self.note = state[0]

    def __reduce__(self):
        function, args, state = super().__reduce__()
        return function, args, ("a note", *state)


def out_of_band_bytes(obj):
    """Bytes that leave the stream, and those that stay."""
    parcel = fp.pack(obj)
    return sum(len(buffer) for buffer in parcel.buffers), len(parcel.stream)


SUBCLASSES = {
    "plain subclass": lambda: np.arange(5000.0).view(Plain),
    "matrix": lambda: np.asmatrix(np.arange(5000.0).reshape(50, 100)),
    "record array": lambda: np.rec.fromarrays([np.arange(3000), np.ones(3000)], names="a,b"),
    "character array": lambda: np.char.array(["some", "text"] * 5000),
    "reversed": lambda: np.arange(5000.0).view(Plain)[::-2],
    "turned": lambda: np.asmatrix(np.arange(5000.0).reshape(50, 100)).T,
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:The chararray class:DeprecationWarning")
@pytest.mark.parametrize("route", WRITTEN_BY_US)
@pytest.mark.parametrize("name", SUBCLASSES)
def test_subclasses(name, route):
    array = SUBCLASSES[name]()
    back = WRITTEN_BY_US[route](array)
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert back.dtype.type is array.dtype.type
    assert back.tolist() == array.tolist()
    assert back.flags.writeable
    outside, inside = out_of_band_bytes(array)
    assert outside == array.nbytes
    assert inside < 1000


def test_a_subclass_that_says_how_is_obeyed():
    array = np.arange(3).view(OwnState)
    for load in (fp.loads, pickle.loads):
        back = load(fp.dumps(array))
        assert type(back) is OwnState
        assert (back.note, back.tolist()) == ("a note", [0, 1, 2])


def test_a_subclass_shares_memory_with_its_array():
    base = np.arange(10)
    back = fp.loads(fp.dumps([base, base[2:5].view(Plain)]))
    back[0][:] = 1
    assert back[1].tolist() == [1, 1, 1]
    assert back[1].unit == "m"


def test_a_subclass_of_objects_may_contain_itself():
    array = np.empty(1, dtype=object).view(Plain)
    array[0] = [array]
    back = fp.loads(fp.dumps(array))
    assert back[0][0] is back


MASKED = {
    "some": lambda: np.ma.masked_array(np.arange(2000.0), mask=np.arange(2000) % 3 == 0),
    "no mask": lambda: np.ma.masked_array(np.arange(2000)),
    "hard": lambda: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0], hard_mask=True),
    "fill value": lambda: np.ma.masked_array([1.0, 2.0], mask=[0, 1], fill_value=-9),
    "records": lambda: np.ma.masked_array(
        [(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 0)], dtype=[("a", "i4"), ("b", "f8")]
    ),
    "no dimension": lambda: np.ma.masked_array(5, mask=True),
    "objects": lambda: np.ma.masked_array([[1], None], mask=[0, 1], dtype=object),
    "turned": lambda: np.ma.masked_array(np.arange(6).reshape(2, 3), mask=np.eye(2, 3)).T,
}


@pytest.mark.parametrize("route", WRITTEN_BY_US)
@pytest.mark.parametrize("name", MASKED)
def test_masked_arrays(name, route):
    array = MASKED[name]()
    back = WRITTEN_BY_US[route](array)
    assert type(back) is np.ma.MaskedArray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.ma.getmaskarray(back).tolist() == np.ma.getmaskarray(array).tolist()
    assert back.data.tolist() == array.data.tolist()
    assert repr(back.fill_value) == repr(array.fill_value)
    if name != "objects":
        assert (back._fill_value is None) == (array._fill_value is None)
        assert back.hardmask == array.hardmask
        assert (back.mask is np.ma.nomask) == (array.mask is np.ma.nomask)
    if back.ndim and not back.dtype.names:
        back[...] = np.ma.masked
        assert np.ma.getmaskarray(back).all()


def test_masks_leave_the_stream_too():
    outside, inside = out_of_band_bytes(MASKED["some"]())
    assert outside == 2000 * 9
    assert inside < 1000
    assert fp.loads(fp.dumps(np.ma.masked)) is np.ma.masked


@pytest.fixture(params=["r", "r+", "c"])
def mapped(request, tmp_path):
    path = tmp_path / "array.bin"
    np.arange(10_000, dtype="i4").tofile(path)
    return np.memmap(path, dtype="i4", mode=request.param, offset=4000, shape=(50, 100))


@pytest.mark.parametrize("route", WRITTEN_BY_US)
def test_mapped_arrays_by_value(mapped, route):
    for array in (mapped, mapped[3:7], mapped[::2, 5:9], mapped.T):
        back = WRITTEN_BY_US[route](array)
        assert type(back) is np.memmap
        assert back.tolist() == array.tolist()


def test_mapped_arrays_by_reference(mapped):
    policy = fp.Policy(memmap="reference")
    for array in (mapped, mapped[3:7], mapped[::2, 5:9], mapped[::-1], mapped.T, mapped[4:5]):
        stream = fp.dumps(array, policy=policy)
        for back in (fp.loads(stream), pickle.loads(stream)):
            assert type(back) is np.memmap
            assert back.tolist() == array.tolist()
            assert back.flags.writeable == array.flags.writeable
    if mapped.mode == "c":
        # Its changes are in no file.
        assert len(fp.dumps(mapped, policy=policy)) > mapped.nbytes
        return
    assert len(fp.dumps(mapped, policy=policy)) < 500
    back = fp.loads(fp.dumps(mapped[1:3], policy=policy))
    if mapped.mode == "r+":
        back[0, 0] = -1
        assert mapped[1, 0] == -1


def test_the_policy_for_mapped_arrays():
    assert fp.Policy().memmap == "value"
    assert "memmap='reference'" in repr(fp.Policy(memmap="reference"))
    assert fp.Policy(memmap="reference") != fp.Policy()
    with pytest.raises(ValueError, match="memmap must be one of"):
        fp.Policy(memmap="file")


def test_scalars_of_every_kind():
    values = [
        np.str_("text"), np.bytes_(b"bytes"), np.void(b"void"), np.longdouble(1) / 3,
        np.clongdouble(1j), np.datetime64("2020-01-01"), np.timedelta64(5, "ms"), np.bool_(True),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
    ]  # fmt: skip
    for load in (fp.loads, pickle.loads):
        back = load(fp.dumps(values))
        assert [type(item) for item in back] == [type(item) for item in values]
        assert repr(back) == repr(values)


def test_dtypes_functions_and_generators():
    kinds = [np.dtype("i4"), np.dtype([("a", "f8", (2,))]), np.dtype("M8[ns]"), np.dtype(">c16")]
    values = [*kinds, np.dtype("f8", metadata={"unit": "m"}), np.add, np.linalg.norm, np.float32]
    for load in (fp.loads, pickle.loads):
        back = load(fp.dumps(values))
        assert back[:5] == values[:5]
        assert back[4].metadata == {"unit": "m"}
        assert back[5:] == values[5:]
        assert load(fp.dumps(np.zeros(2, values[4]))).dtype.metadata == {"unit": "m"}
    for make in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        generator = np.random.Generator(make(1))
        generator.normal(size=7)
        back = fp.loads(fp.dumps(generator))
        assert back.normal() == generator.normal()
    state = np.random.RandomState(3)
    assert fp.loads(fp.dumps(state)).rand() == state.rand()


@pytest.mark.parametrize("route", OURS)
def test_element_types_of_other_packages(route):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"):
        kind = getattr(ml_dtypes, name)
        array = np.arange(-4, 4).astype(kind)
        for one in (array, array[::2], array.reshape(2, 4).T, np.broadcast_to(array, (3, 8))):
            back = OURS[route](one)
            assert back.dtype == one.dtype
            assert back.astype("f4").tolist() == one.astype("f4").tolist()
    assert out_of_band_bytes(np.zeros(5000, ml_dtypes.bfloat16))[0] == 10_000


def test_an_element_type_that_is_not_installed_is_named(tmp_path):
    """With the version that wrote it, and whatever way it came; the next load goes on."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    value = {"scale": 2, "w": np.zeros(300_000, ml_dtypes.bfloat16)}
    (tmp_path / "stream").write_bytes(fp.dumps(value))
    (tmp_path / "parcel").write_bytes(fp.pack(value).to_bytes())
    fp.save(value, tmp_path / "file")
    said = run_python(
        """
        import os, sys
        import ferropickle as fp
        from helpers.absent import make_absent
        make_absent("ml_dtypes")
        os.chdir(sys.argv[1])
        file = fp.open("file")
        ways = [
            lambda: fp.loads(open("stream", "rb").read()),
            lambda: fp.unpack(open("parcel", "rb").read()),
            lambda: fp.load_file("file"),
            file.load,
            lambda: file["w"],
        ]
        for way in ways:
            try:
                way()
            except ModuleNotFoundError as error:
                assert error.name == "ml_dtypes"
                print(error)
        assert file["scale"] == 2
        """,
        tmp_path,
    )
    lines = said.splitlines()
    assert len(lines) == 5
    version = ml_dtypes.__version__
    wanted = (
        f"ml_dtypes.bfloat16, pickled with ml_dtypes {version}",
        f"ml_dtypes is not installed: pip install 'ml_dtypes=={version}'",
    )
    assert all(part in line for part in wanted for line in lines), said


def test_streams_that_ask_for_what_cannot_be_fail_as_by_stock():
    call = np.zeros(1).__reduce_ex__(5)[0]
    memory = bytearray(64)
    number, pair = np.dtype("i8"), np.dtype(("i8", (2,)))
    wrong = [
        (call, (memory, number, (9,), "C")),
        (call, (memory, number, (2**62, 4), "C")),
        (call, (memory, pair, (4,), "C")),
        (call, (memory, np.dtype("O"), (8,), "C")),
        (call, (memory, number, (8,), "Z")),
        (np.ndarray, ((8,), number, memory, 8, (8,))),
        (np.ndarray, ((8,), number, memory, 0, (-8,))),
        (np.ndarray, ((8,), number, memory, -8, (8,))),
        (np.ndarray, ((2, 2), number, memory, 0, (8,))),
        (np.ndarray, ((2**62, 4), number, memory, 0, (2**62, 8))),
        (np.ndarray, ((1,) * 65, number, memory, 0, (8,) * 65)),
    ]
    for function, args in wrong:
        stream = pickle.dumps(Reduced(function, args), 5)
        with pytest.raises(Exception) as ours:
            fp.loads(stream)
        with pytest.raises(Exception) as theirs:
            pickle.loads(stream)
        assert type(ours.value) is type(theirs.value), args
    # What is odd and can be, is.
    fits = [
        (np.ndarray, ((2, 4), number, memory, 56, (0, -8))),
        (call, (memory, number, (8,), "F")),
    ]
    for function, args in fits:
        stream = pickle.dumps(Reduced(function, args), 5)
        assert fp.loads(stream).strides == pickle.loads(stream).strides


class Reduced:
    """A call in a stream."""

    def __init__(self, function, args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_large_arrays_are_cut_among_threads():
    base = np.arange(3_000_000, dtype="i8").reshape(1500, 2000)
    for array in (base[::2], base[:, ::3], base[::-1, ::-1], base[:, 1::2].T, base.T, base):
        assert np.array_equal(fp.loads(fp.dumps(array)), array)
        assert np.array_equal(fp.unpack(fp.pack(array)), array)


def test_numpy_is_not_imported_for_it():
    code = """
import sys, ferropickle as fp
def _frombuffer(*args): return args
fp.loads(fp.dumps([1, {"a": print}]))
fp.loads(b"c__main__\\n_frombuffer\\n(K\\x01K\\x02K\\x03K\\x04tR.")
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
