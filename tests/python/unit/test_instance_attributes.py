"""Attributes of plain instances: read where the interpreter keeps them, with or without a dict."""

import gc
import pickle
import sys

import pytest

import ferropickle as fp


class Plain:
    pass


class Slotted:
    __slots__ = ("__dict__", "slot")


class Reduced:
    def __init__(self, value, owner=None):
        self.value = value
        self.owner = owner

    def __reduce__(self):
        if self.owner is not None:
            # What user code does to an instance that is being written.
            self.owner.late = 5
            del self.owner.last
        return Reduced, (self.value,)


def filled(cls=Plain, count=3):
    obj = cls()
    for number in range(count):
        setattr(obj, f"name_{number}", [number])
    return obj


def attributes(obj):
    return list(vars(obj).items())


@pytest.mark.parametrize("loads", [fp.loads, pickle.loads])
@pytest.mark.parametrize("count", [0, 1, 2, 29, 30, 31, 100])
@pytest.mark.parametrize("cls", [Plain, Slotted])
def test_any_number_of_attributes(loads, cls, count):
    objects = [filled(cls, count) for _ in range(3)]
    back = loads(fp.dumps(objects))
    assert [attributes(obj) for obj in back] == [attributes(filled(cls, count))] * 3


def test_attributes_deleted_and_set_again_keep_their_order():
    objects = [filled() for _ in range(3)]
    for obj in objects:
        del obj.name_1
        obj.other = 1
        obj.name_1 = 2
    back = pickle.loads(fp.dumps(objects))
    assert attributes(back[2]) == [("name_0", [0]), ("name_2", [2]), ("other", 1), ("name_1", 2)]


def test_all_attributes_deleted():
    obj = filled()
    for name in ("name_0", "name_1", "name_2"):
        delattr(obj, name)
    assert attributes(pickle.loads(fp.dumps([obj, obj]))[0]) == []


def test_slots_and_attributes():
    obj = filled(Slotted)
    obj.slot = {"a": obj}
    back = pickle.loads(fp.dumps(obj))
    assert attributes(back) == attributes(filled())
    assert back.slot["a"] is back


def test_an_instance_is_left_without_a_dict():
    obj = filled()
    before = len(gc.get_referents(obj))
    fp.dumps(obj)
    assert len(gc.get_referents(obj)) == before


def test_a_dict_that_others_have_is_written_once():
    obj = filled()
    shared = vars(obj)
    stream = fp.dumps([obj, shared])
    back, twin = pickle.loads(stream)
    assert vars(back) == twin == shared
    assert back.name_0 is twin["name_0"]
    assert stream.count(b"name_0") == 1


def test_an_instance_that_refers_to_itself():
    obj = filled()
    obj.me = obj
    back = pickle.loads(fp.dumps([obj, 1]))[0]
    assert back.me is back


def test_a_name_that_overrides_the_reduction():
    obj = filled()
    obj.__reduce__ = lambda: (Plain, ())
    obj.__reduce_ex__ = lambda protocol: (Plain, ())
    assert attributes(pickle.loads(fp.dumps(obj))) == []


@pytest.mark.parametrize("many", [0, 1000])
def test_user_code_in_the_middle(many):
    # With many containers written before, the walk goes on instead of beginning again.
    obj = filled()
    obj.reduced = Reduced(7)
    obj.after = [8]
    *_, back = pickle.loads(fp.dumps([*([n] for n in range(many)), obj]))
    assert [name for name, _ in attributes(back)] == [
        "name_0",
        "name_1",
        "name_2",
        "reduced",
        "after",
    ]
    assert (back.reduced.value, back.after) == (7, [8])


@pytest.mark.parametrize("many", [0, 1000])
def test_user_code_that_changes_the_instance_in_the_middle(many):
    obj = filled()
    obj.reduced = Reduced(7, obj)
    obj.last = [8]
    graph = [*([n] for n in range(many)), obj]
    try:
        back = pickle.loads(fp.dumps(graph))[-1]
    except RuntimeError as error:
        # As for a dict: it was met while it was being written.
        assert "changed size" in str(error)  # noqa: PT017
    else:
        assert back.name_0 == [0]
        assert back.reduced.value == 7


def test_the_path_to_an_attribute():
    obj = filled()
    obj.inner = filled()
    obj.inner.lock = sys._getframe()
    with pytest.raises(TypeError) as caught:
        fp.dumps([obj])
    assert "obj[0].inner.lock" in str(caught.value)
