"""Files and parcels beside NumPy's and pickle's: `python benches/python/run.py --group files`.

Contenders take turns, case by case, in rounds; the figure is the median, over rounds, of a
contender's wall time over that of the first in the same round. Files lie in a temporary folder
(`TMPDIR` says where), written without waiting for the disk and read while the system still has
them in memory.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import checks
import report
from targets import OPEN_MS

MIB = 1 << 20
OPENED = "open, of 10 MiB and of 10 GiB"
Calls = dict[str, Callable[[], Any]]


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    """All threads of this process on one processor."""
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    before = {thread: os.sched_getaffinity(thread) for thread in threads}
    for thread, processors in before.items():
        os.sched_setaffinity(thread, {min(processors)})
    try:
        yield
    finally:
        for thread, processors in before.items():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, processors)


def on_one(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with all threads on one processor."""

    def run() -> None:
        with one_processor():
            call()

    return run


def out_of_band(value: Any) -> Any:
    """As pickle's documentation does it."""
    buffers: list[Any] = []
    return pickle.dumps(value, 5, buffer_callback=buffers.append), buffers


def cases(np: Any, fp: Any, folder: Path) -> Iterator[tuple[str, Calls]]:
    """By name: who does the same thing, the base first."""
    plain = fp.Policy(fsync=False)
    large = np.arange(128 * MIB // 8, dtype="f8")
    npy, ours, pkl = folder / "large.npy", folder / "large.fp", folder / "large.pkl"
    yield (
        "array of 128 MiB to a file",
        {
            "numpy": lambda: np.save(npy, large),
            "ferropickle": lambda: fp.save(large, ours, policy=plain),
            "pickle": lambda: dump(large, pkl),
        },
    )
    yield (
        "the same, read",
        {
            "numpy": lambda: np.load(npy),
            "ferropickle": lambda: fp.load_file(ours),
            "pickle": lambda: pickle.loads(pkl.read_bytes()),
        },
    )
    yield (
        "the same, opened and not read",
        {
            "numpy": lambda: np.load(npy, mmap_mode="c"),
            "ferropickle": lambda: fp.open(ours).load(),
        },
    )
    short, long = folder / "short.fp", folder / "long.fp"
    sparse(np, short, 10 * MIB)
    sparse(np, long, 10 << 30)
    yield (
        OPENED,
        {"10 MiB": lambda: fp.open(short).load(), "10 GiB": lambda: fp.open(long).load()},
    )
    many = {f"array {n}": np.full(8192, n, dtype="f8") for n in range(500)}
    npz, ours_many = folder / "many.npz", folder / "many.fp"
    yield (
        "500 arrays of 64 KiB by name, to a file",
        {
            "numpy": lambda: np.savez(npz, **many),
            "ferropickle": lambda: fp.save(many, ours_many, policy=plain),
        },
    )
    yield (
        "the same, one of them read",
        {
            "numpy": lambda: np.load(npz)["array 77"],
            "ferropickle": lambda: fp.open(ours_many)["array 77"],
        },
    )
    small = [np.full(128, n, dtype="f8") for n in range(10_000)]
    stream, buffers = out_of_band(small)
    parcel = fp.pack(small)
    yield (
        "10,000 arrays of 1 KiB, packed",
        {"pickle": lambda: out_of_band(small), "ferropickle": lambda: fp.pack(small)},
    )
    yield (
        "the same, unpacked",
        {
            "pickle": lambda: pickle.loads(stream, buffers=buffers),
            "ferropickle": lambda: fp.unpack(parcel),
        },
    )
    if hasattr(os, "sched_setaffinity"):
        values = np.random.default_rng(1).integers(0, 60, 64 * MIB, dtype="u1")
        zstd = fp.Policy(compression="zstd")
        data = fp.pack(values, policy=zstd).to_bytes()
        pack, unpack = lambda: fp.pack(values, policy=zstd).to_bytes(), lambda: fp.unpack(data)
        yield (
            "64 MiB compressed (zstd)",
            {"ferropickle, one processor": on_one(pack), "ferropickle": pack},
        )
        yield (
            "the same, decompressed",
            {"ferropickle, one processor": on_one(unpack), "ferropickle": unpack},
        )


def sparse(np: Any, path: Path, size: int) -> None:
    """A file of an array of zeros, none of which is on the disk."""
    stream, _ = out_of_band(np.zeros(size, "u1"))
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("buffers/0000")
        info.file_size = info.compress_size = size
        info.CRC = info.header_offset = 0
        assert archive.fp is not None
        archive.fp.write(info.FileHeader(zip64=True))
        archive.fp.seek(size, os.SEEK_CUR)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(info)
        archive.NameToInfo[info.filename] = info
        archive.writestr("stream.pkl", stream)


def dump(value: Any, path: Path) -> None:
    """`pickle.dump` to a file."""
    with path.open("wb") as file:
        pickle.dump(value, file, 5)


def main(rounds: int, markdown: bool) -> list[report.Result]:
    """Measure, print the table, return the results."""
    try:
        np, fp = importlib.import_module("numpy"), importlib.import_module("ferropickle")
    except ImportError as error:
        print(f"needs {error.name}")
        return []
    results: list[report.Result] = []
    table = [["case", "base", "its time", "ratios"]]
    with tempfile.TemporaryDirectory() as folder:
        for label, calls in cases(np, fp, Path(folder)):
            times: dict[str, list[float]] = {name: [] for name in calls}
            names = list(calls)
            for number in range(-1, rounds):  # the first is not counted
                turn = number % len(names)
                for name in names[turn:] + names[:turn]:
                    start = perf_counter()
                    calls[name]()
                    if number >= 0:
                        times[name].append(perf_counter() - start)
            base = names[0]
            ratios = {
                name: statistics.median(a / b for a, b in zip(own, times[base], strict=True))
                for name, own in times.items()
            }
            base_ns = statistics.median(times[base]) * 1e9
            own_checks = checks.of(label, times)
            if label == OPENED:
                less, more = (statistics.median(own) * 1e3 for own in times.values())
                own_checks.append(checks.check(f"{label}: ms more", more - less, OPEN_MS))
            results.append(
                {"workload": label, "base_ns": base_ns, "ratios": ratios, "checks": own_checks}
            )
            rest = ", ".join(
                f"{name} {ratio:.2f}" for name, ratio in ratios.items() if name != base
            )
            table.append([label, base, report.duration(base_ns), rest])
    print(report.render(table, markdown))
    print(f"\n{rounds} rounds, medians of wall time over that of the base; under 1 is faster.")
    print(checks.lines(results), end="")
    return results
