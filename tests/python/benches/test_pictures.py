"""The web page and the pictures of a record, in ``benches/python``."""

import importlib.util
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import pytest

from helpers.subprocs import run_python

BENCHES = Path(__file__).resolve().parents[3] / "benches"
VOID = {"meta", "br", "img", "link", "input", "hr"}


def row(dumps, loads=None, copy=""):
    """A contender's row, with ratios."""
    cell = {
        "copy": copy,
        "bytes": 100,
        "dumps": {"ns": 1e4 * dumps, "ratio": dumps, "spread": 0.02},
    }
    if loads is not None:
        cell["loads"] = {"ns": 1e4 * loads, "ratio": loads, "spread": 0.03}
    return cell


def result(workload, n, rows, base="pickle"):
    return {
        "workload": workload,
        "n": n,
        "unit": "things",
        "base": base,
        "rows": rows,
        "failed": {},
    }


def small_record():
    """Every kind of section, with figures that can be found again."""
    both = {"pickle": row(1, 1), "ferropickle": row(0.17, 0.57), "cloudpickle": row(1.25, 1.01)}
    wrong = {**both, "pyfory": row(0.31, 0.91, copy="x")}
    together = {
        "workload": "a <case>",
        "base_ns": 5e6,
        "ratios": {"ferropickle": 0.25, "pickle": 1},
    }
    grown = [result("records", n, {"pickle": row(1, 1), "ferropickle": row(0.2, 0.6)})
             for n in (100, 1000)]  # fmt: skip
    split = {"ferropickle, 1 thread": row(1), "ferropickle, 2 threads": row(0.53)}
    return {
        "when": "2024-02-29T12:00:00+00:00",
        "environment": {
            "cpu": "A Processor", "cores": 2, "system": "Linux x86_64", "python": "3.11.7",
            "python_build": "no PGO, no LTO", "packages": {"ferropickle": "0.1.0"},
        },
        "how": {"rounds": {"times": 3}},
        "sections": {
            "times": [
                result("records", 10_000, wrong),
                result("instances", 10_000, both),
                result("call_lambda", 1, {"cloudpickle": row(1, 1), "ferropickle": row(0.05, 0.4)},
                       base="cloudpickle"),
                {"workload": "cupy_array", "n": 1, "unit": "MiB", "base": "pickle",
                 "skipped": "needs cupy"},
            ],
            "times, gc off": [result("records", 10_000, both)],
            "growth": grown,
            "threads": [result("records", 100_000, split, base="ferropickle, 1 thread")],
            "memory": [result("records", 10, {"pickle": {"dumps_kib": 2048, "loads_kib": 4096}})],
            "import": [{"workload": "import pickle", "ns": 1e7, "ratio": 1, "spread": 0.1}],
            "files": [together],
        },
    }  # fmt: skip


def draw(folder, record):
    path = folder / "made.json"
    path.write_text(json.dumps(record))
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHES / 'python')!r}); import pictures;"
        "sys.exit(pictures.main(sys.argv[1:]))"
    )
    return run_python(code, path).split()


class Checker(HTMLParser):
    """Whether tags are closed in order, and what the page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.fetched += [v for k, v in attributes if k in ("src", "href", "xlink:href", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_has_the_figures(tmp_path):
    draw(tmp_path, small_record())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.fetched == []
    assert not re.search(r"https?:|url\(|@import|<script", page)
    for heading in (
        "All object graphs together", "Time of each workload", "How cost grows",
        "Two threads over one", "First import", "Peak memory", "Files and parcels",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in page
    assert "<title>cloudpickle: 1.25</title>" in page
    assert "<title>ferropickle: 0.17</title>" in page
    assert "pyfory: 0.31" not in page, "whose copy differs has no mark"
    assert "a &lt;case&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert "dumps: 0.170 over 2 graphs, at most 0.20: met" in page


def test_a_record_of_one_section_is_enough():
    code = f"""
import sys; sys.path.insert(0, {str(BENCHES / "python")!r})
import json, webpage

record = json.load(sys.stdin)
for name, results in record["sections"].items():
    page = webpage.page({{**record, "sections": {{name: results}}}})
    assert "</html>" in page and page.count("<h2>") >= 1, name
"""
    run_python(code, stdin=json.dumps(small_record()).encode())


def test_every_colour_of_the_page_is_defined(tmp_path):
    draw(tmp_path, small_record())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    used = set(re.findall(r"var\((--\w+)\)", page))
    light, dark = (set(re.findall(r"(--\w+):", part)) for part in page.split("@media", 1))
    assert used
    assert used <= light
    assert light == dark


@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")
def test_the_pictures(tmp_path):
    written = draw(tmp_path, small_record())
    assert {Path(p).name for p in written} == {
        "report.html",
        "overview-light.png",
        "overview-dark.png",
    }
    for name in ("overview-light.png", "overview-dark.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG\r\n")
        width, height = struct.unpack(">II", data[16:24])
        assert width > 1000
        assert height > 200
    light, dark = ((tmp_path / f"overview-{n}.png").read_bytes() for n in ("light", "dark"))
    assert light != dark


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(AssertionError, match=r"made\.json is no record of benchmarks"):
        draw(tmp_path, {"results": []})
