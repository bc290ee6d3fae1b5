"""Threads that change what others dump, at random: an error or a whole result, never a crash.

What belongs here: runs of `helpers.stress_child`, short here and long in ``make stress-valgrind``,
which says what a whole result is.
"""

import os
import subprocess
import sys

import pytest

from helpers.stress_cases import CASES
from helpers.subprocs import environment

ROUNDS, SECONDS = 3_000, 3

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", [*CASES, "loads", "signals"])
def test_stress(case, threads):
    _run(case, threads)


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
def test_stress_with_forks(threads):
    _run("forks", threads)


def _run(case, threads):
    numbers = map(str, (threads, ROUNDS, SECONDS))
    command = [sys.executable, "-W", "ignore", "-m", "helpers.stress_child", case, *numbers]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=110)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
