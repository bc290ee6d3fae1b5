"""The guard against slow-downs in ``benches/guard``: what it says of counts, and its baseline."""

import json
from pathlib import Path

from helpers.subprocs import run_python

GUARD = Path(__file__).resolve().parents[3] / "benches" / "guard"


def run(code, *args):
    paths = [str(GUARD), str(GUARD.parent / "python")]
    return run_python(f"import sys; sys.path[:0] = {paths!r}\n" + code, *args)


def test_what_is_too_much():
    run(
        """
import guard

def judge(before, now, made=("a", "a")):
    baseline, found = ({"made_with": {"python": m}, "instructions": c}
                       for m, c in zip(made, (before, now)))
    return guard.verdict(baseline, found)

text, status = judge({"x": 1000, "y": 1000}, {"x": 1049, "y": 1000})
assert status == 0 and "guard: passed, 2 cases" in text, text

text, status = judge({"x": 1000, "y": 1000}, {"x": 1051, "y": 1000})
assert status == 1 and "FAILED" in text and text.count("TOO MUCH") == 1, text

text, status = judge({"x": 1000, "y": 1000}, {"x": 1000, "y": 900})
assert status == 0 and "1 cases are better by 5 %" in text, text

for before, now in (({"x": 1}, {"x": 1, "y": 1}), ({"x": 1, "y": 1}, {"x": 1})):
    text, status = judge(before, now)
    assert status == 1 and "only in" in text, text

text, status = judge({"x": 1000}, {"x": 2000}, ("3.11", "3.12"))
assert status == 0 and "not judged" in text and "python: baseline 3.11, here 3.12" in text, text
        """
    )


def test_without_valgrind_it_says_so():
    run(
        """
import contextlib, io, os
import guard

os.environ["PATH"] = "/nonexistent"
out = io.StringIO()
with contextlib.redirect_stdout(out):
    assert guard.main([]) == 0
assert out.getvalue().startswith("guard: SKIPPED, valgrind is not here")
        """
    )


def test_what_callgrind_writes_is_read(tmp_path):
    dump = tmp_path / "counts.1"
    dump.write_text("version: 1\nevents: Ir\nfn=(1) x\n1 5\n\ntotals: 1234\n")
    run(
        "import guard; from pathlib import Path; assert guard._total(Path(sys.argv[1])) == 1234",
        dump,
    )


def test_the_baseline_is_of_the_cases_that_are_counted():
    baseline = json.loads((GUARD / "baseline.json").read_text(encoding="utf-8"))
    names = run("import program; print(*program.CASES)").split()
    assert set(baseline["instructions"]) == {
        f"{n} {op}" for n in names for op in ("dumps", "loads")
    }
    assert set(baseline["made_with"]) == {"python", "rustc", "libc", "machine", "valgrind"}
    assert all(count > 1000 for count in baseline["instructions"].values())
    assert "/" not in json.dumps(baseline["made_with"])


def test_the_cases_are_counted_as_often_as_they_say():
    """Between the two marks of a case lie its calls, and before them the warm-up."""
    seen = run(
        """
import program

events = []
program.mark = lambda: events.append("mark")
program.count("a case", lambda arg: events.append(arg), ["a", "b"], 3)
assert events == ["a"] * program.WARM_UP + ["mark"] + ["a"] * 3 + ["b"] * 3 + ["mark"], events
        """
    )
    assert seen == "a case 6\n"
