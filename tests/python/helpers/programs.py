"""Whole programs in files, for tests of processes: a spawned child imports the file again."""

import subprocess
import sys
import textwrap

from .subprocs import environment

# `mp` is the context of the start method in the first argument.
HEAD = """\
import os, sys, time, warnings
warnings.simplefilter("ignore")  # 3.12 and later warn of forks beside threads
import ferropickle as fp
import ferropickle.multiprocessing as package

mp = package.get_context(sys.argv[1]) if len(sys.argv) > 1 else package
"""


def run_program(folder, code, *args, timeout=60, head=HEAD):
    """Run the code as a program with the given arguments; what it printed.

    It fails with the program's output unless it exits with 0 in time.
    """
    path = folder / "program.py"
    path.write_text(head + textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, str(path), *map(str, args)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, env=environment())
    except subprocess.TimeoutExpired as expired:
        text = (expired.stderr or b"").decode(errors="replace")
        raise AssertionError(f"not done after {timeout} s\n{text[-4000:]}") from None
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"exit status {done.returncode}\n{out[-4000:]}\n{err[-4000:]}"
    return out
