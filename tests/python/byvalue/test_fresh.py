"""What goes by value is loaded by plain pickle in a fresh interpreter with nothing installed."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("cases_main.py")

LOAD = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    made = pickle.load(file)
said = {}
for key, (stream, expression, _) in made.items():
    try:
        said[key] = repr(eval(expression, {"x": pickle.loads(stream)})) if stream else None
    except Exception as exc:
        said[key] = f"{type(exc).__name__}: {exc}"
assert "ferropickle" not in sys.modules
with open(sys.argv[2], "wb") as file:
    pickle.dump(said, file)
"""


def names():
    """The names of the cases that this Python has, without running them."""
    tree = ast.parse(CASES.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CASES":
            yield from (key.value for key in node.value.keys)
    if sys.version_info >= (3, 12):
        yield from ("PEP 695 class", "PEP 695 alias", "PEP 695 function")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What every case said where it was dumped, and where it was loaded."""
    folder = tmp_path_factory.mktemp("fresh")
    made, said = folder / "made", folder / "said"
    subprocess.run([sys.executable, str(CASES), str(made)], check=True, timeout=120)
    load = [sys.executable, "-I", "-S", "-c", LOAD, str(made), str(said)]
    subprocess.run(load, check=True, timeout=120, cwd=folder)
    return pickle.loads(made.read_bytes()), pickle.loads(said.read_bytes())


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", list(names()))
def test_fresh(name, protocol, outcome):
    made, said = outcome
    stream, _, expected = made[name, protocol]
    assert stream is not None, expected
    assert said[name, protocol] == expected
