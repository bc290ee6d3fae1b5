"""The whole peer bench in one run: `make bench` (short) and `make bench-full`.

    python benches/python/suite.py --short
    python benches/python/suite.py --record cpython-3.11

Sections are measured and printed one after another; what `--json` and `--record` ask for is
written after each, so that a run that is cut short leaves what it had.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import channels
import files
import imports
import pages
import processes
import records
import report
from contenders import BASE, ONE_THREAD, OURS, TWO_THREADS
from environment import describe, environment
from jobs import GROWING, Job, Options, growing, installed, measure_all, taking_part
from payloads import PAYLOADS
from report import Result
from run import ours_failed

# Large graphs, for threads: what is cut and what must not lose by it.
SIZES = (100_000, 1_000_000)
LARGE = (
    "records",
    "instances",
    "mixture",
    "dataclasses",
    "json_parsed",
    "tuples_flat",
    "graph_cycles",
)
# The short suite: enough to see each kind of object, in less than three minutes.
SHORT_PEERS = ("cloudpickle", "pyfory", "msgspec", "pickle, gc paused")
SHORT = (
    "records", "json_parsed", "ints_mid", "floats", "str_ascii_unique", "str_nonascii_unique",
    "tuples_nested", "set_str", "datetimes", "instances", "dataclasses", "namedtuples",
    "getstate_objects", "graph_cycles", "small_message", "arrays_1k_oob", "array_object",
    "call_closures", "call_functions", "call_class",
)  # fmt: skip
SHORT_ALONE = ("records", "instances", "graph_cycles", "tuples_nested", "datetimes")
SHORT_GROWING = ("records", "instances")
SHORT_MEMORY = ("records", "instances", "str_ascii_unique")


@dataclass(frozen=True)
class Section:
    """One section of a record and how it is measured."""

    name: str
    rounds: int
    measure: Callable[[], list[Result]]


def main(argv: list[str] | None = None) -> int:
    """Run the suite; returns 1 if ferropickle failed on a workload."""
    args = parse(argv)
    begun = time.monotonic()
    print(describe(environment()), flush=True)
    how: dict[str, Any] = {"suite": "short" if args.short else "full", "rounds": {}}
    done: dict[str, list[Result]] = {}
    for section in plan(args):
        done[section.name] = section.measure()
        how["rounds"][section.name] = section.rounds
        how["seconds"] = round(time.monotonic() - begun)
        print(f"\n== {section.name}: {section.rounds} rounds, {how['seconds']} s so far\n")
        print(pages.section_text(section.name, done[section.name], False), flush=True)
        record = records.make(done, how)
        if args.json:
            records.write(Path(args.json), record)
        if args.record:
            records.keep(args.record, record)
    on, off = done.get("times", []), done.get("times, gc off", [])
    if on:
        print("\n== object graphs\n")
        print(report.render(report.means_table(on), False))
        print("\n".join(report.means_targets(on, off, record["environment"]["python"])))
    failed = [name for results in done.values() for name in ours_failed(results)]
    if failed:
        print(f"ferropickle failed: {', '.join(dict.fromkeys(failed))}", file=sys.stderr)
    return 1 if failed else 0


def plan(args: argparse.Namespace) -> list[Section]:
    """The sections that the command line asks for, in order."""
    short, rounds = args.short, args.rounds
    graphs = [w for w, p in PAYLOADS.items() if p.group in ("plain", "objects", "mixes")]

    def jobs(names: list[str], workloads: Iterable[str]) -> list[Job]:
        return [Job(w, taking_part(w, names)) for w in wanted(args.only, workloads)]

    def split(workloads: Iterable[str], n: int = 0) -> list[Job]:
        return [Job(w, (ONE_THREAD, TWO_THREADS), n) for w in wanted(args.only, workloads)]

    if short:
        peers = [BASE, OURS, *SHORT_PEERS]
        everything, memory = jobs(peers, SHORT), jobs(peers, SHORT_MEMORY)
        alone = jobs([BASE, OURS], SHORT_ALONE)
        grow = growing(wanted(args.only, SHORT_GROWING), [BASE, OURS], 5)
        threads = split(LARGE[:2], SIZES[0])
    else:
        peers = installed()
        everything, memory = jobs(peers, PAYLOADS), jobs(peers, PAYLOADS)
        alone = jobs([BASE, OURS], graphs)
        grow = growing(wanted(args.only, GROWING), [BASE, OURS], 6)
        threads = [job for n in SIZES for job in split(LARGE, n)] + split(graphs)

    def timed(name: str, some: list[Job], number: int, **options: Any) -> Section:
        number = rounds or number
        chosen = Options(rounds=number, sample_ms=2.0 if short else 5.0, **options)
        return Section(name, number, lambda: measure_all(some, chosen, f"{name} "))

    def together(name: str, module: Any, number: int) -> Section:
        number = rounds or number
        return Section(name, number, lambda: module.main(number, False))

    sections = [
        timed("times", everything, 3 if short else 11),
        timed("times, gc off", alone, 3 if short else 7, gc="off"),
        timed("growth", grow, 3),
        timed("threads", threads, 5 if short else 9, clock="wall", base=ONE_THREAD, ops=("dumps",)),
        timed("memory", memory, 1, memory=True),
        Section("import", rounds or 9, lambda: imports.measure(rounds or 9)),
    ]
    if not short:
        sections += [
            timed("times, gc counted", alone, 5, gc="counted"),
            together("files", files, 7),
            together("processes", processes, 5),
            together("channel", channels, 15),
        ]
    if args.sections:
        sections = [s for s in sections if s.name in args.sections.split("/")]
    return sections


def wanted(patterns: list[str] | None, names: Iterable[str]) -> list[str]:
    """The names that match a pattern; all without patterns."""
    if not patterns:
        return list(names)
    return [n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns)]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The peer bench, all sections in one run.")
    add = parser.add_argument
    add("--short", action="store_true", help="fewer workloads, peers, sizes and rounds")
    add("--only", action="append", metavar="PATTERN", help="workloads to run (repeat; glob)")
    add("--sections", metavar="A/B", help="only these, by name")
    add("--rounds", type=int, metavar="N", help="rounds in every section; default: as each needs")
    add("--json", metavar="OUT", help="write everything measured to this file")
    add("--record", metavar="NAME", help="write NAME.json and NAME.md under benches/record")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
