"""Objects of this process with `compat.dill`: capsules by name or for this process, frames."""

import ctypes
import datetime
import sys
import types
import warnings

import pytest

from ferropickle.compat import dill
from helpers.subprocs import run_python


@pytest.fixture
def capsule():
    """A capsule that says it is `capsule_home.capsule`."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = ctypes.create_string_buffer(b"capsule_home.capsule")
    made = new(ctypes.addressof(name), name, None)
    yield made
    sys.modules.pop("capsule_home", None)


def test_a_capsule_of_a_module_goes_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = dill.dumps(datetime.datetime_CAPI)
    assert dill.loads(data) is datetime.datetime_CAPI
    code = """
        import sys
        from ferropickle.compat import dill
        import datetime
        assert dill.loads(bytes.fromhex(sys.argv[1])) is datetime.datetime_CAPI
    """
    run_python(code, data.hex())


def test_any_other_is_good_for_this_process(capsule):
    with pytest.warns(dill.PicklingWarning, match="in this process only"):
        data = dill.dumps([capsule])
    assert dill.loads(data)[0] is capsule
    code = """
        import sys
        from ferropickle.compat import dill
        try:
            dill.loads(bytes.fromhex(sys.argv[1]))
        except dill.UnpicklingError as error:
            assert "no capsule has the name 'capsule_home.capsule' here" in str(error)
        else:
            raise AssertionError("a pointer of another process was taken")
    """
    run_python(code, data.hex())


def test_the_name_goes_first(capsule):
    with pytest.warns(dill.PicklingWarning):
        data = dill.dumps(capsule)
    home = sys.modules["capsule_home"] = types.ModuleType("capsule_home")
    home.capsule = datetime.datetime_CAPI
    assert dill.loads(data) is datetime.datetime_CAPI
    home.capsule = None
    with pytest.raises(dill.UnpicklingError, match="no capsule has the name"):
        dill.loads(data)


def test_frames_are_refused_as_pickle_does():
    with pytest.raises(TypeError) as caught:
        dill.dumps(sys._getframe())
    assert caught.value.args == ("cannot pickle 'frame' object",)
