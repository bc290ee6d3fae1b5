"""The guard against slow-downs: instruction counts beside a committed baseline.

    python benches/guard/guard.py              # fails where a case takes 5 % more than it says
    python benches/guard/guard.py --baseline   # writes the baseline

Instructions are counted with valgrind's callgrind, so that a busy machine does not matter. They are
those of the interpreter and the C library as well: with another Python, compiler or C library than
the baseline's the counts are shown and not judged. The extension has to be a release build as
`make` makes it. Without valgrind nothing is counted, and that is what is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
MOST = 1.05  # a case's count over the baseline's


def main(argv: list[str] | None = None) -> int:
    """Count, compare, print; returns 1 if a case counts too much."""
    parser = argparse.ArgumentParser(description="Instruction counts beside the baseline.")
    parser.add_argument("--baseline", action="store_true", help="write the baseline")
    args = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        print("guard: SKIPPED, valgrind is not here (Debian, Ubuntu: apt-get install valgrind)")
        return 0
    found = {"made_with": made_with(), "instructions": count()}
    if args.baseline:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"guard: wrote {BASELINE.name}, {len(found['instructions'])} cases")
        return 0
    text, status = verdict(json.loads(BASELINE.read_text(encoding="utf-8")), found)
    print(text)
    return status


def made_with() -> dict[str, str]:
    """What decides the counts besides our own code."""
    return {
        "python": f"{platform.python_version()} {platform.python_compiler()}",
        "rustc": _version_of("rustc"),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        "valgrind": _version_of("valgrind"),
    }


def count() -> dict[str, int]:
    """Instructions of one call of each case, by name."""
    with tempfile.TemporaryDirectory(prefix="guard-") as name:
        folder = Path(name)
        # Links, so that paths are as long wherever the project lies: they decide where objects lie.
        (folder / "benches").symlink_to(HERE.parent)
        (folder / "package").symlink_to(_package())
        program = [
            os.path.realpath(sys.executable), "-S", str(folder / "benches/guard/program.py"),
        ]  # fmt: skip
        valgrind = [
            "valgrind", "--tool=callgrind", "--quiet", "--dump-before=getppid",
            f"--callgrind-out-file={folder / 'counts'}",
        ]  # fmt: skip
        keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        path = f"{folder}/package{os.pathsep}{folder}/benches/python"
        cache = f"{folder}/compiled"  # filled by a first run, so that the second compiles nothing
        fixed = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": cache}
        for command in (program, [*valgrind, *program]):
            done = subprocess.run(
                command, env={**keep, **fixed}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"guard: the program failed\n{done.stdout}{done.stderr}")
        cases = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
        # Numbered from 1; the dumps at the marks that open a case hold what was before it.
        totals = [_total(folder / f"counts.{2 * k}") for k in range(1, len(cases) + 1)]
    return {name: total // int(times) for (name, times), total in zip(cases, totals, strict=True)}


def verdict(baseline: dict[str, Any], found: dict[str, Any]) -> tuple[str, int]:
    """What to print, and the exit status."""
    before, now = baseline["instructions"], found["instructions"]
    lines, over, under = [], [], []
    for name in sorted({*before, *now}):
        if name not in before or name not in now:
            where = "the baseline" if name in before else "this run"
            lines.append(f"{name:30} only in {where}")
            over.append(name)
            continue
        ratio = now[name] / before[name]
        mark = "  TOO MUCH" if ratio > MOST else ""
        if mark:
            over.append(name)
        elif ratio < 2 - MOST:
            under.append(name)
        lines.append(f"{name:30} {before[name]:>12,} {now[name]:>12,} {ratio:6.3f}{mark}")
    text = "\n".join(lines) + "\n"
    different = [
        f"{key}: baseline {value}, here {found['made_with'].get(key)}"
        for key, value in baseline["made_with"].items()
        if value != found["made_with"].get(key)
    ]
    if different:
        return f"{text}guard: not judged, made with another\n  " + "\n  ".join(different), 0
    if over:
        return (
            f"{text}guard: FAILED, more than {MOST:.2f} of the baseline: {', '.join(over)}\n"
            "Where that is meant, `make guard-baseline` and say why in the commit."
        ), 1
    if under:
        text += f"guard: {len(under)} cases are better by 5 % and more: `make guard-baseline`\n"
    return f"{text}guard: passed, {len(before)} cases", 0


def _package() -> str:
    """The folder that `ferropickle` is imported from."""
    code = "import ferropickle; print(ferropickle.__path__[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return os.path.dirname(done.stdout.strip())


def _total(dump: Path) -> int:
    """The instructions of one dump of callgrind's."""
    found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"guard: no count in {dump.name}")
    return int(found[1])


def _version_of(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
