"""The peer bench, one section of it: `python benches/python/run.py --help`; `suite.py` runs all.

../README.md says how to read what it prints.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path
from typing import Any

import channels
import files
import imports
import pages
import processes
import records
from contenders import BASE, OURS
from environment import describe, environment
from jobs import GROWING, Job, Options, chosen, growing, measure_all, taking_part
from payloads import PAYLOADS
from report import Result
from targets import TARGETS

TOGETHER = {  # groups with a method of their own
    "channel": channels,
    "files": files,
    "import": imports,
    "processes": processes,
}


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    args = parse(argv)
    if args.group in TOGETHER:
        return run_together(args)
    names = chosen(args.contenders)
    if args.growth:
        names = [n for n in names if n in (BASE, OURS)]
        workloads = choose(args.only, list(GROWING), args)
        jobs = growing(workloads, names, 6 if args.full else 5)
    else:
        workloads = choose(args.only, list(PAYLOADS), args)
        jobs = [Job(w, taking_part(w, names, bool(args.contenders))) for w in workloads]
    if args.list:
        print("\n".join(workloads))
        return 0
    if not jobs:
        print(f"no workload matches {args.only}; --list names them", file=sys.stderr)
        return 2

    print(describe(environment()) + "\n", flush=True)
    options = Options(
        rounds=args.rounds, sample_ms=args.sample_ms, gc=args.gc, clock=args.clock,
        memory=args.memory,
    )  # fmt: skip
    results = measure_all(jobs, options)
    name = section_of(args)
    print(pages.section_text(name, results, args.markdown))
    print(f"{args.rounds} rounds, medians, gc {args.gc}.")
    keep(args, name, results)
    failed = ours_failed(results)
    if failed:
        print(f"ferropickle failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def section_of(args: argparse.Namespace) -> str:
    """The name of this run's section in a record."""
    if args.growth or args.memory:
        return "growth" if args.growth else "memory"
    return "times" if args.gc == "on" else f"times, gc {args.gc}"


def run_together(args: argparse.Namespace) -> int:
    """Pools, channels, files, imports: there is no `dumps` and `loads` to be told apart."""
    print(describe(environment()) + "\n", flush=True)
    results = TOGETHER[args.group].main(args.rounds, args.markdown)
    keep(args, args.group, results)
    return 0 if results else 1


def keep(args: argparse.Namespace, name: str, results: list[Result]) -> None:
    """Write what `--json` and `--record` ask for."""
    how: dict[str, Any] = {"rounds": {name: args.rounds}, "sample_ms": args.sample_ms}
    how |= {"gc": args.gc, "clock": args.clock or "the workloads' own"}
    record = records.make({name: results}, how)
    if args.json:
        records.write(Path(args.json), record)
    if args.record:
        records.keep(args.record, record)


def ours_failed(results: list[Result]) -> list[str]:
    """The workloads on which ferropickle failed; a skip (not installed) is no failure."""
    failures = ((r["workload"], r.get("failed", {}).get(OURS)) for r in results)
    return [name for name, why in failures if why is not None and not why.startswith("skipped:")]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Measure ferropickle beside C pickle and its peers, interleaved.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="the workloads with a target, 5 rounds, 3 ms samples")
    add("--only", action="append", metavar="PATTERN", help="workloads to run (repeat; glob)")
    groups = sorted({*TOGETHER, *(p.group for p in PAYLOADS.values())})
    add("--group", choices=groups, help="those of one file")
    add("--contenders", metavar="A,B", help="besides pickle; default: all that are installed")
    add("--rounds", type=int, metavar="N", help="rounds a workload (15)")
    add("--sample-ms", type=float, metavar="MS", help="least time of one sample (5)")
    add(
        "--gc",
        choices=("on", "off", "counted", "counted-full"),
        default="on",
        help="cyclic collector; counted: loads + gc.collect(1), counted-full: + gc.collect()",
    )
    add(
        "--clock",
        choices=("thread", "process", "wall"),
        default="",
        help="default: CPU time of all threads; for large buffers the wall",
    )
    add("--growth", action="store_true", help="cost per element from 10^2 to 10^5")
    add("--full", action="store_true", help="with --growth: up to 10^6")
    add("--memory", action="store_true", help="peak memory in place of time (Linux)")
    add("--json", metavar="OUT", help="write everything measured to this file")
    add("--record", metavar="NAME", help="write NAME.json and NAME.md under benches/record")
    add("--markdown", action="store_true", help="print a markdown table")
    add("--list", action="store_true", help="list the workloads and stop")
    args = parser.parse_args(argv)  # fmt: skip
    args.rounds = args.rounds or (5 if args.quick else 15)
    args.sample_ms = args.sample_ms or (3.0 if args.quick else 5.0)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    return args


def choose(patterns: list[str] | None, names: list[str], args: argparse.Namespace) -> list[str]:
    """The workloads that match; with --quick and no pattern, those that have a target."""
    if args.group:
        names = [n for n in names if PAYLOADS[n].group == args.group]
    if patterns:
        return [n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns)]
    return [n for n in names if n in TARGETS] if args.quick and not args.growth else names


if __name__ == "__main__":
    sys.exit(main())
