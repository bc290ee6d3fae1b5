"""The suite in ``benches/python``: its workloads, its comparison of copies, its records.

Everything runs in interpreters of its own: the suite's modules have short names, and NumPy may
not be imported into the tests' process.
"""

import importlib.util
import json
import platform
import re
from pathlib import Path

import pytest

from helpers.subprocs import run_python

BENCHES = Path(__file__).resolve().parents[3] / "benches"
RECORDS = sorted((BENCHES / "record").glob("*.json"))
GROUPS = ("arrays", "callables", "definitions", "device", "mixes", "objects", "plain")
KINDS = {"times", "growth", "memory", "threads", "import", "files", "processes", "channel"}


def run(code, *args, **options):
    """Run the code where the suite's modules can be imported."""
    path = f"import sys; sys.path.insert(0, {str(BENCHES / 'python')!r})\n"
    return run_python(path + code, *args, **options)


def test_the_groups_are_those_of_the_suite():
    found = run(
        "from payloads import PAYLOADS; print(*sorted({p.group for p in PAYLOADS.values()}))"
    )
    assert tuple(found.split()) == GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_every_workload_comes_back_the_same(group):
    """Through ferropickle, through its stream and `pickle.loads`, and through the base."""
    seen = run(
        """
import importlib.util, json, sys
import measure
from contenders import OURS
from payloads import PAYLOADS, Unavailable

sys.setrecursionlimit(measure.RECURSION_LIMIT)
verdicts = {}
for name, payload in PAYLOADS.items():
    if payload.group != sys.argv[1]:
        continue
    missing = [m for m in payload.needs if importlib.util.find_spec(m) is None]
    if missing:
        verdicts[name] = f"needs {missing[0]}"
        continue
    try:
        obj = payload.build(min(payload.n, 8))
    except Unavailable as reason:
        verdicts[name] = str(reason)
        continue
    subjects, failed = measure.prepare(payload, obj, [payload.base, OURS])
    verdicts[name] = failed or [subjects[n].copy for n in (payload.base, OURS)]
print(json.dumps(verdicts))
        """,
        group,
    )
    verdicts = json.loads(seen.splitlines()[-1])
    assert verdicts
    for name, verdict in verdicts.items():
        assert verdict == ["", ""] or re.match(r"needs [\w ]+$", str(verdict)), (name, verdict)


def test_copies_that_differ_are_told():
    run(
        """
import functools
from same import same

class Box:
    def __init__(self, value): self.value = value
    def get(self): return self.value

shared = [1]
for a, b, verdict in (
    ([1, 2.5, "x", None], [1, 2.5, "x", None], ""),
    ([1], [True], "x"),
    ([1], (1,), "x"),
    ([1], [1, 2], "x"),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "x"),
    ([0.0], [-0.0], "x"),
    ([float("nan")], [float("nan")], ""),
    ({1, 2}, {1, 3}, "x"),
    (Box(1), Box(2), "x"),
    (Box([1]), Box([1]), ""),
    (Box(1).get, Box(1).get, ""),
    (Box(1).get, Box(2).get, "x"),
    (functools.partial(int, base=2), functools.partial(int, base=3), "x"),
    (lambda: 1, lambda: 2, "x"),
    ([shared, shared], [[1], [1]], "i"),
    ([[1], [1]], [shared, shared], "i"),
    (bytearray(b"a"), bytearray(b"b"), "x"),
):
    assert same(a, b) == verdict, (a, b, same(a, b))
        """
    )


def test_of_a_large_graph_the_copy_of_a_smaller_one_is_compared():
    run(
        """
import measure
from contenders import CONTENDERS, OURS
from payloads import PAYLOADS

large, small = [[1], [2]], [["a"]]
seen = []
measure.same = lambda a, b: seen.append((a, b)) or ""
names = ["pickle", OURS, "ferropickle, stock stream"]
subjects, failed = measure.prepare(PAYLOADS["records"], large, names, small)
assert not failed and set(subjects) == set(names), failed
assert seen == [(small, small)] * 3, seen  # ours once more, by pickle.loads
assert all(s.loads(s.data) == large for s in subjects.values())
        """
    )


