"""Arrays on devices: how fast they leave and come back, each beside what bounds it.

    python benches/python/devices.py [--record] [--small]

What goes to another process has arrived when that answers.

The driver's own copies of the same bytes are the bound; what users write by hand is the peer.
Samples of both are taken in turn. Needs a device; on the simulated driver of the tests (`--small`)
the numbers mean nothing. `--record` writes benches/record/DEVICE/DATE.json.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import importlib.util
import json
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python")]

import numpy as np

import ferropickle as fp
from environment import environment
from helpers.cuda import Driver
from helpers.producers import Placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
DEVICE = fp.Policy(device="device")
AUTO = fp.Policy(device="auto")
HOST = fp.Policy(device="host")


def main() -> int:
    """Measure, print, and record if asked; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="write a file of the results")
    parser.add_argument("--small", action="store_true", help="a thousandth of the bytes")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each side")
    parser.add_argument("--receive", metavar="ADDRESS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    driver = Driver()
    driver.cuInit(0)
    driver.context()
    if args.receive is not None:
        receive(args.receive)
        return 0
    scale = 1000 if args.small else 1
    rows = [measure(*case, args.rounds) for case in cases(driver, scale)]
    with receiver() as channel:
        rows += [measure(*case, args.rounds) for case in to_a_process(driver, scale, channel)]
    for row in rows:
        print(f"{row['name']:44} {row['ours_ms']:10.3f} ms {row['other']:>26} {row['ratio']:8.2f}x")
    if args.record:
        record(driver, rows)
    return 0


Case = tuple[str, int, "Callable[[], Any]", str, "Callable[[], Any]"]


def cases(driver: Driver, scale: int) -> Iterator[Case]:
    """Name, bytes, what is measured, the name of what stands beside it, and that."""
    large = Placed(driver, np.zeros(max(1024 * MIB // scale, 4096), np.uint8))
    array, size = large.produce(), large.base.nbytes
    locked = driver.pinned(size)
    pageable = bytearray(size)
    into = (ctypes.c_char * size).from_buffer(pageable)

    def to_locked() -> None:
        driver.cuMemcpyDtoH_v2(locked, large.address, size)

    def to_pageable() -> None:
        driver.cuMemcpyDtoH_v2(into, large.address, size)

    yield "1 GiB, pack", size, lambda: fp.pack(array), "copy to locked memory", to_locked
    yield "1 GiB, pack", size, lambda: fp.pack(array), "copy to new memory", to_pageable

    packed = fp.pack(array)
    target = driver.alloc(size)

    def from_locked() -> None:
        driver.cuMemcpyHtoD_v2(target, locked, size)

    yield "1 GiB, unpack", size, lambda: fp.unpack(packed), "copy from locked memory", from_locked

    def on_device() -> None:
        driver.cuMemcpyDtoD_v2(target, large.address, size)
        driver.cuCtxSynchronize()

    def snapshot() -> None:
        fp.unpack(fp.pack(array, policy=DEVICE)).__cuda_array_interface__  # noqa: B018

    yield "1 GiB, pack on the device", size, snapshot, "copy on the device", on_device

    many = Placed(driver, np.zeros((max(1000 // min(scale, 20), 20), 1024), np.float32))
    arrays = [many.produce(row) for row in many.base]
    addresses = [many.address + 4096 * i for i in range(len(arrays))]

    def one_by_one() -> list[bytearray]:
        copies = []
        for address in addresses:
            copy = bytearray(4096)
            driver.cuMemcpyDtoH_v2((ctypes.c_char * 4096).from_buffer(copy), address, 4096)
            copies.append(copy)
        return copies

    bytes_of_many = many.base.nbytes
    yield "1,000 x 4 KiB, dumps", bytes_of_many, lambda: fp.dumps(arrays), "copies", one_by_one
    strided = Placed(driver, np.zeros((max(8192 // scale, 64), 4096), np.float32))
    view = strided.produce(strided.base[:, ::2])
    whole = strided.base.nbytes

    def everything() -> None:
        driver.cuMemcpyDtoH_v2(locked, strided.address, min(whole, size))

    yield "64 MiB of 128, strided, pack", whole // 2, lambda: fp.pack(view), "all bytes", everything
    if importlib.util.find_spec("cupy") is not None and scale == 1:
        yield from beside_cupy()


def to_a_process(driver: Driver, scale: int, channel: fp.Channel) -> Iterator[Case]:
    """The same device, another process: beside the copy alone, and beside the way by the host."""
    for name, whole in (("1 GiB", 1024 * MIB), ("1 MiB", MIB)):
        placed = Placed(driver, np.zeros(max(whole // scale, 4096), np.uint8))
        array, size, target = placed.produce(), placed.base.nbytes, driver.alloc(placed.base.nbytes)

        def sent(policy: fp.Policy, array: Any = array) -> None:
            channel.send(array, policy=policy)
            channel.recv(timeout=60)

        def copied(placed: Placed = placed, size: int = size, target: int = target) -> None:
            driver.cuMemcpyDtoD_v2(target, placed.address, size)
            driver.cuCtxSynchronize()

        def by_arena(sent: Callable[[fp.Policy], None] = sent) -> None:
            sent(AUTO)

        def by_host(sent: Callable[[fp.Policy], None] = sent) -> None:
            sent(HOST)

        by_arena()  # it brings the offer of an arena, and goes by the host
        yield f"{name}, to another process", size, by_arena, "copy on the device", copied
        yield f"{name}, to another process", size, by_arena, "by the host", by_host


@contextlib.contextmanager
def receiver() -> Iterator[fp.Channel]:
    """A channel to another process on the same device, which drops what it receives."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        with fp.Channel.listen(address) as listener:
            process = subprocess.Popen([sys.executable, __file__, "--receive", address])
            with listener.accept(timeout=60) as channel:
                yield channel
        process.wait(60)


def receive(address: str) -> None:
    """Receive arrays and say that they are there, until the other end is closed."""
    with fp.Channel.connect(address) as channel:
        while True:
            try:
                array = channel.recv()
            except EOFError:
                return
            array.__cuda_array_interface__  # noqa: B018
            del array
            channel.send(None)


def beside_cupy() -> Iterator[Case]:
    """What CuPy's users write."""
    import cupy

    arrays = [cupy.zeros(1024, cupy.float32) for _ in range(1000)]
    name, size = "1,000 x 4 KiB of CuPy, dumps", 1000 * 4096
    yield name, size, lambda: fp.dumps(arrays), "[a.get() ...]", lambda: [a.get() for a in arrays]
    yield name, size, lambda: fp.dumps(arrays), "pickle.dumps", lambda: pickle.dumps(arrays, 5)


def measure(
    name: str,
    size: int,
    ours: Callable[[], Any],
    other: str,
    theirs: Callable[[], Any],
    rounds: int,
) -> dict[str, Any]:
    """The medians of both sides, their samples taken in turn, after two that do not count."""
    samples: list[tuple[float, float]] = [(timed(ours), timed(theirs)) for _ in range(rounds + 2)]
    mine, others = (statistics.median(side) for side in zip(*samples[2:], strict=True))
    return {
        "name": name,
        "bytes": size,
        "other": other,
        "ours_ms": mine * 1e3,
        "other_ms": others * 1e3,
        "ratio": others / mine,
    }


def timed(call: Callable[[], Any]) -> float:
    """Seconds of a call; what it returns is dropped after."""
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    del result
    return seconds


def record(driver: Driver, rows: list[dict[str, Any]]) -> None:
    """Write the results beside those of other days."""
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, len(name), 0)
    version = driver.get("cuDriverGetVersion", kind=ctypes.c_int)
    device = name.value.decode()
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    folder = ROOT / "benches" / "record" / re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    folder.mkdir(exist_ok=True)
    path = folder / f"{today}.json"
    env = {**environment(), "device": device, "driver": f"{version // 1000}.{version % 1000 // 10}"}
    path.write_text(json.dumps({"environment": env, "results": rows}, indent=1) + "\n")
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
