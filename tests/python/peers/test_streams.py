"""Streams of cloudpickle and dill, loaded where neither can be imported.

The streams are in `tests/golden/peers`, made by the peers themselves. Bytecode is bound to a
minor version of Python: a stream that has none is loaded by every version, another by its own.
"""

import importlib.util
import json
import sys
import tarfile
from pathlib import Path

import pytest

from helpers.subprocs import run_python

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "peers"
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())
HERE = "{}.{}".format(*sys.version_info)

# Loads each stream in a fork of its own, so that none leaves anything for the next.
LOADER = """
    import os, sys, traceback
    golden, streams, work = sys.argv[1:]
    sys.path.insert(0, golden)

    from helpers.absent import make_absent

    make_absent("cloudpickle", "dill")
    import checks
    import ferropickle as fp

    os.chdir(work)
    names = sorted(os.listdir(streams))
    if any(name.startswith("numpy") for name in names):
        import numpy  # once, not in each fork
    for name in names:
        pid = os.fork()
        if not pid:
            try:
                with open(os.path.join(streams, name), "rb") as file:
                    checks.check(name.partition("@")[0], fp.loads(file.read()))
            except BaseException as error:
                print(f"FAILED {name}: {error!r}")
                traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        if status:
            print(f"FAILED {name}: crash, status {status}", flush=True)
    assert not {"cloudpickle", "dill"} & set(sys.modules)
    print(len(names), "tried")
"""


def has_bytecode(stream):
    return b"CodeType" in stream or b"_create_code" in stream


def has_numpy():
    return importlib.util.find_spec("numpy") is not None


def unpack(release, folder):
    """Write the streams that this Python can load, each once; return how many there are."""
    written = set()
    with tarfile.open(GOLDEN / "streams" / f"{release}.tar.xz") as archive:
        for member in archive:
            python, _, name = member.name.partition("/")
            stream = archive.extractfile(member).read()
            foreign = has_bytecode(stream) and not python.startswith(f"{HERE}.")
            if foreign or (name, stream) in written or (name[:5] == "numpy" and not has_numpy()):
                continue
            written.add((name, stream))
            (folder / f"{name}@{python}").write_bytes(stream)
    return len(written)


@pytest.mark.parametrize("release", MANIFEST)
def test_streams_of_a_release(release, tmp_path):
    streams, work = tmp_path / "streams", tmp_path / "work"
    streams.mkdir()
    work.mkdir()
    (work / "peers.txt").write_text("line\n")
    wanted = unpack(release, streams)
    assert wanted > 15
    said = run_python(LOADER, GOLDEN, streams, work)
    assert said == f"{wanted} tried\n"


def test_the_archives_are_what_the_manifest_says():
    for release, pythons in MANIFEST.items():
        with tarfile.open(GOLDEN / "streams" / f"{release}.tar.xz") as archive:
            held = set(archive.getnames())
        assert held == {
            f"{python}/{name}"
            for python, outcomes in pythons.items()
            for name in outcomes["loads"].split()
        }
