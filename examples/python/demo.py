"""The main job, on real data: a parsed data set goes to another process and comes back.

Every token of CPython's own standard library becomes a record (a dict), with the contexts that
the tokens of a line share, a dataclass instance for each module and its columns as arrays. The
graph is shipped with protocol 5: the stream is small, the arrays go out of band. The other
process checks and changes what it got and ships it back, and the result is compared.

    python examples/python/demo.py [--small] [--rounds N] [--tokens N]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import multiprocessing
import platform
import socket
import statistics
from time import perf_counter
from typing import Any

import ferropickle
from demo_parts import columns, peer, wire
from demo_parts import corpus as data

LIBRARIES = ("ferropickle", "pickle", "cloudpickle")
STEPS = ("dumps", "loads", "round trip")
Times = dict[str, dict[str, list[float]]]  # library -> step -> seconds of each round
Sizes = dict[str, tuple[int, int, int]]  # library -> bytes in the stream, bytes beside it, buffers


def main() -> None:
    args = parse_args()
    print(f"ferropickle {ferropickle.__version__} on CPython {platform.python_version()}")
    if columns.np is None:
        print("NumPy is not installed: the columns are array.array behind PickleBuffer")

    start = perf_counter()
    corpus = data.parse(args.tokens, max_seconds=15.0)
    count = data.census(corpus)
    print(
        f"parsed    {count['modules']} modules of the standard library "
        f"in {perf_counter() - start:.1f} s\n"
        f"graph     {count['records']:,} records (one dict a token), "
        f"{count['contexts']:,} contexts shared by the tokens of a line,\n"
        f"          {count['texts']:,} texts, {count['columns']:,} arrays, "
        f"{count['imports']} imports; every module knows its corpus: cycles"
    )

    here, there = socket.socketpair()
    libraries = [name for name in LIBRARIES if installed(name)]
    process = multiprocessing.get_context("spawn").Process(
        target=peer.serve, args=(there, libraries)
    )
    process.start()
    there.close()
    try:
        times, sizes = rounds(here, corpus, libraries, args.rounds)
    finally:
        here.close()
        process.join(timeout=20)
    assert process.exitcode == 0, f"the other process ended with {process.exitcode}"
    print_table(times, sizes, args.rounds)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true", help="20,000 tokens, one round")
    parser.add_argument("--rounds", type=int, help="round trips of each library (3)")
    parser.add_argument("--tokens", type=int, help="how many records at least (300,000)")
    args = parser.parse_args()
    args.tokens = args.tokens or (20_000 if args.small else 300_000)
    args.rounds = args.rounds or (1 if args.small else 3)
    return args


def rounds(
    sock: socket.socket, corpus: data.Corpus, libraries: list[str], number: int
) -> tuple[Times, Sizes]:
    """Libraries take turns; the first round of each also compares what came back."""
    peer.read_line(sock)  # the other process is up and has imported the libraries
    times: Times = {name: {step: [] for step in STEPS} for name in libraries}
    sizes: Sizes = {}
    checksum = data.checksum(corpus)
    for turn in range(number):
        first = turn % len(libraries)
        for name in libraries[first:] + libraries[:first]:
            back, answer, took, sizes[name] = round_trip(sock, name, corpus, checksum)
            for step, seconds in zip(STEPS, took, strict=True):
                times[name][step].append(seconds)
            if turn == 0:
                compare(corpus, back, name, answer, sizes[name])
            del back
    return times, sizes


def round_trip(
    sock: socket.socket, library: str, corpus: data.Corpus, checksum: int
) -> tuple[data.Corpus, dict[str, Any], tuple[float, float, float], tuple[int, int, int]]:
    """There and back: the result, the other side's answer, seconds, bytes."""
    gc.collect()
    start = perf_counter()
    stream, buffers = wire.dumps(library, corpus)
    dumped = perf_counter()
    peer.write_line(sock, {"library": library, "checksum": checksum})
    wire.send(sock, stream, buffers)
    size = (len(stream), sum(map(len, buffers)), len(buffers))
    del buffers
    answer = json.loads(peer.read_line(sock) or b"{}")
    assert answer, "the other process has gone"
    stream, received = wire.recv(sock)
    arrived = perf_counter()
    back = wire.loads(library, stream, received)
    end = perf_counter()
    peer.read_line(sock)  # the other side has cleaned up
    took = (dumped - start, end - arrived, end - start - answer["busy"])
    return back, answer, took, size


def compare(
    corpus: data.Corpus,
    back: data.Corpus,
    library: str,
    answer: dict[str, Any],
    size: tuple[int, int, int],
) -> None:
    """The change made over there must be in `back`; undone, `back` must be the original."""
    marked = data.undo(back, f"checked by {library}")
    assert marked == answer["marked"]
    where = data.difference(corpus, back)
    assert not where, f"{library}: the copy differs at {where}"
    if library != "ferropickle":
        return
    stream, beside, number = size
    print(
        f"shipped   {stream / 1e6:.1f} MB in the stream and {beside / 1e6:.1f} MB out of band "
        f"in {number:,} buffers, to process {answer['pid']}\n"
        f"there     {answer['records']:,} records and all arrays checked, "
        f"{marked:,} keywords marked, arrays changed in place\n"
        "back      the change is there, and all else is what it was: "
        "records, types, sharing, cycles, arrays"
    )


def print_table(times: Times, sizes: Sizes, number: int) -> None:
    """Medians over the rounds, and how they compare with the standard library's."""
    medians = {
        name: {step: statistics.median(seconds) for step, seconds in steps.items()}
        for name, steps in times.items()
    }
    print(f"\n{'median of ' + str(number):<13}{'stream':>10}{'out of band':>13}", end="")
    print("".join(f"{step:>20}" for step in STEPS))
    for name, steps in medians.items():
        stream, beside, _ = sizes[name]
        print(f"{name:<13}{stream / 1e6:>7.2f} MB{beside / 1e6:>10.2f} MB", end="")
        for step, seconds in steps.items():
            ratio = seconds / medians["pickle"][step]
            print(f"{seconds * 1e3:>10.1f} ms ({ratio:>4.2f})", end="")
        print()
    print("(in brackets: time over pickle's; a round trip is 2 dumps, 2 loads and the way)")


def installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return False
    return True


if __name__ == "__main__":
    main()
