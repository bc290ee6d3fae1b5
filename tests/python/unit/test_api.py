"""The names, signatures and argument checks of the package and of its pickle face.

What belongs here: what a caller sees before any object is walked. Values and objects that go
through are the other files' matter.
"""

import array
import inspect
import io
import pickle
import sys

import pytest

import ferropickle as fp
import ferropickle.compat.pickle as compat

EMPTY_LIST = b"\x80\x04]\x94."


@pytest.mark.parametrize("face", [fp, compat], ids=["ferropickle", "compat.pickle"])
def test_exceptions_are_the_standard_librarys_own(face):
    assert face.PickleError is pickle.PickleError
    assert face.PicklingError is pickle.PicklingError
    assert face.UnpicklingError is pickle.UnpicklingError


def test_constants():
    assert fp.HIGHEST_PROTOCOL == pickle.HIGHEST_PROTOCOL == 5
    assert fp.DEFAULT_PROTOCOL == 5
    assert compat.HIGHEST_PROTOCOL == pickle.HIGHEST_PROTOCOL
    assert compat.DEFAULT_PROTOCOL == pickle.DEFAULT_PROTOCOL
    assert fp.PickleBuffer is pickle.PickleBuffer
    assert isinstance(fp.__version__, str)


@pytest.mark.parametrize("name", pickle.__all__)
def test_the_pickle_face_has_every_public_name(name):
    if name[:1].isupper() and "_" not in name and inspect.isclass(getattr(pickle, name)):
        assert inspect.isclass(getattr(compat, name))
    elif callable(getattr(pickle, name)):
        assert callable(getattr(compat, name))
    else:
        assert getattr(compat, name) == getattr(pickle, name)


@pytest.mark.parametrize("name", ["dumps", "dump", "loads", "load"])
def test_signatures_are_pickles_and_a_policy(name):
    theirs = inspect.signature(getattr(pickle, name)).parameters
    ours = dict(inspect.signature(getattr(fp, name)).parameters)
    policy = ours.pop("policy")
    assert policy.kind is policy.KEYWORD_ONLY
    assert policy.default is None
    assert list(ours) == list(theirs)
    for key, parameter in theirs.items():
        assert ours[key].kind == parameter.kind, key
        if key != "buffers":  # ours: nothing or none, the same to a caller
            assert ours[key].default == parameter.default, key


def test_default_protocol_of_dumps_is_five():
    assert fp.dumps(None)[:2] == b"\x80\x05"
    assert fp.dumps(None, None)[:2] == b"\x80\x05"
    out = io.BytesIO()
    fp.dump(None, out)
    fp.Pickler(out).dump(None)
    assert out.getvalue() == fp.dumps(None) * 2
    assert compat.dumps(None)[1] == pickle.DEFAULT_PROTOCOL


def test_positional_and_keyword_forms():
    data = fp.dumps([1], 2)
    assert fp.dumps(obj=[1], protocol=2, fix_imports=True, buffer_callback=None) == data
    out = io.BytesIO()
    fp.dump([1], out, 2)
    fp.dump(obj=[1], file=out, protocol=2, fix_imports=True)
    fp.Pickler(out, 2).dump([1])
    fp.Pickler(file=out, protocol=2, fix_imports=False, buffer_callback=None).dump([1])
    assert out.getvalue() == data * 4
    assert fp.loads(data, fix_imports=True, encoding="ASCII", errors="strict", buffers=()) == [1]
    assert fp.load(io.BytesIO(data)) == [1]
    assert fp.load(file=io.BytesIO(data), buffers=None) == [1]
    assert fp.Unpickler(file=io.BytesIO(data), encoding="latin-1").load() == [1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Pickler.dump", {"obj": 1}),
        ("Pickler.persistent_id", {"obj": 1}),
        ("Unpickler.find_class", {"module_name": "builtins", "global_name": "list"}),
        ("Unpickler.persistent_load", {"pid": 1}),
    ],
)
def test_methods_take_their_arguments_by_position_only(name, arguments):
    kind, method = name.split(".")
    ours = getattr(getattr(fp, kind)(io.BytesIO()), method)
    with pytest.raises(TypeError, match="positional-only|keyword"):
        ours(**arguments)
    # Before 3.13 the standard library's objects have no persistent methods to ask.
    theirs = getattr(getattr(pickle, kind)(io.BytesIO()), method, None)
    if theirs is not None:
        with pytest.raises(TypeError):
            theirs(**arguments)


def test_keyword_only_arguments():
    with pytest.raises(TypeError):
        fp.dumps([], 2, True)
    with pytest.raises(TypeError):
        fp.loads(EMPTY_LIST, True)
    with pytest.raises(TypeError):
        fp.dump([], io.BytesIO(), 2, True)


def test_missing_and_unknown_arguments():
    for call in (fp.dumps, fp.loads, fp.dump, fp.load, fp.Pickler, fp.Unpickler):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="protocl"):
        fp.dumps(1, protocl=2)
    with pytest.raises(TypeError, match="buffer"):
        fp.loads(EMPTY_LIST, buffer=())


