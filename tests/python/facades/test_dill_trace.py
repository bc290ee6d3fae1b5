"""`compat.dill.detect.trace`: the tree of a dump, with sizes.

What belongs here: what is traced, where it goes, what is as before afterwards.
"""

import io
import logging
import re

import pytest

from ferropickle.compat import dill
from ferropickle.compat.dill import detect
from ferropickle.compat.dill.logger import adapter, logger

ENTERED = re.compile(r"(│*├)?┬ (?P<mark>\w+): <.*>")
LEFT = re.compile(r"│*└ # (?P<mark>\w+) \[(?P<size>\d+) (\wi)?B\]")


class Thing:
    def __init__(self):
        self.part = [1]

    def __repr__(self):
        raise AssertionError("a trace runs no code of the objects")


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle 'Refuses' object")


def traced(obj, **kwds):
    out = io.StringIO()
    with detect.trace(out):
        data = dill.dumps(obj, **kwds)
    return data, out.getvalue().splitlines()


@pytest.fixture(autouse=True)
def logging_is_left_alone():
    before = (logger.level, list(logger.handlers))
    yield
    assert (logger.level, list(logger.handlers)) == before


def test_a_dict_in_a_dict():
    inner = {"x": None}
    outer = {"a": 42, "b": inner}
    data, lines = traced(outer)
    assert lines[:2] == [
        f"┬ D: <dict object at {id(outer):#x}>",
        f"├┬ D: <dict object at {id(inner):#x}>",
    ]
    assert [LEFT.fullmatch(line)["mark"] for line in lines[2:]] == ["D", "D"]
    assert dill.loads(data) == outer


def test_lines_pair_up_as_brackets_do():
    _, lines = traced([Thing(), {"f": logging.getLogger, "t": (1, [Thing])}, range(3)])
    marks = []
    for line in lines:
        if entered := ENTERED.fullmatch(line):
            marks.append(entered["mark"])
        else:
            assert LEFT.fullmatch(line)["mark"] == marks.pop()
    assert not marks
    assert len(lines) > 12


def test_sizes_are_those_of_the_stream():
    data, lines = traced(["x" * 1000])
    size = int(LEFT.fullmatch(lines[-1])["size"])
    assert 1000 < size <= len(data)
    _, lines = traced([b"x" * 5000])
    assert lines[-1].endswith("[5 KiB]")


def test_sizes_of_streams_that_are_written_in_pieces():
    parts = [str(i) * 500 for i in range(2000)]
    data, lines = traced(parts)
    assert len(data) > 1 << 20
    assert lines[-1].endswith(f"[{len(data) / (1 << 20):.0f} MiB]")


def test_what_was_written_before_is_not_there_again():
    shared = [1]
    _, lines = traced([shared, shared])
    assert len(lines) == 4


def test_a_dump_that_fails_leaves_what_it_was_in():
    out = io.StringIO()
    with detect.trace(out), pytest.raises(TypeError):
        dill.dumps({"bad": [1], "worse": Refuses()})
    entered = [line for line in out.getvalue().splitlines() if "┬" in line]
    assert "Refuses object" in entered[-1]


def test_switched_on_and_off(capsys):
    adapter.info("not seen")
    detect.trace(True)
    try:
        dill.dumps([1])
    finally:
        detect.trace(False)
    dill.dumps([2])
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_to_a_file_with_lines_of_one_s_own(tmp_path):
    path = tmp_path / "trace.txt"
    for _ in range(2):
        with detect.trace(path, mode="w") as log:
            log("> D = %r", [])
            dill.dumps([1])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "> D = []"
    assert len(lines) == 3
    with detect.trace(str(path)):
        dill.dumps([1])
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5


def test_the_level_comes_back():
    logger.setLevel(logging.ERROR)
    try:
        with detect.trace(io.StringIO()):
            assert logger.level == logging.INFO
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(logging.WARNING)


def test_hooks_of_a_subclass_still_work():
    class Marked(dill.Pickler):
        def persistent_id(self, obj):
            return "thing" if type(obj) is Thing else None

    file, out = io.BytesIO(), io.StringIO()
    with detect.trace(out):
        Marked(file).dump([Thing()])
    assert b"thing" in file.getvalue()
    assert "part" not in out.getvalue()


def test_streams_are_the_same_with_a_trace():
    obj = {"a": [1, 2], "b": (Thing, Thing)}
    file = io.BytesIO()
    dill.dump(obj, file)
    assert traced(obj)[0] == file.getvalue()
