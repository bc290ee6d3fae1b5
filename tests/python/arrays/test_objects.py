"""Arrays of objects: identity, cycles, views of one memory, elements that are not there.

What belongs here: dtype `O`, and dtypes whose values lie elsewhere.
"""

import pickle

import pytest

import ferropickle as fp
from helpers.routes import ALL, WRITTEN_BY_US

np = pytest.importorskip("numpy", reason="NumPy is not installed")

SHAPES = [(0,), (1,), (2,), (1001,), (2000,), (), (3, 4), (0, 3), (7, 1, 11), (2, 2, 2, 2)]


def fresh(shape):
    """An array of containers that nobody else knows."""
    array = np.empty(shape, dtype=object)
    for index in range(array.size):
        array.flat[index] = [index] if index % 3 else {"n": index}
    return array


@pytest.mark.parametrize("route", ALL)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape, route):
    back = ALL[route](fresh(shape))
    assert back.shape == shape
    assert back.tolist() == fresh(shape).tolist()
    assert back.flags.writeable


@pytest.mark.parametrize("route", WRITTEN_BY_US)
def test_orders_and_gaps(route):
    base = fresh((4, 6))
    for array in (base.T, base[::2, 1:], base[::-1], np.asfortranarray(base), base[:, :0]):
        theirs = pickle.loads(pickle.dumps(array, 5))
        back = WRITTEN_BY_US[route](array)
        assert back.tolist() == array.tolist()
        assert back.strides == theirs.strides


def test_every_kind_of_element():
    values = [None, True, 1, 2.5, "text", b"bytes", (1, 2), [3], {4}, np.float64(1), np.arange(3)]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    back = fp.loads(fp.dumps(array))
    assert repr(back.tolist()) == repr(values)


def test_elements_that_never_were():
    array = np.empty((3, 2), dtype=object)
    assert fp.loads(fp.dumps(array)).tolist() == array.tolist()


def test_shared_elements_stay_shared():
    shared = ["shared"]
    array = np.empty(3, dtype=object)
    array[0] = array[2] = shared
    array[1] = ["shared"]
    back = fp.loads(fp.dumps(array))
    assert back[0] is back[2]
    assert back[0] is not back[1]


def test_views_know_each_other_by_their_elements():
    # Each list has one reference, and two ways that lead to it.
    for arrays in (
        lambda a: [a, a[1:]],
        lambda a: [a[1:], a],
        lambda a: [a[:2], a[1:]],
        lambda a: (a.reshape(2, 2), a[::-1]),
    ):
        first, second = arrays(fresh((4,)))
        copies = fp.loads(fp.dumps([first, second]))
        assert _same_elements(*copies) == _same_elements(first, second)


def _same_elements(first, second):
    """Which elements of two arrays are one object."""
    return [[a is b for a in first.flat] for b in second.flat]


def test_a_broadcast_array_repeats_its_elements():
    array = np.broadcast_to(fresh((2,)), (3, 2))
    back = fp.loads(fp.dumps(array))
    assert back[0, 1] is back[2, 1]
    assert back.tolist() == array.tolist()
    window = np.lib.stride_tricks.sliding_window_view(fresh((4,)), 2)
    back = fp.loads(fp.dumps(window))
    assert back[0, 1] is back[1, 0]


def test_cycles():
    array = np.empty(2, dtype=object)
    array[0], array[1] = [array], {"me": array}
    for load in (fp.loads, pickle.loads):
        back = load(fp.dumps(array))
        assert back[0][0] is back
        assert back[1]["me"] is back


def test_deep_nesting():
    array = np.empty(1, dtype=object)
    for _ in range(50_000):
        outer = np.empty(1, dtype=object)
        outer[0] = array
        array = outer
    del outer  # NumPy frees nested arrays by recursion: level by level it may
    back = fp.loads(fp.dumps(array))
    depth = 0
    while back[0] is not None:
        back, array, depth = back[0], array[0], depth + 1
    assert depth == 50_000


class Changes:
    """Changes an array while it is pickled."""

    def __init__(self, change):
        self.change = change

    def __reduce__(self):
        self.change()
        return str, ("changed",)


def test_elements_replaced_meanwhile_are_as_they_are_when_reached():
    array = np.empty(3, dtype=object)
    array[0] = Changes(lambda: array.__setitem__(2, "new"))
    array[1] = [1]
    assert fp.loads(fp.dumps(array)).tolist() == ["changed", [1], "new"]


def test_an_array_resized_meanwhile_is_an_error():
    array = np.empty(3, dtype=object)
    array[0] = Changes(lambda: array.resize(5, refcheck=False))
    with pytest.raises(RuntimeError, match="changed while it was pickled"):
        fp.dumps(array)


def test_the_path_names_the_element():
    array = np.empty((2, 3), dtype=object)
    array[1, 1] = {"key": Changes(lambda: pickle.loads(b""))}
    with pytest.raises(EOFError) as caught:
        fp.dumps({"a": array})
    assert "obj['a'].flat[4]['key']" in str(getattr(caught.value, "__notes__", caught.value))


def test_records_with_objects():
    array = np.array([(1, [1]), (2, {"a": 2})], dtype=[("n", "i4"), ("o", "O")])
    for load in (fp.loads, pickle.loads):
        assert load(fp.dumps(array)).tolist() == array.tolist()


def test_strings_of_any_length():
    strings = pytest.importorskip("numpy.dtypes", reason="this NumPy has no numpy.dtypes")
    if not hasattr(strings, "StringDType"):
        pytest.skip("this NumPy has no StringDType")
    array = np.array(["a", "", "long " * 100, "é"], dtype=strings.StringDType())
    for load in (fp.loads, pickle.loads):
        back = load(fp.dumps(array[::-1]))
        assert back.tolist() == array[::-1].tolist()
        assert back.dtype == array.dtype
