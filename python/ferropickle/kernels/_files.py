"""Code in files of this process, for libraries that take nothing but the name of a file."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile

from ferropickle.kernels._bundle import KernelError

# The names of the files that there are, by digest. They are kept as long as the process lives:
# libraries read a file when its code is first used. A forked child has those of its parent.
_names: dict[str, str] = {}


def contents(path: str) -> tuple[bytes, str]:
    """The arguments of `file_with` for a file: what is in it, and the digest."""
    with open(path, "rb") as file:
        code = file.read()
    return code, hashlib.sha256(code).hexdigest()


def file_with(code: bytes, digest: str) -> str:
    """The name of a file with this in it.

    The same code gives the same name, so that a library which remembers files loads it once.
    KernelError if the digest is not that of the code.
    """
    if hashlib.sha256(code).hexdigest() != digest:
        raise KernelError("the code is damaged: its SHA-256 is not the one that came with it")
    if digest not in _names:
        _names[digest] = _in_memory(code) if hasattr(os, "memfd_create") else _in_folder(code)
    return _names[digest]


def _in_memory(code: bytes) -> str:
    """A file that is gone with the process, however that ends."""
    descriptor = os.memfd_create("kernel")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(code)
    return f"/proc/self/fd/{descriptor}"


def _in_folder(code: bytes) -> str:
    folder = tempfile.mkdtemp(prefix="ferropickle-kernel-")
    atexit.register(_remove, os.getpid(), folder)
    path = os.path.join(folder, "code")
    with open(path, "wb") as file:
        file.write(code)
    return path


def _remove(pid: int, folder: str) -> None:
    # A forked child may run the functions of its parent.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
