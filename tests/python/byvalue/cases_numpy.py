"""NumPy's objects, pickled: run as a script by test_fresh.py."""

import numpy as np

from helpers import cases


class Tagged(np.ndarray):
    """With an attribute that its pickled form has to bring."""

    def __new__(cls, data, tag):
        made = np.asarray(data).view(cls)
        made.tag = tag
        return made

    def __array_finalize__(self, other):
        self.tag = getattr(other, "tag", None)

    def __reduce__(self):
        function, args, state = super().__reduce__()
        return function, args, (state, self.tag)

    def __setstate__(self, state):
        inner, self.tag = state
        super().__setstate__(inner)


class Plain(np.ndarray):
    """Says nothing of how it is pickled."""


array = np.arange(6.0).reshape(2, 3)
matrix = array.view(Plain)
matrix.note = "kept"


def mean_of_globals():
    return float(array.mean()), np.linalg.det(np.eye(2))


CASES = {
    "array": ([array, array], "(x[0].tolist(), str(x[0].dtype), x[0] is x[1])"),
    "orders and strides": (
        [np.asfortranarray(array), array[:, ::2]],
        "([a.tolist() for a in x], x[0].flags.f_contiguous)",
    ),
    "objects": (np.array([lambda: 5, "a"], dtype=object), "(x[0](), x[1])"),
    "structured": (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), "(x['b'][0], x.dtype)"),
    "dates": (np.array(["2026-01-02"], dtype="M8[D]"), "x"),
    "scalars": ([np.float32(1.5), np.int64(3), np.str_("é"), np.bool_(True)], "x"),
    "types": ([np.dtype("i4"), np.float64, type(np.dtype("i4")), np.ufunc], "x"),
    "functions": ([np.sum, np.add, np.linalg.inv], "(x[0]([1, 2]), x[1](1, 2), x[2]([[2.0]]))"),
    "bound method": (array.sum, "x()"),
    "function of arrays": (mean_of_globals, "x()"),
    "subclass that says how": (
        Tagged([1, 2], "t"),
        "(x.tolist(), x.tag, type(x).__name__, (x + 1).tag)",
    ),
    "subclass with attributes": (matrix, "(x.tolist(), type(x).__name__, x.note)"),
    "masked": (np.ma.masked_array([1, 2], [0, 1]), "(x.tolist(), x.mask.tolist())"),
    "generator of random numbers": (np.random.default_rng(5), "x.integers(100)"),
    "vectorized": (np.vectorize(lambda a: a + 1), "x([1, 2]).tolist()"),
    "memory": ((lambda a: [a, a[1:]])(np.arange(4)), "[a.tolist() for a in x]"),
}

if __name__ == "__main__":
    cases.write(CASES)
