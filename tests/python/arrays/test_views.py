"""Arrays that share memory share it in the copy, in streams that the standard library reads.

What belongs here: several arrays over one memory, in every order, and what must not be shipped
for it.
"""

import gc
import io
import pickle
import pickletools

import pytest

import ferropickle as fp
from helpers.routes import WRITTEN_BY_US

np = pytest.importorskip("numpy", reason="NumPy is not installed")

# A walk that has run user code cannot begin again: there the larger array must come first.
ANY_ORDER = sorted(set(WRITTEN_BY_US) - {"pickler", "by a callback"})


@pytest.mark.parametrize("route", WRITTEN_BY_US)
def test_an_array_and_its_views(route):
    base = np.arange(24.0).reshape(4, 6)
    arrays = [base, base[1:3], base[::-1, ::2], base.T, base.ravel(), base[2, 3:4], base.view("i8")]
    back = WRITTEN_BY_US[route](arrays)
    for array, copy in zip(arrays, back, strict=True):
        assert copy.dtype == array.dtype
        assert np.array_equal(array, copy)
        assert copy.strides == array.strides
        assert copy.flags.writeable
    back[0][2, 3] = -5
    assert back[5][0] == -5
    assert back[2][1, 0] == back[0][2, 0]
    assert all(np.shares_memory(back[0], copy) for copy in back[1:])


@pytest.mark.parametrize("route", ANY_ORDER)
def test_views_before_what_they_are_of(route):
    base = np.arange(100)
    back = WRITTEN_BY_US[route]({"tail": base[90:], "head": base[:20], "all": base})
    back["all"][:] = 7
    assert set(back["tail"]) == set(back["head"]) == {7}


@pytest.mark.parametrize("route", ANY_ORDER)
def test_views_that_overlap_with_no_base_there(route):
    base = np.arange(1000)
    back = WRITTEN_BY_US[route]([base[10:20], base[15:30], base[25:26], base[400:410]])
    assert [list(part) for part in back] == [
        list(range(10, 20)), list(range(15, 30)), [25], list(range(400, 410)),
    ]  # fmt: skip
    back[1][:] = 0
    assert list(back[0]) == [10, 11, 12, 13, 14, 0, 0, 0, 0, 0]
    assert list(back[2]) == [0]
    assert back[0].base is not None


@pytest.mark.parametrize("route", ANY_ORDER)
def test_strided_views_that_share_elements(route):
    base = np.arange(60)
    back = WRITTEN_BY_US[route]([base[::2], base[::3], base[1::2]])
    assert [list(part) for part in back] == [list(base[::2]), list(base[::3]), list(base[1::2])]
    back[0][:] = -1
    assert set(back[1][::2]) == {-1}
    assert list(back[2]) == list(base[1::2])


def test_a_small_view_of_a_large_array_ships_itself():
    base = np.zeros(1_000_000)
    assert len(fp.dumps(base[10:20])) < 400
    assert len(fp.dumps([base[10:20], base[500:510]])) < 600
    assert len(fp.dumps(base[::100_000])) < 400
    columns = base.reshape(100_000, 10)
    both = fp.dumps([columns[:100, 0], columns[:100, 1], columns[:100, 2:4]])
    assert len(both) < 4 * 100 * 8 + 600
    assert len(fp.dumps(np.broadcast_to(base[:3], (1_000_000, 3)))) < 400
    assert len(fp.dumps(np.broadcast_to(columns[:3, 4], (1_000_000, 3)))) < 400


@pytest.mark.parametrize("route", WRITTEN_BY_US)
def test_read_only_views_of_a_writable_array(route):
    base = np.arange(10)
    still = base[2:5]
    still.flags.writeable = False
    wide = np.broadcast_to(base[3:4], (4, 3))
    orders = [[base, still, wide], [still, wide]]
    orders += [[still, base, wide]] if route in ANY_ORDER else []
    for arrays in orders:
        back = WRITTEN_BY_US[route](arrays)
        for array, copy in zip(arrays, back, strict=True):
            assert copy.flags.writeable == array.flags.writeable
            assert np.array_equal(array, copy)
        assert np.shares_memory(back[0], back[1])
        if len(back) == 3:
            (writable,) = (copy for copy in back if copy.flags.writeable)
            writable[:] = 77
            assert all((copy == 77).all() for copy in back)


@pytest.mark.parametrize("route", WRITTEN_BY_US)
def test_a_base_that_is_no_array(route):
    memory = bytearray(range(32))
    arrays = [np.frombuffer(memory, "u1"), np.frombuffer(memory, "<u4", offset=4, count=3)]
    back = WRITTEN_BY_US[route](arrays)
    assert np.shares_memory(*back)
    back[0][4] = 255
    assert back[1][0] & 255 == 255


