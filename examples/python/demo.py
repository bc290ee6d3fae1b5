"""The main job, on real data: a parsed data set goes to another process and comes back.

Every token of CPython's own standard library becomes a record (a dict), with the contexts that
the tokens of a line share, a dataclass instance for each module and its columns as arrays. The
graph is shipped with protocol 5: the stream is small, the arrays go out of band. The other
process checks and changes what it got and ships it back, and the result is compared. Then a closure
of this program goes there by value, with its data and the globals that it uses, and runs. Last,
a pool of processes maps a closure over arrays, beside the standard library's pool.

    python examples/python/demo.py [--small] [--rounds N] [--tokens N] [--mib N]
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
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any

import ferropickle
from demo_parts import columns, peer, pools, wire
from demo_parts import corpus as data

LIBRARIES = ("ferropickle", "pickle", "cloudpickle")
BY_VALUE = ("ferropickle", "cloudpickle")  # those that take the closure
STEPS = ("dumps", "loads", "round trip")  # the first two on the way there
TOP = 5  # a global that the closure uses
Times = dict[str, dict[str, list[float]]]  # library -> step -> seconds of each round
Size = tuple[int, int, int]  # bytes in the stream, bytes beside it, buffers
Sizes = dict[str, Size]
Took = tuple[float, float, float]  # seconds of each step
Trip = Callable[[str, bool], tuple[Took, Size]]  # by library; the second argument: check the copy


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
    takers = [name for name in libraries if name in BY_VALUE]
    try:
        peer.read_line(here)  # the other process is up and has imported the libraries
        graph = rounds(args.rounds, libraries, graph_trips(here, corpus))
        closure = rounds(args.rounds, takers, closure_trips(here, corpus))
    finally:
        here.close()
        process.join(timeout=20)
    assert process.exitcode == 0, f"the other process ended with {process.exitcode}"
    print(f"\n{'median of ' + str(args.rounds):<24}{'stream':>10}{'out of band':>13}", end="")
    print("".join(f"{step:>20}" for step in STEPS))
    print_rows("graph", *graph, base="pickle")
    print_rows("closure", *closure, base="cloudpickle")
    print("(in brackets: time over that of pickle, for the closure over that of cloudpickle;")
    print(" a round trip of the graph is 2 dumps, 2 loads and the way)")
    pools.throughput(args.mib << 20, (2 if args.small else 16) << 20)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", action="store_true", help="20,000 tokens, one round")
    parser.add_argument("--rounds", type=int, help="round trips of each library (3)")
    parser.add_argument("--tokens", type=int, help="how many records at least (300,000)")
    parser.add_argument("--mib", type=int, help="MiB of arrays that the pools map over (1,024)")
    args = parser.parse_args()
    args.mib = args.mib or (64 if args.small else 1024)
    args.tokens = args.tokens or (20_000 if args.small else 300_000)
    args.rounds = args.rounds or (1 if args.small else 3)
    return args


def rounds(number: int, libraries: list[str], trip: Trip) -> tuple[Times, Sizes]:
    """Libraries take turns; the first round of each also checks what came back."""
    times: Times = {name: {step: [] for step in STEPS} for name in libraries}
    sizes: Sizes = {}
    for turn in range(number):
        first = turn % len(libraries)
        for name in libraries[first:] + libraries[:first]:
            took, sizes[name] = trip(name, turn == 0)
            for step, seconds in zip(STEPS, took, strict=True):
                times[name][step].append(seconds)
    return times, sizes


def graph_trips(sock: socket.socket, corpus: data.Corpus) -> Trip:
    """The trips of the corpus."""
    checksum = data.checksum(corpus)

    def trip(library: str, check: bool) -> tuple[Took, Size]:
        ask = {"task": "change", "library": library, "checksum": checksum}
        back, answer, took, size = round_trip(sock, ask, corpus)
        if check:
            compare(corpus, back, library, answer, size)
        return took, size

    return trip


def closure_trips(sock: socket.socket, corpus: data.Corpus) -> Trip:
    """The trips of a closure over tables of the corpus."""
    report = make_report(corpus)
    expected = report()

    def trip(library: str, check: bool) -> tuple[Took, Size]:
        back, answer, took, size = round_trip(sock, {"task": "call", "library": library}, report)
        assert back == expected, f"{library}: the closure returned {back}"
        if check and library == "ferropickle":
            print(
                f"closure   a function of this program, with a table and {size[2]} arrays that it "
                f"closes over,\n          ran in process {answer['pid']} and answered there as it "
                f"does here; the most common texts: {' '.join(map(repr, back[0]))}"
            )
        return took, size

    return trip


def round_trip(
    sock: socket.socket, ask: dict[str, Any], obj: Any
) -> tuple[Any, dict[str, Any], Took, Size]:
    """There and back: the result, the other side's answer, seconds, bytes."""
    gc.collect()
    start = perf_counter()
    stream, buffers = wire.dumps(ask["library"], obj)
    dumped = perf_counter()
    peer.write_line(sock, ask)
    wire.send(sock, stream, buffers)
    size = (len(stream), sum(map(len, buffers)), len(buffers))
    del buffers
    answer = json.loads(peer.read_line(sock) or b"{}")
    assert answer, "the other process has gone"
    stream, received = wire.recv(sock)
    back = wire.loads(ask["library"], stream, received)
    end = perf_counter()
    peer.read_line(sock)  # the other side has cleaned up
    took = (dumped - start, answer["loads"], end - start - answer["busy"])
    return back, answer, took, size


def most_common(counts: Counter[str]) -> list[str]:
    """The TOP texts that occur most often: a global function and a global number go along."""
    return sorted(counts, key=lambda text: (-counts[text], text))[:TOP]


def make_report(corpus: data.Corpus) -> Callable[[], tuple[list[str], int]]:
    """A closure that answers from tables of the corpus, wherever it is called."""
    counts = Counter(record["text"] for module in corpus.modules for record in module.tokens)
    arrays = [module.columns["follows"] for module in corpus.modules]

    def report() -> tuple[list[str], int]:
        return most_common(counts), sum(columns.total(array) for array in arrays)

    return report


def compare(
    corpus: data.Corpus,
    back: data.Corpus,
    library: str,
    answer: dict[str, Any],
    size: Size,
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


def print_rows(what: str, times: Times, sizes: Sizes, base: str) -> None:
    """Medians over the rounds, and how they compare with those of `base`."""
    medians = {
        name: {step: statistics.median(seconds) for step, seconds in steps.items()}
        for name, steps in times.items()
    }
    for name, steps in medians.items():
        stream, beside, _ = sizes[name]
        print(f"{what + ', ' + name:<24}{stream / 1e6:>7.2f} MB{beside / 1e6:>10.2f} MB", end="")
        for step, seconds in steps.items():
            ratio = f"({seconds / medians[base][step]:.2f})" if base in medians else ""
            print(f"{seconds * 1e3:>10.1f} ms {ratio:>6}", end="")
        print()


def installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return False
    return True


if __name__ == "__main__":
    main()
