"""How much memory a call takes besides the array and its result.

What belongs here: peaks, each in an interpreter of its own. tests/python/runtime/test_memory.py
has those of other objects; what sending takes is in tests/python/channel/test_processes.py.
"""

import os

import pytest

from helpers.subprocs import run_python

pytest.importorskip("numpy", reason="NumPy is not installed")
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="this system tells no peak of memory"
)

PEAK = """
    import sys
    import numpy as np
    import ferropickle as fp

    MIB = 1 << 20

    def peak():
        "The most memory that this process has had, in MiB."
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) / 1024

    def grown(call):
        "How much the most is above what was there before, and the result."
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = peak()
        result = call()
        return peak() - before, result

    small = np.ones(20 * MIB, "u1")
"""


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_saving_a_gibibyte_takes_a_few_mebibytes(tmp_path, compression):
    run_python(
        PEAK
        + """
    policy = fp.Policy(fsync=False, compression=sys.argv[2] or None)
    save = lambda array: fp.save({"array": array}, sys.argv[1], policy=policy)
    save(small)
    # Memory that was never written to takes none.
    used, _ = grown(lambda: save(np.zeros(1024 * MIB, "u1")))
    assert used < 24, f"{used} MiB to save 1024"
    assert fp.open(sys.argv[1])["array"].nbytes == 1024 * MIB
    """,
        tmp_path / "file",
        compression or "",
    )


def test_dumps_takes_its_output():
    run_python(
        PEAK
        + """
    array = np.ones(512 * MIB, "u1")
    fp.dumps(small)
    for part in (array, array[: 256 * MIB], array.reshape(-1, 4)[:, ::2]):
        used, data = grown(lambda: fp.dumps(part))
        output = len(data) / MIB
        assert output - 1 < used < output + 1, f"{used} MiB for a stream of {output}"
        del data
    """
    )


def test_packing_and_opening_take_nothing(tmp_path):
    run_python(
        PEAK
        + """
    array = np.ones(512 * MIB, "u1")
    fp.pack(small), fp.save(small, sys.argv[1])
    used, parcel = grown(lambda: fp.pack({"array": array}))
    assert used < 2, f"{used} MiB to pack"
    used, back = grown(lambda: fp.unpack(parcel))
    assert used < 2 and back["array"].nbytes == array.nbytes, f"{used} MiB to unpack"
    fp.save(array, sys.argv[1], policy=fp.Policy(fsync=False))
    used, back = grown(lambda: fp.open(sys.argv[1]).load())
    assert used < 2 and back[-1] == 1, f"{used} MiB to open"
    """,
        tmp_path / "file",
    )
