"""Makes the streams of peers: archives in `streams/`, and `manifest.json` on how each case fared.

    python make.py INTERPRETER...

Each release in `RELEASES` that has no archive yet is installed into a folder of its own and dumps
the cases under every interpreter given. A stream is kept if that release itself loads it in a
process of its own and the check holds; the manifest names what it could not write, or not read
back. Archives are frozen: one that exists is left as it is.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
STREAMS = FOLDER / "streams"
MANIFEST = FOLDER / "manifest.json"
RELEASES = [
    *(f"cloudpickle-{v}" for v in ("1.5.0", "1.6.0", "2.0.0", "2.2.1", "3.0.0", "3.1.2")),
    *(f"dill-{v}" for v in ("0.3.1.1", "0.3.4", "0.3.5.1", "0.3.6", "0.3.7")),
    *(f"dill-{v}" for v in ("0.3.8", "0.3.9", "0.4.0", "0.4.1")),
]


def isolated(work: Any) -> str | None:
    """Run a function in a fork; return None, or what it raised, in a few words."""
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(receive)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                work()
        except BaseException as error:
            os.write(send, type(error).__name__.encode())
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as reader:
        said = reader.read().decode()
    _, status = os.waitpid(pid, 0)
    return "crash" if status else said or None


def dump_child(peer: str, out: str) -> None:
    """In a process of its own: be `__main__` of the cases and write their streams."""
    package = importlib.import_module(peer)
    main: dict[str, Any] = vars(sys.modules["__main__"])
    text = (FOLDER / "cases.py").read_text()
    exec(compile(text, "cases.py", "exec", dont_inherit=True), main)

    def write(name: str, **options: Any) -> None:
        stream = package.dumps(main["CASES"][name.removesuffix("_recurse")](), **options)
        (Path(out) / name).write_bytes(stream)

    faults = {}
    for name in main["CASES"]:
        faults[name] = isolated(lambda name=name: write(name))
    for name in main["RECURSE"] if peer == "dill" else []:
        name = f"{name}_recurse"
        faults[name] = isolated(lambda name=name: write(name, recurse=True))
    print(json.dumps(faults))


def load_child(peer: str, streams: str) -> None:
    """In a process of its own: load each stream with the peer and check it."""
    loads = importlib.import_module(peer).loads if peer == "dill" else pickle.loads
    checks = importlib.import_module("checks")
    faults = {}
    for path in sorted(Path(streams).iterdir()):
        faults[path.name] = isolated(
            lambda path=path: checks.check(path.name, loads(path.read_bytes()))
        )
    print(json.dumps(faults))


def run_child(python: str, function: str, target: Path, *args: str) -> dict[str, str | None]:
    with tempfile.TemporaryDirectory() as there:
        (Path(there) / "peers.txt").write_text("line\n")
        env = dict(os.environ, PYTHONPATH=f"{target}{os.pathsep}{FOLDER}", PYTHONHASHSEED="0")
        command = [python, "-B", "-c", f"__import__('make').{function}(*{args!r})"]
        done = subprocess.run(command, cwd=there, env=env, capture_output=True, text=True)
    if done.returncode:
        # The release does not run on this Python at all.
        return {"": done.stderr.strip().splitlines()[-1]}
    result: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return result


def make(release: str, pythons: list[str], archive: Path) -> dict[str, dict[str, str]]:
    """Write the archive of a release; return for each Python what became of the cases."""
    peer, _, version = release.partition("-")
    outcomes: dict[str, dict[str, str]] = {}
    with (
        tempfile.TemporaryDirectory() as target,
        tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as tar,
    ):
        install = ["-m", "pip", "install", "-q", "--no-deps", "--target", target]
        subprocess.run([pythons[0], *install, f"{peer}=={version}"], check=True)
        for python in pythons:
            ask = "import platform; print(platform.python_version())"
            python_version = subprocess.check_output([python, "-c", ask], text=True).strip()
            by_outcome: dict[str, list[str]] = {"loads": []}
            with tempfile.TemporaryDirectory() as out:
                wrote = run_child(python, "dump_child", Path(target), peer, out)
                read = run_child(python, "load_child", Path(target), peer, out)
                for name, fault in wrote.items():
                    if fault is not None:
                        by_outcome.setdefault(f"cannot write: {fault}", []).append(name)
                    elif read[name] is not None:
                        outcome = f"cannot read back: {read[name]}"
                        by_outcome.setdefault(outcome, []).append(name)
                    else:
                        by_outcome["loads"].append(name)
                        add(tar, f"{python_version}/{name}", (Path(out) / name).read_bytes())
            outcomes[python_version] = {k: " ".join(names) for k, names in by_outcome.items()}
    return outcomes


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def main(pythons: list[str]) -> None:
    STREAMS.mkdir(exist_ok=True)
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    for release in RELEASES:
        archive = STREAMS / f"{release}.tar.xz"
        if archive.exists():
            print(f"{release}: left as it is")
            continue
        manifest[release] = make(release, pythons, archive)
        MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
        for python, outcomes in manifest[release].items():
            print(
                release,
                python,
                {outcome: len(names.split()) for outcome, names in outcomes.items()},
            )


if __name__ == "__main__":
    main(sys.argv[1:])
