"""A kernel goes to another process, with the closure and the class around it.

Runs on Numba's simulator, so no device is needed; `NUMBA_ENABLE_CUDASIM=0` takes a device.
"""

import importlib.util
import os
import pickle
import subprocess
import sys

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

if importlib.util.find_spec("numba_cuda") is None:
    print(
        "numba-cuda is not installed, so there is no kernel to ship: pip install numba-cuda[cu13]"
    )
    sys.exit()

import numpy as np
from numba import cuda

import ferropickle as fp

if not cuda.is_available():
    print("there is no device, and NUMBA_ENABLE_CUDASIM is 0: nothing can be launched here")
    sys.exit()


@cuda.jit(device=True)
def smooth(left, middle, right):
    return (left + 2 * middle + right) / 4


class Filter:
    """A kernel as an attribute, and all that it calls, go by value with the class."""

    def __init__(self, passes):
        self.passes = passes

        @cuda.jit
        def step(source, result):
            i = cuda.grid(1)
            if 0 < i < source.size - 1:
                result[i] = smooth(source[i - 1], source[i], source[i + 1])

        self.step = step

    def __call__(self, data):
        for _ in range(self.passes):
            result = data.copy()
            self.step[2, 32](data, result)
            data = result
        return data


# The receiver is a plain interpreter: it has Numba, and neither ferropickle nor this file.
RECEIVER = """
import pickle, sys
sys.modules["ferropickle"] = None
function, data = pickle.load(sys.stdin.buffer)
pickle.dump(function(data), sys.stdout.buffer)
"""


def elsewhere(function, data):
    """What the function gives in another process."""
    stream = fp.dumps((function, data), policy=fp.Policy(require_stock=True))
    done = subprocess.run(
        [sys.executable, "-c", RECEIVER], input=stream, stdout=subprocess.PIPE, check=True
    )
    return len(stream), pickle.loads(done.stdout)


data = np.zeros(64)
data[32] = 256
local = Filter(passes=4)
size, result = elsewhere(local, data)
assert result[32] == 70
np.testing.assert_array_equal(result, local(data))

print(f"a class with its kernel and a device function: {size:,} bytes; the same result elsewhere")
