"""Pictures of records: `python benches/python/pictures.py benches/record/cpython-3.11.json`.

Writes `report.html`, which needs nothing but itself, and, where matplotlib is installed,
`overview-light.png` and `overview-dark.png`, beside the first record or where `--out` says. Of
several records the first goes before the others: these add the sections that it has not.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import records
import webpage
from shown import THEMES


def main(argv: list[str] | None = None) -> int:
    """Read, draw, write; says what it wrote."""
    parser = argparse.ArgumentParser(description="A page and pictures of benchmark records.")
    parser.add_argument("record", nargs="+", type=Path, help="JSON files of run.py and suite.py")
    parser.add_argument("--out", type=Path, help="the folder (default: the first record's)")
    args = parser.parse_args(argv)
    out = args.out or args.record[0].parent
    record, *others = map(records.read, args.record)
    for other in others:
        record["sections"] = {**other["sections"], **record["sections"]}
    written = [out / "report.html"]
    written[0].write_text(webpage.page(record), encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        import figure

        for theme in THEMES:
            written.append(out / f"overview-{theme.name}.png")
            figure.draw(record, theme, written[-1])
    else:
        print("matplotlib is not installed: no PNG", file=sys.stderr)
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
