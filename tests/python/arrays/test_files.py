"""Arrays in files.

What belongs here: what NumPy's arrays add to files; tests/python/files has the rest.
"""

import pytest

import ferropickle as fp
from ferropickle._files import File

np = pytest.importorskip("numpy", reason="NumPy is not installed")


def test_arrays_of_a_dict_are_read_one_by_one(tmp_path, monkeypatch):
    """Of several element types and lengths, which the stream makes once and refers to."""
    shared = np.arange(12.0)
    value = {
        "weights": np.full((300, 40), 1.5),
        "more": np.full((300, 40), 2.5),
        "still more": np.full((300, 40), 3.5),
        "counts": np.arange(500, dtype="i4"),
        "flags": np.ones(500, "?"),
        "records": np.zeros(3, [("a", "i8"), ("b", "f4", (2,))]),
        "turned": np.arange(600.0).reshape(20, 30).T,
        "part": shared[2:5],
        "whole": [shared, shared[::2]],
        "objects": np.array([1, "two", None], object),
        "masked": np.ma.masked_array([1, 2, 3], [0, 1, 0]),
        "number": np.float32(3),
    }
    fp.save(value, tmp_path / "file")
    monkeypatch.delattr(File, "_whole")  # reads all, where one alone cannot be made
    with fp.open(tmp_path / "file") as file:
        for key in reversed(value):
            np.testing.assert_equal(file[key], value[key])
