"""The example about kernels, where the library that it takes is installed."""

import subprocess
import sys
from pathlib import Path

from helpers.subprocs import environment
from helpers.travel import LIMIT, need

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "python" / "09_kernels.py"


def test_the_example_ships_a_kernel():
    need("numba_cuda")
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "the same result elsewhere" in done.stdout
