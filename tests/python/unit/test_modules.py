"""State in a stream for a module that is loaded: ferropickle leaves the module as it is."""

import io
import pickle
import sys
import types

import pytest

import ferropickle as fp
from ferropickle.compat import dill
from ferropickle.compat import pickle as face

# Such as dill writes for a module: found by name, then given its attributes.
STREAM = b"cimportlib\nimport_module\n(Vfp_loaded\ntR(dVvalue\nI1\nsVnew\nI2\nsb."


@pytest.fixture
def module(monkeypatch):
    module = types.ModuleType("fp_loaded")
    module.value = 50
    monkeypatch.setitem(sys.modules, "fp_loaded", module)
    return module


@pytest.mark.parametrize(
    "load",
    [
        fp.loads,
        lambda data: fp.load(io.BytesIO(data)),
        lambda data: fp.Unpickler(io.BytesIO(data)).load(),
    ],
)
def test_a_loaded_module_is_left_alone(load, module):
    assert load(STREAM) is module
    assert module.value == 50
    assert not hasattr(module, "new")


def test_a_class_of_modules_of_the_user_s_own(monkeypatch):
    class Lazy(types.ModuleType):
        pass

    module = Lazy("fp_loaded")
    monkeypatch.setitem(sys.modules, "fp_loaded", module)
    assert fp.loads(STREAM) is module
    assert not hasattr(module, "new")


def test_a_module_that_is_not_loaded_gets_its_state(module):
    made = fp.loads(b"ctypes\nModuleType\n(Vfp_loaded\ntR(dVvalue\nI1\nsb.")
    assert made is not module
    assert made.value == 1
    assert module.value == 50


@pytest.mark.parametrize("loads", [pickle.loads, face.loads, dill.loads])
def test_the_faces_do_as_what_they_stand_for(loads, module):
    assert loads(STREAM) is module
    assert (module.value, module.new) == (1, 2)