def test_strangers_stay_strangers():
    # Freed memory is used again at once: addresses alone are no proof.
    class Fresh:
        def __reduce__(self):
            gc.collect(0)
            return np.copy, (np.full(50, next(counter), dtype=np.int64)[1:],)

    counter = iter(range(1000))
    back = fp.loads(fp.dumps([Fresh() for _ in range(300)]))
    assert [int(array[0]) for array in back] == sorted(int(array[0]) for array in back)
    assert not any(np.shares_memory(a, b) for a, b in zip(back, back[1:], strict=False))


def test_views_over_several_dumps_of_one_pickler():
    base = np.arange(10)
    file = io.BytesIO()
    pickler = fp.Pickler(file)
    pickler.dump(base)
    pickler.dump(base[2:4])
    pickler.clear_memo()
    pickler.dump(base[2:4])
    file.seek(0)
    unpickler = fp.Unpickler(file)
    whole, part, alone = unpickler.load(), unpickler.load(), unpickler.load()
    assert np.shares_memory(whole, part)
    assert list(part) == list(alone) == [2, 3]
    assert not np.shares_memory(whole, alone)


def test_views_with_user_code_between():
    class Code:
        def __init__(self, part):
            self.part = part

        def __reduce__(self):
            return list, ([self.part],)

    base = np.arange(10)
    back = fp.loads(fp.dumps([base, Code(base[2:5]), base[4:]]))
    back[0][:] = 1
    assert list(back[1][0]) == [1, 1, 1]
    assert list(back[2]) == [1] * 6


def test_many_columns_are_no_burden():
    table = np.zeros((4, 3000))
    back = fp.loads(fp.dumps([table[:, i] for i in range(3000)]))
    assert len(back) == 3000


def test_other_faces_copy_as_pickle_does():
    base = np.arange(10)
    for face in ("pickle", "cloudpickle", "dill"):
        stream = fp.dumps([base, base[2:4], base[::-1]], policy=fp.Policy(face=face))
        back = pickle.loads(stream)
        assert not np.shares_memory(back[0], back[1])
        assert back[2].flags.c_contiguous


def test_an_array_twice_is_one_array():
    base = np.arange(5)
    view = base[1:]
    back = fp.loads(fp.dumps([view, base, view]))
    assert back[0] is back[2]
    assert np.shares_memory(back[0], back[1])


def test_buffers_of_shared_memory_are_handed_out_once():
    base = np.arange(1000)
    buffers = []
    stream = fp.dumps([base[:10], base[5:20], base], buffer_callback=buffers.append)
    assert len(buffers) == 1
    back = pickle.loads(stream, buffers=buffers)
    assert np.shares_memory(back[2], base)
    parcel = fp.pack([base[:10], base[5:20], base])
    assert len(parcel.buffers) == 1


def test_arrays_that_nobody_else_holds_take_no_memo_entries():
    """The reference that a buffer holds is none of the graph's."""

    def entries(count):
        stream = fp.pack([np.full(100, n) for n in range(count)]).stream
        return sum(op.name == "MEMOIZE" for op, _, _ in pickletools.genops(stream))

    assert entries(2) == entries(20)
    one = np.ones(100)
    first, second, alone = fp.unpack(fp.pack([one, one, np.ones(3)]))
    assert first is second is not alone


def test_lengths_that_come_again_are_referred_to():
    lengths = [(3, 4), (3, 4), (3, 4), (3, 4), (5,), (5,), (3, 4), (4, 3), (), (), (), (0, 2)]
    arrays = [np.full(shape, n) for n, shape in enumerate(lengths)]
    arrays += [np.full((3, 4), n, order="F") for n in range(3)] + [np.ones((1,) * 6)] * 2
    for stream in (fp.dumps(arrays), fp.dumps(dict(enumerate(arrays)))):
        for load in (fp.loads, pickle.loads):
            back = load(stream)
            for n, array in enumerate(arrays):
                assert back[n].shape == array.shape
                assert back[n].strides == array.strides or not array.size
                assert (back[n] == array).all()

    def opcodes(count):
        stream = fp.dumps([np.zeros((300, 2), "u1") for _ in range(count)])
        return [op.name for op, _, _ in pickletools.genops(stream)]

    # Written for the first and, with a memo index, for the second.
    assert (
        opcodes(10).count("TUPLE2") == opcodes(2).count("TUPLE2") == 1 + opcodes(1).count("TUPLE2")
    )
