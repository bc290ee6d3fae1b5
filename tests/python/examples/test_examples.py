"""Every program in examples/python runs to its end.

What belongs here: nothing else; what the examples show is tested where it lives.
"""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAMS = sorted((ROOT / "examples" / "python").glob("*.py"))
ARGUMENTS = {"demo.py": ["--small"]}


def test_there_are_examples():
    assert [path.name for path in PROGRAMS if path.name == "demo.py"] == ["demo.py"]
    assert len(PROGRAMS) > 1


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_example(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *ARGUMENTS.get(path.name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert done.stdout.strip()
