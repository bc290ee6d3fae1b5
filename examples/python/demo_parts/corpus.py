"""The data set: every token of the standard library's own sources, parsed anew each run."""

from __future__ import annotations

import datetime as dt
import itertools
import keyword
import os
import pathlib
import sysconfig
import time
import token
import tokenize
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .columns import column, equal, shift, total

SKIP = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3"}
KINDS = 70  # more than there are token types


@dataclass(eq=False)
class Module:
    """One source file."""

    name: str
    path: pathlib.PurePath
    modified: dt.datetime
    corpus: Corpus  # back to the whole: a cycle
    tokens: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    keywords: int = -1  # the other process counts them


@dataclass(eq=False)
class Corpus:
    """All of it."""

    modules: list[Module] = field(default_factory=list)
    imports: dict[str, list[Module]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def parse(max_tokens: int, max_seconds: float) -> Corpus:
    """Tokenize sources until there are `max_tokens` records or `max_seconds` have gone by."""
    corpus = Corpus()
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    strings: dict[str, str] = {}  # equal texts are one object, as an interning parser has it
    stop = time.perf_counter() + max_seconds
    left = max_tokens
    for path in sources(root):
        if left <= 0 or time.perf_counter() > stop:
            break
        module = parse_module(corpus, root, path, strings)
        if module is not None:
            corpus.modules.append(module)
            left -= len(module.tokens)
    link_imports(corpus)
    return corpus


def sources(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The .py files under `root`, always in the same order."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIP)
        for name in sorted(files):
            if name.endswith(".py"):
                yield pathlib.Path(folder, name)


def parse_module(
    corpus: Corpus, root: pathlib.Path, path: pathlib.Path, strings: dict[str, str]
) -> Module | None:
    """One record a token; the tokens of a line share one context."""
    relative = path.relative_to(root)
    name = ".".join(relative.with_suffix("").parts)
    modified = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.timezone.utc)
    module = Module(name, pathlib.PurePath(relative), modified, corpus)
    lines, starts, ends, kinds = [], [], [], []
    context: dict[str, Any] = {}
    owner, expect = "<module>", False
    try:
        with path.open("rb") as source:
            for kind, text, (line, start), (_, end), full in tokenize.tokenize(source.readline):
                text = strings.setdefault(text, text)
                if context.get("line") != line:
                    context = {"line": line, "in": owner, "source": full.strip()}
                if expect:
                    owner = text
                expect = text in ("def", "class")
                module.tokens.append(
                    {"text": text, "kind": token.tok_name[kind], "at": (start, end), "on": context}
                )
                lines.append(line)
                starts.append(start)
                ends.append(end)
                kinds.append(kind)
    except (SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        return None
    histogram = [0.0] * (KINDS * KINDS)  # which kind follows which
    for first, second in itertools.pairwise(kinds):
        histogram[first * KINDS + second] += 1.0
    text = path.read_bytes().decode("utf-8", "replace")
    module.columns = {
        "line": column("i", lines),
        "start": column("i", starts),
        "end": column("i", ends),
        "kind": column("i", kinds),
        "follows": column("d", histogram),
        "text": column("I", memoryview(text.encode("utf-32-le")).cast("I").tolist()),
    }
    return module


def link_imports(corpus: Corpus) -> None:
    """Which modules of the corpus each module names after `import` or `from`."""
    by_name = {module.name: module for module in corpus.modules}
    for module in corpus.modules:
        found: dict[str, Module] = {}
        words = [record["text"] for record in module.tokens]
        for before, word in itertools.pairwise(words):
            if before in ("import", "from") and word in by_name:
                found[word] = by_name[word]
        corpus.imports[module.name] = list(found.values())


def census(corpus: Corpus) -> dict[str, int]:
    """How much there is of what."""
    contexts = {id(r["on"]) for m in corpus.modules for r in m.tokens}
    texts = {r["text"] for m in corpus.modules for r in m.tokens}
    return {
        "modules": len(corpus.modules),
        "records": sum(len(m.tokens) for m in corpus.modules),
        "contexts": len(contexts),
        "texts": len(texts),
        "imports": sum(len(found) for found in corpus.imports.values()),
        "columns": sum(len(m.columns) for m in corpus.modules),
    }


def checksum(corpus: Corpus) -> int:
    """A number that depends on every record and every column."""
    crc = 0
    for module in corpus.modules:
        texts = "\0".join([record["text"] for record in module.tokens])
        crc = zlib.crc32(texts.encode("utf-8", "surrogatepass"), crc)
        places = [record["at"][1] + record["on"]["line"] for record in module.tokens]
        sums = [sum(places), *map(total, module.columns.values())]
        crc = zlib.crc32(repr(sums).encode(), crc)
    return crc


def change(corpus: Corpus, note: str) -> int:
    """What the other process does to its copy; returns how many keywords it marked."""
    marked = 0
    for module in corpus.modules:
        count = 0
        for record in module.tokens:
            if keyword.iskeyword(record["text"]):
                record["keyword"] = True
                count += 1
        module.keywords = count
        shift(module.columns["line"], 1_000_000)
        marked += count
    corpus.log.append(note)
    return marked


def undo(corpus: Corpus, note: str) -> int:
    """The inverse of `change`: checks that the change is there, and takes it back."""
    marked = 0
    for module in corpus.modules:
        count = 0
        for record in module.tokens:
            if keyword.iskeyword(record["text"]):
                assert record.pop("keyword") is True
                count += 1
        assert module.keywords == count
        module.keywords = -1
        shift(module.columns["line"], -1_000_000)
        marked += count
    assert corpus.log.pop() == note
    return marked


def difference(a: Corpus, b: Corpus) -> str:
    """ "" if `b` is what `a` is: values, types, sharing, cycles; else where they differ."""
    if len(a.modules) != len(b.modules) or a.log != b.log:
        return "modules or log"
    twins = {id(m): n for m, n in zip(a.modules, b.modules, strict=True)}
    contexts: dict[int, Any] = {}
    for m, n in zip(a.modules, b.modules, strict=True):
        if n.corpus is not b:
            return f"{n.name}.corpus is another object"
        for key in ("name", "path", "modified", "keywords", "tokens"):
            x, y = getattr(m, key), getattr(n, key)
            if type(x) is not type(y) or x != y:
                return f"{m.name}.{key}"
        for r, s in zip(m.tokens, n.tokens, strict=True):
            if contexts.setdefault(id(r["on"]), s["on"]) is not s["on"]:
                return f"{m.name}: a context is no longer shared"
        if m.columns.keys() != n.columns.keys():
            return f"{m.name}.columns"
        for key, x in m.columns.items():
            if not equal(x, n.columns[key]):
                return f"{m.name}.columns[{key!r}]"
    for name, found in a.imports.items():
        if [id(twins[id(m)]) for m in found] != [id(n) for n in b.imports.get(name, ())]:
            return f"imports[{name!r}]"
    return ""