@pytest.mark.parametrize("number", [-1, -7, 5])
def test_negative_protocol_means_the_highest(number):
    assert fp.dumps([], number) == fp.dumps([], fp.HIGHEST_PROTOCOL)


@pytest.mark.parametrize("number", [6, 255, 2**31 - 1])
def test_protocol_too_high_is_a_value_error(number):
    for call in (lambda: fp.dumps([], number), lambda: fp.Pickler(io.BytesIO(), number)):
        with pytest.raises(ValueError, match="protocol"):
            call()


def test_protocol_takes_whatever_has_an_index():
    class Index:
        def __index__(self):
            return 3

    assert fp.dumps([], Index()) == fp.dumps([], 3)
    assert fp.dumps([], True) == fp.dumps([], 1)


@pytest.mark.parametrize("wrong", ["4", 4.0, b"4", [4]])
def test_wrong_type_of_protocol_names_it(wrong):
    for call in (
        lambda: fp.dumps([], wrong),
        lambda: fp.dump([], io.BytesIO(), wrong),
        lambda: fp.Pickler(io.BytesIO(), wrong),
    ):
        with pytest.raises(TypeError, match="protocol"):
            call()


@pytest.mark.parametrize("wrong", [3, object(), None, "name.pkl"])
def test_wrong_type_of_file_names_it(wrong):
    for call in (
        lambda: fp.dump([], wrong),
        lambda: fp.Pickler(wrong),
        lambda: fp.load(wrong),
        lambda: fp.Unpickler(wrong),
    ):
        with pytest.raises(TypeError, match="file"):
            call()


@pytest.mark.parametrize("wrong", ["text", 3, None, [1, 2]])
def test_wrong_type_of_data_names_it(wrong):
    with pytest.raises(TypeError, match="data"):
        fp.loads(wrong)


@pytest.mark.parametrize("name", ["encoding", "errors"])
@pytest.mark.parametrize("wrong", [3, b"ascii", ["ascii"]])
def test_wrong_type_of_encoding_and_errors_names_it(name, wrong):
    for call in (
        lambda: fp.loads(EMPTY_LIST, **{name: wrong}),
        lambda: fp.load(io.BytesIO(EMPTY_LIST), **{name: wrong}),
        lambda: fp.Unpickler(io.BytesIO(EMPTY_LIST), **{name: wrong}),
    ):
        with pytest.raises(TypeError, match=name):
            call()


def test_wrong_type_of_buffers_names_it():
    with pytest.raises(TypeError, match="buffers"):
        fp.loads(EMPTY_LIST, buffers=3)
    with pytest.raises(TypeError, match="buffers"):
        fp.Unpickler(io.BytesIO(EMPTY_LIST), buffers=3)


def test_wrong_type_of_buffer_callback_names_it():
    for call in (
        lambda: fp.dumps([], buffer_callback=3),
        lambda: fp.dump([], io.BytesIO(), buffer_callback=3),
        lambda: fp.Pickler(io.BytesIO(), buffer_callback=3),
    ):
        with pytest.raises(TypeError, match="buffer_callback"):
            call()


def test_wrong_type_of_policy_names_it():
    for call in (
        lambda: fp.dumps([], policy="keep"),
        lambda: fp.dump([], io.BytesIO(), policy=1),
        lambda: fp.loads(EMPTY_LIST, policy={}),
        lambda: fp.load(io.BytesIO(EMPTY_LIST), policy=True),
        lambda: fp.Pickler(io.BytesIO(), policy=object()),
        lambda: fp.Unpickler(io.BytesIO(), policy=fp.Policy),
    ):
        with pytest.raises(TypeError, match="policy.*Policy"):
            call()


@pytest.mark.parametrize("number", range(5))
def test_buffer_callback_needs_protocol_five(number):
    with pytest.raises(ValueError, match="buffer_callback"):
        fp.dumps([], number, buffer_callback=print)
    with pytest.raises(ValueError, match="buffer_callback"):
        fp.Pickler(io.BytesIO(), number, buffer_callback=print)


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, lambda b: array.array("B", b), pickle.PickleBuffer],
    ids=["bytes", "bytearray", "memoryview", "array", "PickleBuffer"],
)
def test_loads_takes_any_bytes_like(wrap):
    assert fp.loads(wrap(EMPTY_LIST)) == []


def test_loads_refuses_a_view_with_gaps():
    with pytest.raises((BufferError, ValueError)):
        fp.loads(memoryview(EMPTY_LIST * 2)[::2])


def test_loads_takes_the_first_pickle_and_ignores_what_follows():
    assert fp.loads(EMPTY_LIST + b"anything") == []


def test_loads_does_not_keep_its_argument_locked():
    data = bytearray(EMPTY_LIST)
    fp.loads(data)
    data.append(0)
    broken = bytearray(b"\x80\x04\xff")
    with pytest.raises(pickle.UnpicklingError):
        fp.loads(broken)
    broken.append(0)


def test_argument_objects_are_released():
    obj, out = [1], io.BytesIO()
    before = sys.getrefcount(obj), sys.getrefcount(out)
    fp.dump(obj, out)
    fp.Pickler(out).dump(obj)
    fp.loads(fp.dumps(obj))
    assert (sys.getrefcount(obj), sys.getrefcount(out)) == before
