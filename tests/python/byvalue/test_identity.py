"""Which class comes back: `Policy(identity=)`."""

import pickle
import typing

import pytest

import ferropickle as fp
from helpers.subprocs import run_python


def make(value=1):
    class Local:
        attribute = value

        def method(self):
            return self.attribute

    return Local


@pytest.mark.parametrize("loads", [fp.loads, pickle.loads])
def test_the_senders_own_class_comes_back(loads):
    cls = make()
    assert loads(fp.dumps(cls)) is cls
    assert type(loads(fp.dumps(cls()))) is cls


def test_first_leaves_the_receivers_class_as_it_is():
    cls = make()
    data = fp.dumps(cls)
    cls.attribute = 99
    assert fp.loads(data) is cls
    assert cls.attribute == 99


def test_refresh_sets_the_attributes_again():
    cls = make()
    data = fp.dumps(cls, policy=fp.Policy(identity="refresh"))
    cls.attribute = 99
    assert fp.loads(data) is cls
    assert cls.attribute == 1


def test_new_makes_another():
    cls = make()
    back = fp.loads(fp.dumps(cls, policy=fp.Policy(identity="new")))
    assert back is not cls
    assert back().method() == 1


def test_two_classes_alike_stay_two():
    first, second = make(), make()
    back = fp.loads(fp.dumps([first, second, first]))
    assert back == [first, second, first]
    assert first is not second


@pytest.mark.parametrize("values", [(1, 2), ([1], [2]), (typing.List[int], typing.List[str])])  # noqa: UP006
def test_what_differs_has_another_id(values):
    """Not even if the first class is gone: its id may still be known elsewhere."""
    ids = set()
    for value in values:
        cls = make(value)
        data = fp.dumps(cls)
        ids.add(next(text for text in strings(data) if text.startswith("Local:")))
        del cls
    assert len(ids) == 2


def strings(data):
    import pickletools

    return [arg for op, arg, _ in pickletools.genops(data) if isinstance(arg, str)]


def test_the_id_is_the_same_in_every_process():
    code = """
import ferropickle as fp, pickletools
class A:
    x = {1, 2, "a", "b"}
    def method(self, a=(1, 2)):
        return a in {"p", "q", "r"}
args = [arg for _, arg, _ in pickletools.genops(fp.dumps(A))]
print([arg for arg in args if isinstance(arg, str) and arg.startswith("A:")])
"""
    assert run_python(code) == run_python(code) != ""


def test_code_that_changes_the_class_while_it_is_looked_at():
    """Under the allocator that shows what is used after it is gone."""
    code = """
import ferropickle as fp, pickle
class Meta(type):
    def __getattribute__(cls, name):
        if name == "__module__" and classes:
            one = classes.pop()
            for number in range(30):
                delattr(one, f"odd{number}")
        return super().__getattribute__(name)
class Odd(metaclass=Meta):
    pass
class Klass:
    pass
for number in range(30):
    setattr(Klass, f"odd{number}", Odd())
classes = [Klass]
assert not any(name.startswith("odd") for name in vars(pickle.loads(fp.dumps(Klass))))
"""
    run_python(code, flags=("-X", "dev"))


def test_a_class_that_was_received_goes_back_as_the_senders(tmp_path):
    """Also from a receiver that loads with plain pickle."""
    cls = make()
    (tmp_path / "out").write_bytes(fp.dumps(cls))
    run_python(
        """
        import pickle, sys
        from pathlib import Path
        folder = Path(sys.argv[1])
        cls = pickle.loads((folder / "out").read_bytes())
        import ferropickle as fp
        (folder / "back").write_bytes(fp.dumps(cls()))
        """,
        tmp_path,
    )
    assert type(fp.loads((tmp_path / "back").read_bytes())) is cls


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_the_first_dump_of_a_class_is_as_the_second(count):
    # Making its id runs Python code, which must not cost the stream its short form.
    cls = make(count)
    objects = [cls() for _ in range(count)]
    for number, obj in enumerate(objects):
        obj.number = [number]
    assert fp.dumps(objects) == fp.dumps(objects)


def test_a_dump_with_many_new_classes_loads():
    classes = [make(number) for number in range(50)]
    graph = [[cls, cls()] for cls in classes]
    back = pickle.loads(fp.dumps(graph))
    assert [cls for cls, _ in back] == classes
    assert all(type(instance) is cls for cls, instance in back)


def test_buffers_before_a_new_class_are_given_once():
    data = [bytearray(b"one"), bytearray(b"two")]
    buffers, cls = [], make()
    stream = fp.dumps([*map(pickle.PickleBuffer, data), cls()], buffer_callback=buffers.append)
    assert [bytes(buffer) for buffer in buffers] == data
    *back, instance = pickle.loads(stream, buffers=buffers)
    assert [bytes(buffer) for buffer in back] == data
    assert type(instance) is cls


def test_a_class_without_a_hash_goes_without_an_id():
    class Meta(type):
        __hash__ = None

    cls = Meta("cls", (), {"attribute": 5})
    back = pickle.loads(fp.dumps([cls]))[0]
    assert back is not cls
    assert back.attribute == 5


NAMES_AND_VALUES = """
def make():
    class A:
        \"\"\"With values that are equal to names.\"\"\"
        first = "join"
        def join(self, first):
            return first
    A.join.first = "join"
    return A
"""


def test_names_and_values_that_are_equal_do_not_change_the_stream(tmp_path):
    """However the receiver shares strs among them."""
    send = """
import sys
import ferropickle as fp
with open(sys.argv[1], "wb") as file:
    file.write(fp.dumps(make()))
"""
    again = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    data = file.read()
made = pickle.loads(data)
import ferropickle as fp
assert fp.dumps(made) == data
assert fp.dumps(pickle.loads(fp.dumps(made))) == data
"""
    run_python(NAMES_AND_VALUES + send, tmp_path / "stream")
    run_python(again, tmp_path / "stream")
