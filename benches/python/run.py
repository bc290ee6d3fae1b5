"""The peer bench: `python benches/python/run.py --help`; ../README.md says how to read it."""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import channels
import files
import processes
import report
from contenders import BASE, CONTENDERS, OURS
from payloads import PAYLOADS, Payload
from targets import FLAT, TARGETS

HERE = Path(__file__).resolve().parent
GROWING = ("records", "instances", "dataclasses", "str_ascii_unique", "graph_cycles", "floats")
RECORDS = HERE.parent / "record"
TIMEOUT_S = 600  # for one workload
TOGETHER = {  # groups with a method of their own
    "channel": channels,
    "files": files,
    "processes": processes,
}
LEGEND = {
    False: "Ratio: time over the first column's, same round; under 1 is faster. "
    "(x) the copy differs, (i) shared identity is lost, - cannot.",
    True: f"Nanoseconds an element; flat: the largest is at most {FLAT} times the smallest.",
}


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    args = parse(argv)
    if args.group in TOGETHER:
        return run_together(args)
    names = choose_contenders(args.contenders)
    if args.growth:
        sizes = [10**k for k in range(2, 7 if args.full else 6)]
        names = [n for n in names if n in (BASE, OURS)]
        jobs = [(w, n) for w in choose(args.only, list(GROWING), args) for n in sizes]
    else:
        jobs = [(w, 0) for w in choose(args.only, list(PAYLOADS), args)]
    if args.list:
        print("\n".join(f"{w}" for w, _ in dict.fromkeys(jobs)))
        return 0
    if not jobs:
        print(f"no workload matches {args.only}; --list names them", file=sys.stderr)
        return 2

    env = report.environment()
    print(report.describe(env) + "\n", flush=True)
    results = []
    for number, (workload, n) in enumerate(jobs, 1):
        if sys.stderr.isatty():
            print(f"\r\033[K[{number}/{len(jobs)}] {workload}", end="", file=sys.stderr, flush=True)
        results.append(measure(workload, n, names, args))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    text = page(results, names, args)
    print(text)
    record = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": env,
        "how": vars(args),
        "results": results,
    }
    if args.json:
        write_json(Path(args.json), record)
    if args.record:
        args.markdown = True
        page_file = RECORDS / f"{args.record}.md"
        head = f"# {args.record}\n\n{report.describe(env)}\n\n"
        page_file.write_text(head + page(results, names, args) + "\n", encoding="utf-8")
        write_json(page_file.with_suffix(".json"), record)
    ours_failed = [r["workload"] for r in results if failed_for_real(r.get("failed", {}).get(OURS))]
    if ours_failed:
        print(f"ferropickle failed: {', '.join(ours_failed)}", file=sys.stderr)
    return 1 if ours_failed else 0


def run_together(args: argparse.Namespace) -> int:
    """Pools, channels, files: there is no `dumps` and `loads` to be told apart."""
    env = report.environment()
    print(report.describe(env) + "\n", flush=True)
    results = TOGETHER[args.group].main(args.rounds, args.markdown)
    if args.json:
        write_json(Path(args.json), {"environment": env, "how": vars(args), "results": results})
    return 0 if results else 1


def page(results: list[report.Result], names: list[str], args: argparse.Namespace) -> str:
    """The table and what there is to say about it."""
    if args.growth:
        tables = [report.growth_table(results, names)]
    elif args.memory:
        tables = [report.memory_table(results, names)]
    else:
        bases = dict.fromkeys(r["base"] for r in results)
        by_base = {base: [r for r in results if r["base"] == base] for base in bases}
        tables = [report.times_table(some, base) for base, some in by_base.items()]
    lines = [line for table in tables for line in (report.render(table, args.markdown), "")]
    lines += [f"* {line}" if args.markdown else line for line in report.reasons(results)]
    if not args.memory:
        lines.append(f"\ngc {args.gc}, {args.rounds} rounds, medians. {LEGEND[args.growth]}")
    if not (args.growth or args.memory):
        lines.append(report.summary(results))
    return "\n".join(lines)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def failed_for_real(reason: str | None) -> bool:
    """A skip (not installed) is no failure."""
    return reason is not None and not reason.startswith("skipped:")


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
        help="default: thread CPU time; process CPU time where helper threads may work",
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


def taking_part(payload: Payload, names: list[str]) -> list[str]:
    """The workload's base, then those of the contenders chosen that it is for."""
    rest = [n for n in names if not payload.contenders or n in payload.contenders]
    return [payload.base, *[n for n in rest if n != payload.base]]


def choose_contenders(wanted: str | None) -> list[str]:
    """The base first, then those wanted; an unknown name ends the run."""
    if wanted is None:
        return [name for name, c in CONTENDERS.items() if not c.named_only]
    names = [n.strip() for n in wanted.split(",")]
    for name in names:
        if name not in CONTENDERS:
            raise SystemExit(f"no contender {name!r}; there are: {', '.join(CONTENDERS)}")
    return [BASE, *[n for n in CONTENDERS if n in names and n != BASE]]


def measure(workload: str, n: int, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """One workload in a process of its own; who crashes it is left out and it runs again."""
    payload = PAYLOADS[workload]
    names = taking_part(payload, names)
    crashed: dict[str, str] = {}
    while True:
        spec = {
            "workload": workload, "contenders": names, "n": n, "rounds": args.rounds,
            "sample_ms": args.sample_ms, "gc": args.gc, "clock": args.clock, "memory": args.memory,
        }  # fmt: skip
        command = [sys.executable, str(HERE / "measure.py"), json.dumps(spec)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False
            )
            output, status = done.stdout, str(done.returncode)
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode()  # bytes even where text was asked for
            status = "a timeout"
        lines = output.splitlines()
        if status == "0":
            result: dict[str, Any] = json.loads(lines[-1])
            if crashed:
                result["failed"] = {**result.get("failed", {}), **crashed}
            return result
        tried = [line[1:] for line in lines if line.startswith("@")]
        culprit = tried[-1] if tried else payload.base
        if culprit == payload.base or culprit not in names:
            return {"workload": workload, "n": n or payload.n, "unit": payload.unit,
                    "base": payload.base,
                    "skipped": f"the process ended with {status}"}  # fmt: skip
        crashed[culprit] = f"crashed the process (status {status})"
        names.remove(culprit)


if __name__ == "__main__":
    sys.exit(main())
