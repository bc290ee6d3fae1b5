"""Streams of the reducers, loaded by plain pickle where ferropickle is not installed."""

import io
import pickle
import subprocess
import sys
import textwrap

from ferropickle import reducers
from helpers.subprocs import TESTS

# What a child runs first: no site-packages, nothing but the standard library and
# the tests' own shapes.
CHILD = """
import sys
sys.path.insert(0, {tests!r})
import gc, pickle, warnings
warnings.simplefilter("error")
try:
    import ferropickle
except ImportError:
    pass
else:
    raise SystemExit("ferropickle can be imported here")
obj = pickle.loads(sys.stdin.buffer.read())
gc.collect()
"""


class Pickler(pickle.Pickler):
    """The standard library's pickler, which asks the reducers first."""

    def __init__(self, file, protocol=5, policy=None, **options):
        super().__init__(file, protocol, **options)
        self.policy = policy

    def reducer_override(self, obj):
        reducer = reducers.find(type(obj))
        return NotImplemented if reducer is None else reducer(obj, self.policy)


def write_by_stock(obj, protocol, *, policy, **options):
    """The object by the standard library's pickler and the reducers."""
    file = io.BytesIO()
    Pickler(file, protocol, policy, **options).dump(obj)
    return file.getvalue()


# What streams are written with; the tests' `conftest.py` puts ferropickle here too.
write = write_by_stock


def dumps(obj, protocol=5, policy=None, **options):
    """The object as a stream."""
    return write(obj, protocol, policy=policy, **options)


def copy(obj, **options):
    """The object, through a stream, in this process."""
    return pickle.loads(dumps(obj, **options))


def arrives(obj, check, **options):
    """Load the object in a fresh interpreter, as `obj`, and run the check on it there."""
    code = CHILD.format(tests=TESTS) + textwrap.dedent(check)
    command = [sys.executable, "-I", "-S", "-X", "faulthandler", "-c", code]
    done = subprocess.run(command, input=dumps(obj, **options), capture_output=True, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not done.returncode, f"exit status {done.returncode}\n{out[-2000:]}\n{err[-4000:]}"
    return out
