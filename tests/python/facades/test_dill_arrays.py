"""Arrays of subclasses and ended threads with `compat.dill`: what NumPy and pickle leave out."""

import threading

import pytest

import ferropickle as fp
from ferropickle.compat import dill

np = pytest.importorskip("numpy", reason="NumPy is not installed")


class Named(np.ndarray):
    def __array_finalize__(self, obj):
        if isinstance(obj, Named):
            self.name = obj.name  # an error where the copy has none


def named(name):
    made = np.arange(3).view(Named)
    made.name = name
    return made


def local_class():
    class Local(np.ndarray):
        name = "class"

    made = Local([2])
    made[:] = 1
    made.name = "own"
    return made


def test_attributes_of_arrays_of_subclasses_come_along():
    copied = dill.copy(named("a"))
    assert type(copied) is Named
    assert (copied.name, copied.tolist()) == ("a", [0, 1, 2])
    assert dill.copy(local_class()).name == "own"


def test_other_faces_write_what_numpy_writes():
    assert vars(fp.loads(fp.dumps(local_class()))) == {}


def test_a_thread_that_ended_comes_back_as_ended():
    thread = threading.Thread(name="done", daemon=True)
    thread.start()
    thread.join()
    copied = dill.copy(thread)
    assert not copied.is_alive()
    assert (copied.name, copied.daemon, copied.ident) == ("done", True, thread.ident)