def test_arrays_that_differ_are_told():
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("needs numpy")
    run(
        """
import numpy as np
from same import same

nan = np.array([1.0, np.nan])
assert same(nan, nan.copy()) == ""
assert same(nan, nan * 2) == "x"
assert same(np.arange(3), np.arange(3.0)) == "x"
assert same(np.arange(4), np.arange(4).reshape(2, 2)) == "x"
assert same(np.array(["a", None], object), np.array(["b", None], object)) == "x"
        """
    )


def test_tables_of_the_suite_name_what_there_is():
    run(
        """
import jobs, suite, targets
from contenders import CONTENDERS
from payloads import PAYLOADS

names = {*targets.TARGETS, *targets.SINGLE, *suite.LARGE, *suite.SHORT, *suite.SHORT_ALONE}
names |= {*suite.SHORT_GROWING, *suite.SHORT_MEMORY, *jobs.GROWING}
names |= {workload for workload, _ in targets.THREADS}
assert names <= set(PAYLOADS), names - set(PAYLOADS)
takers = {*suite.SHORT_PEERS, *(c.reads for c in CONTENDERS.values() if c.reads)}
for payload in PAYLOADS.values():
    takers |= {payload.base, *payload.contenders, *payload.also}
assert takers <= set(CONTENDERS), takers - set(CONTENDERS)
        """
    )


def test_a_run_leaves_a_record_and_a_page(tmp_path):
    out = tmp_path / "record.json"
    run(
        """
import sys
from pathlib import Path
import imports, pages, records, suite

suite.SIZES = (1000,)
imports.MODULES = imports.MODULES[:2]
out = Path(sys.argv[1])
arguments = ["--short", "--rounds", "2", "--only", "small_message", "--only", "instances"]
arguments += ["--sections", "times/times, gc off/threads/import", "--json", str(out)]
assert suite.main(arguments) == 0
records.keep("kept", records.read(out), out.parent)
        """,
        out,
    )
    record = json.loads(out.read_text())
    check(record)
    assert set(record["sections"]) == {"times", "times, gc off", "threads", "import"}
    times = {r["workload"]: r["rows"] for r in record["sections"]["times"]}
    assert set(times) == {"small_message", "instances"}
    for rows in times.values():
        assert rows["pickle"]["dumps"]["ratio"] == 1
        assert rows["ferropickle"]["copy"] == ""
        assert rows["ferropickle"]["loads"]["ns"] > 0
        assert rows["ferropickle"]["bytes"] <= rows["pickle"]["bytes"]
    assert json.loads((tmp_path / "kept.json").read_text()) == record
    page = (tmp_path / "kept.md").read_text()
    for heading in ("# kept", "## Time", "## Time, gc off", "## Threads", "## First import"):
        assert f"{heading}\n" in page
    assert "| instances (10,000 instances)" in page
    assert "| import ferropickle" in page


def test_a_contender_that_crashes_is_left_out(tmp_path):
    """The program that measures is replaced by one in which a contender ends the process."""
    (tmp_path / "measure.py").write_text(
        f"import os, sys; sys.path[0] = {str(BENCHES / 'python')!r}\n"
        "import contenders, measure\n"
        "crash = lambda: (lambda obj: os._exit(3), None)\n"
        "vars(contenders.CONTENDERS['marshal'])['plain'] = crash\n"
        "measure.main()\n"
    )
    seen = run(
        """
import jobs, sys
from pathlib import Path

jobs.HERE = Path(sys.argv[1])
job = jobs.Job("one_int", ("pickle", "marshal", "ferropickle"))
result = jobs.measure(job, jobs.Options(rounds=2, sample_ms=0.1))
assert set(result["rows"]) == {"pickle", "ferropickle"}, result
print(result["failed"]["marshal"])
        """,
        tmp_path,
    )
    assert seen.strip() == "crashed the process (status 3)"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_committed_records_can_be_read(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    check(record)
    name = path.with_suffix(".md")
    assert name.exists(), "a record has its page"
    run(
        "import pages, records, sys; from pathlib import Path\n"
        "assert '| ' in pages.page(records.read(Path(sys.argv[1])), True)",
        path,
    )


def check(record):
    """What every record has, and what none may have."""
    environment = record["environment"]
    for key in ("cpu", "cores", "system", "python", "packages"):
        assert environment[key], key
    assert {name.partition(",")[0] for name in record["sections"]} <= KINDS
    assert all(record["sections"].values())
    text = json.dumps(record)
    assert platform.node() not in text or len(platform.node()) < 4
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/", text)
