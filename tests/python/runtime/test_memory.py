"""Memory: how much a call takes besides its result, and what happens when there is none.

What belongs here: peaks and MemoryError. Each case runs in an interpreter of its own, whose peak
and limit are its own. Leaks: test_leaks.py.
"""

import pytest

from helpers.subprocs import run_python

PEAK = """
    import io, os, resource, sys
    import ferropickle as fp

    MIB = 1 << 20

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    def grown(call):
        before = peak()
        result = call()
        return peak() - before, result

    fp.loads(fp.dumps([b"x" * 100_000]))
"""


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "str"])
def test_dumps_of_large_data_takes_about_the_output(kind):
    run_python(
        PEAK
        + """
    kind = sys.argv[1]
    unit = {"bytes": b"x", "bytearray": bytearray(b"x"), "str": "x"}[kind]
    value = unit * (128 * MIB)
    used, data = grown(lambda: fp.dumps(value))
    assert used < 128 * 1.3, f"{used} MiB for a stream of 128"
    del value
    used, back = grown(lambda: fp.loads(data))
    assert len(back) == 128 * MIB
    assert used < 128 * 1.3, f"{used} MiB for 128 loaded"
    """,
        kind,
    )


def test_dump_of_large_data_to_a_file_takes_nearly_nothing():
    run_python(
        PEAK
        + """
    value = [b"x" * (64 * MIB), b"y" * (64 * MIB)]
    with open(os.devnull, "wb") as file:
        used, _ = grown(lambda: fp.dump(value, file))
    assert used < 24, f"{used} MiB for a file"
    records = [["record", i, {"value": i * 0.5}] for i in range(300_000)]
    with open(os.devnull, "wb") as file:
        used, _ = grown(lambda: fp.dump(records, file))
    assert used < 48, f"{used} MiB for records in a file"
    """
    )


def test_dumps_of_many_records_takes_little_besides_the_output():
    run_python(
        PEAK
        + """
    records = [{"id": i, "name": f"name {i}", "tags": [i, i + 1]} for i in range(200_000)]
    used, data = grown(lambda: fp.dumps(records))
    size = len(data) / MIB
    assert used < 3 * size + 30, f"{used} MiB for a stream of {size:.0f}"
    """
    )


def test_outputs_of_changing_lengths():
    """The next output is expected to be as long as the last: it may be shorter or longer."""
    run_python(
        """
    import pickle
    import ferropickle as fp

    for million in (40, 1, 3, 30, 29, 2, 60, 70, 1, 0, 50, 1):
        value = [bytes([i % 251]) * 100_000 for i in range(million * 10)]
        for stream in [fp.dumps(value) for _ in range(2)]:
            assert len(stream) > million * 1_000_000
            assert pickle.loads(stream) == value, million
    """
    )


def test_a_short_output_after_a_long_one_keeps_no_more_than_its_length():
    run_python(
        PEAK
        + """
    def dump(million):
        return fp.dumps([bytes(100_000) for _ in range(million * 10)])

    assert len(dump(60)) > 60_000_000
    kept = []
    used, _ = grown(lambda: kept.extend(dump(1) for _ in range(100)))
    assert used < 100 * 1.3, f"{used} MiB for 100 outputs of 1"
    """
    )


def test_room_for_an_output_as_long_as_the_last_is_not_needed():
    run_python(
        """
    import resource
    import ferropickle as fp

    long, short = ([bytes([i % 251]) * 100_000 for i in range(n)] for n in (600, 20))
    expected = fp.dumps(short)
    assert len(fp.dumps(long)) > 60_000_000
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000,) * 2)
    assert fp.dumps(short) == expected
    try:
        fp.dumps(long)
    except MemoryError:
        pass
    else:
        raise SystemExit("the limit does not hold")
    """
    )


@pytest.mark.parametrize(
    "value",
    [
        "b'x' * (200 * MIB)",
        "'x' * (200 * MIB)",
        "'\\xe9' * (80 * MIB)",
        "bytearray(200 * MIB)",
        "[b'x' * MIB] + [bytes([i % 256]) * MIB for i in range(200)]",
        "[str(i) * 50 for i in range(600_000)]",
        "[[i] for i in range(1_500_000)]",
        "[10**40 + i for i in range(2_000_000)]",
        "shared([[i] for i in range(900_000)])",
        "deep(1_500_000)",
        "[Plain(i=i) for i in range(300_000)]",
    ],
)
def test_memory_errors_of_dumps(value):
    """The result does not fit: MemoryError or done, never an abort; small calls still work."""
    run_python(
        PEAK
        + """
    import gc
    from helpers.shapes import Plain

    def shared(values):
        return [values, values[::-1]]

    def deep(depth):
        value = None
        for _ in range(depth):
            value = [value]
        return value

    value = eval(sys.argv[1])
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for spare in (1, 4, 16, 48):
        resource.setrlimit(resource.RLIMIT_AS, (now + spare * MIB, resource.RLIM_INFINITY))
        for call in (lambda: fp.dumps(value), lambda: fp.dump(value, io.BytesIO())):
            try:
                call()
            except MemoryError:
                pass
        assert gc.isenabled()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    small = [[1], {"k": (2, 3)}]
    assert fp.loads(fp.dumps(small)) == small
    """,
        value,
    )


@pytest.mark.parametrize(
    "value",
    [
        "b'x' * (200 * MIB)",
        "'x' * (200 * MIB)",
        "bytearray(200 * MIB)",
        "[str(i) * 50 for i in range(400_000)]",
        "[[i] for i in range(900_000)]",
        "{i: (i, [i]) for i in range(300_000)}",
    ],
)
def test_memory_errors_of_loads(value):
    run_python(
        PEAK
        + """
    import gc
    data = fp.dumps(eval(sys.argv[1]))
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for spare in (1, 4, 16, 48):
        resource.setrlimit(resource.RLIMIT_AS, (now + spare * MIB, resource.RLIM_INFINITY))
        for call in (lambda: fp.loads(data), lambda: fp.load(io.BytesIO(data))):
            try:
                call()
            except MemoryError:
                pass
        assert gc.isenabled()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    small = [[1], {"k": (2, 3)}]
    assert fp.loads(fp.dumps(small)) == small
    """,
        value,
    )
