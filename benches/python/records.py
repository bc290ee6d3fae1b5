"""Records: what a run measured, as JSON and as a page.

A record is a JSON object: `when`, `environment`, `how` (the options, and the rounds of each
section) and `sections`, from a section's name to its results. A name is a kind (`times`,
`growth`, `memory`, `threads`, `import`, `files`, `processes`, `channel`), after which may come
how: `times, gc off`.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pages
from environment import describe, environment
from report import Result

FOLDER = Path(__file__).resolve().parent.parent / "record"


def make(sections: dict[str, list[Result]], how: dict[str, Any]) -> dict[str, Any]:
    """A record of sections that were measured just now. how: options; no paths."""
    return {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": environment(),
        "how": how,
        "sections": sections,
    }


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read one; raises ValueError if it is none."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not {"environment", "how", "sections"} <= set(record):
        raise ValueError(f"{path.name} is no record of benchmarks")
    return record


def keep(name: str, record: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write `NAME.json` and `NAME.md` among the records."""
    write(folder / f"{name}.json", record)
    head = f"# {name}\n\n{describe(record['environment'])}\n\n"
    (folder / f"{name}.md").write_text(head + pages.page(record, True) + "\n", encoding="utf-8")
