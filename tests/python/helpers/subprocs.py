"""Programs run in an interpreter of their own: crashes, limits and signals stay there."""

import os
import subprocess
import sys
import textwrap

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def environment(**extra):
    """This process's environment, with the test helpers importable."""
    env = dict(os.environ, **extra)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")]))
    env["PYTHONFAULTHANDLER"] = "1"
    return env


def run_python(code, *args, flags=(), timeout=120, stdin=None, env=None):
    """Run the code with the given arguments; fail with its output unless it exits with 0.

    Return what it printed. A crash shows as a negative exit status. The environment is this
    process's, unless `env` gives another.
    """
    command = [sys.executable, *flags, "-c", textwrap.dedent(code), *map(str, args)]
    env = environment() if env is None else env
    done = subprocess.run(command, capture_output=True, timeout=timeout, env=env, input=stdin)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode:
        raise AssertionError(f"exit status {done.returncode}\n{out[-4000:]}\n{err[-4000:]}")
    return out
