"""`python -m ferropickle bench`: which objects it takes, what it prints, how it measures."""

import importlib.util
import io
import pickle
import re
import sys

import pytest

import ferropickle as fp
from ferropickle._commands import _memory, _rounds, bench
from helpers.subprocs import run_python

QUICK = ["--seconds", "0.01"]
OBJECT = {"rows": [{"id": i, "name": f"user-{i}"} for i in range(500)]}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")


def rows(text):
    """The table's rows: serializer -> cells."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if set(line) == {"-"}) + 1
    split = (re.split(r"\s{2,}", line) for line in lines[first : lines.index("", first)])
    return {cells[0]: cells[1:] for cells in split}


@pytest.fixture
def pickle_file(tmp_path):
    path = tmp_path / "object.pkl"
    path.write_bytes(pickle.dumps(OBJECT))
    return str(path)


def test_a_pickle_file(pickle_file, capsys):
    assert bench.main([pickle_file, "--no-memory", *QUICK]) == 0
    seen = capsys.readouterr().out
    assert seen.startswith(f"{pickle_file}: dict of 1\n")
    table = rows(seen)
    assert {"pickle", "ferropickle"} <= set(table)
    assert table["pickle"][2] == f"{len(pickle.dumps(OBJECT, 5)):,}"
    assert table["ferropickle"][2] == f"{len(fp.dumps(fp.loads(pickle.dumps(OBJECT)), 5)):,}"
    assert "(1.00 ±0 %)" in table["pickle"][0]
    assert "The standard library's pickle.loads reads ferropickle's stream." in seen


def test_a_saved_file(tmp_path, capsys):
    path = tmp_path / "object.fp"
    fp.save(OBJECT, path)
    assert bench.main([str(path), "--no-memory", "--only", "pickle,ferropickle", *QUICK]) == 0
    assert list(rows(capsys.readouterr().out)) == ["pickle", "ferropickle"]


def test_an_expression(capsys):
    arguments = ["string:[ascii_letters, {1: digits}]", "--only", "ferropickle", *QUICK]
    assert bench.main([*arguments, "--no-memory"]) == 0
    seen = capsys.readouterr().out
    assert "list of 2" in seen
    assert list(rows(seen)) == ["ferropickle"]


def test_who_is_left_out_is_left_out(pickle_file, capsys):
    assert bench.main([pickle_file, "--no-memory", "--only", "ferropickle, pickle", *QUICK]) == 0
    assert list(rows(capsys.readouterr().out)) == ["pickle", "ferropickle"]
    with pytest.raises(SystemExit):
        bench.main([pickle_file, "--only", "marshal"])
    assert "unknown serializer 'marshal'" in capsys.readouterr().err


def test_what_pickle_cannot_has_another_base(capsys):
    arguments = ["builtins:lambda: 1", "--no-memory", "--only", "pickle,ferropickle", *QUICK]
    assert bench.main(arguments) == 0
    seen = capsys.readouterr().out
    assert list(rows(seen)) == ["ferropickle"]
    assert "time over that of ferropickle" in seen
    assert re.search(r"^pickle: \w+Error: .*lambda", seen, re.MULTILINE)


def test_what_we_cannot_is_a_failure(capsys):
    assert bench.main(["sys:_getframe()", "--no-memory", *QUICK]) == 1
    assert re.search(r"^ferropickle: \w*Error: ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("text", ["no-such-file.pkl", "no_such_module:x", "string:nothing", ":x"])
def test_an_object_that_is_not_there(text, capsys):
    assert bench.main([text]) == 2
    assert capsys.readouterr().err.startswith(f"{text}: ")


def test_a_package_that_is_not_there(pickle_file, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "dill", None)
    assert bench.main([pickle_file, "--no-memory", *QUICK]) == 0
    assert "\ndill: not installed\n" in capsys.readouterr().out


def test_buffers_out_of_band():
    """As a program, too."""
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("needs numpy")
    seen = run_python(
        "import runpy; runpy.run_module('ferropickle', run_name='__main__')",
        *("bench", "numpy:[arange(1000.0), arange(500.0)]", "--no-memory"),
        *("--only", "pickle,ferropickle", *QUICK),
    )
    table = rows(seen)
    assert table["pickle"][3] == table["ferropickle"][3] == "2 of 12,000 B"


@linux
def test_peak_memory_is_shown(capsys):
    arguments = ["builtins:bytes(64 << 20)", "--only", "pickle,ferropickle", *QUICK]
    assert bench.main(arguments) == 0
    for cells in rows(capsys.readouterr().out).values():
        mib = [float(cell.removesuffix(" MiB")) for cell in cells[3].split(" / ")]
        assert all(60 < number < 140 for number in mib), cells


@linux
def test_the_peak_of_a_call():
    block = 32 << 20
    peak = _memory.peak_in_fork(lambda: block, lambda n: len(b"x" * n))
    assert 0.95 * block < peak * 1024 < 1.2 * block  # the system counts in batches of pages
    assert _memory.peak_in_fork(lambda: block, lambda n: n) < 1024


@linux
def test_memory_that_was_freed_before_counts():
    blocks = [b"x" * 50_000 for _ in range(600)]
    keeps_the_heap_large = b"x" * 50_000
    del blocks
    peak = _memory.peak_in_fork(lambda: 600, lambda n: [b"x" * 50_000 for _ in range(n)])
    assert peak * 1024 > 0.95 * 600 * 50_000
    del keeps_the_heap_large


@linux
@pytest.mark.parametrize("where", [0, 1])
def test_a_call_that_raises_has_no_peak(where):
    calls = [lambda *_: 1, lambda *_: 1]
    calls[where] = lambda *_: 1 // 0
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        assert _memory.peak_in_fork(*calls) is None
    finally:
        sys.stderr = stderr


def test_calls_take_turns(monkeypatch):
    """And another is first in every round."""
    clock = iter(range(10**6))
    order = []
    monkeypatch.setattr(_rounds, "perf_counter", lambda: next(clock) / 100)
    calls = {name: (order.append, name) for name in "abc"}
    times = _rounds.side_by_side(calls, 0.0)
    assert "".join(order)[3:] == "abc" + "bca" + "cab"  # the first three: how long they take
    assert {name: (t.seconds, t.ratio, t.spread) for name, t in times.items()} == {
        name: (pytest.approx(0.01), pytest.approx(1), pytest.approx(0)) for name in "abc"
    }


def test_ratios_are_of_the_same_round(monkeypatch):
    """The base's time changes from round to round, and the other's with it."""
    now = [0.0]
    lasts = iter([1, 2, 1, 2, 8, 4, 2, 4])  # base, other; then rounds: the order turns

    def tick(_):
        now[0] += next(lasts)

    monkeypatch.setattr(_rounds, "perf_counter", lambda: now[0])
    times = _rounds.side_by_side({"base": (tick, 0), "other": (tick, 0)}, 0.0)
    assert times["base"].ratio == 1
    assert times["other"].ratio == 2
    assert times["other"].spread == 0
