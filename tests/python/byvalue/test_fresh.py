"""What goes by value is loaded by plain pickle in a fresh interpreter with nothing installed.

The cases are in the scripts `cases_*.py`; `helpers/cases.py` says what a case is, and how each is
written: by ferropickle itself and by the faces of cloudpickle and dill.
"""

import ast
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cases import WRITERS
from helpers.subprocs import environment

SCRIPTS = sorted(Path(__file__).parent.glob("cases_*.py"))

# Each copy by itself: a case may change what it is given.
LOAD = """
import sys
import LIBRARY as library
import pickle
with open(sys.argv[1], "rb") as file:
    made = pickle.load(file)
said = {}
for name, (streams, expression, _) in made.items():
    for writer, stream in streams.items():
        if isinstance(stream, bytes):
            try:
                said[name, writer] = repr(eval(expression, {"x": library.loads(stream)}))
            except Exception as exc:
                said[name, writer] = f"{type(exc).__name__}: {exc}"
assert library is not pickle or "ferropickle" not in sys.modules
with open(sys.argv[2], "wb") as file:
    pickle.dump(said, file)
"""

# How a face keeps to the contract of the package that it stands for, in place of what is expected:
# the beginning of the error, or of what the expression says.
CONTRACTS = {
    ("namedtuple", "dill"): "AttributeError: Can't get attribute 'Point'",
    ("typed namedtuple", "dill"): "AttributeError: Can't get attribute 'Typed'",
    ("text file that is read", "cloudpickle"): "AttributeError: '_io.StringIO' object has no",
    ("file that is written", "cloudpickle"): "PicklingError: Cannot pickle files that are not",
    ("file that is appended to", "cloudpickle"): "PicklingError: Cannot pickle files that are not",
    ("logger with a handler", "cloudpickle"): "PicklingError: Cannot pickle files that are not",
    ("closed file", "cloudpickle"): "PicklingError: Cannot pickle closed files",
    ("standard streams", "cloudpickle"): "PicklingError: Cannot pickle standard input",
    # Opened again at their start: `fmode` says so.
    ("text file that is read", "dill"): "('line 0",
    ("binary file", "dill"): "(b'line 0",
    ("file that is written", "dill"): "(0, ",
    # What NumPy itself leaves out of its pickles; dill brings it.
    **{
        ("subclass with attributes", writer): "AttributeError: 'Plain' object has no attribute"
        for writer in ("protocol 2", "protocol 5", "cloudpickle")
    },
}

# Where a stream of a face needs the library to be loaded: what becomes of open files, which dill
# gives a choice of, is for code of its own to find out.
NEED_THE_LIBRARY = {
    ("text file that is read", "dill"),
    ("binary file", "dill"),
    ("file that is written", "dill"),
    ("file that is appended to", "dill"),
    ("closed file", "dill"),
    ("logger with a handler", "dill"),
}


def cases():
    """The script and the name of each case that this Python has, without running them."""
    for script in SCRIPTS:
        for name in named(ast.parse(script.read_text(encoding="utf-8")).body):
            yield pytest.param(script, name, id=f"{script.stem[6:]}-{name}")


def named(body):
    """Keys of the dicts in capitals, and of what is put into them by the version of Python."""
    for node in body:
        if isinstance(node, ast.If) and "version_info" in ast.unparse(node.test):
            if eval(ast.unparse(node.test), {"sys": sys}):
                yield from named(node.body)
        elif isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Subscript):
                yield target.slice.value
            elif isinstance(node.value, ast.Dict) and ast.unparse(target).isupper():
                yield from (key.value for key in node.value.keys if key is not None)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """By script and library: what was written, and what each copy said in a fresh interpreter.

    Plain pickle has nothing but the standard library there, and NumPy where a script needs it.
    """
    known = {}

    def outcome(script, library):
        if "numpy" in script.stem and importlib.util.find_spec("numpy") is None:
            pytest.skip("NumPy is not installed")
        if (script, library) not in known:
            folder = tmp_path_factory.mktemp("fresh")
            made, said = folder / "made", folder / "said"
            write = [sys.executable, str(script), str(made), str(folder)]
            subprocess.run(write, check=True, timeout=300, env=environment())
            flags = ["-I", "-S"] if library == "pickle" else []
            if "numpy" in script.stem:
                flags = flags[:1]
            code = LOAD.replace("LIBRARY", library)
            load = [sys.executable, *flags, "-c", code, str(made), str(said)]
            subprocess.run(load, check=True, timeout=300, env=environment())
            known[script, library] = [pickle.loads(file.read_bytes()) for file in (made, said)]
        return known[script, library]

    return outcome


@pytest.mark.parametrize("library", ["pickle", "ferropickle"])
@pytest.mark.parametrize("writer", list(WRITERS))
@pytest.mark.parametrize(("script", "name"), list(cases()))
def test_fresh(script, name, writer, library, outcomes):
    made, said = outcomes(script, library)
    streams, _, expected = made[name]
    found = said.get((name, writer), streams[writer])
    if library == "pickle" and (name, writer) in NEED_THE_LIBRARY:
        assert found == "ModuleNotFoundError: No module named 'ferropickle'"
    elif (name, writer) in CONTRACTS:
        assert found.startswith(CONTRACTS[name, writer])
    else:
        assert found == expected
