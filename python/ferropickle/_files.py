"""Objects in files: `save`, `open`, `load_file`.

A file is a zip archive of stored entries: `stream.pkl` is the pickle stream,
`buffers/0000` and so on are the memory of its arrays, aligned so that they can be
mapped. `unzip -l` lists it, and a stock Python reads it::

    with zipfile.ZipFile("model.fp") as archive:
        names = [name for name in archive.namelist() if name.startswith("buffers/")]
        buffers = [bytearray(archive.read(name)) for name in names]
        obj = pickle.loads(archive.read("stream.pkl"), buffers=buffers)

Files with compressed buffers (`Policy(compression=...)`) have names that end in
`.zst` or `.lz4`: each is what `zstd -d` or `lz4 -d` reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ferropickle._native import Archive, read_file, save_file
from ferropickle._progress import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from ferropickle._native import Policy
    from ferropickle._progress import _Progress

    _Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    _Copy = Literal["never", "lazy", "always"]

__all__ = ["File", "load_file", "open", "save"]


def save(
    obj: object, path: _Path, *, policy: Policy | None = None, progress: _Progress = None
) -> None:
    """Write an object to a file, in the place of what is there.

    The file is written beside its place and put there at once, whole: if anything fails
    (a full disk, an object that cannot be pickled, Ctrl-C, a killed process) the file that
    was there is as it was. Arrays are written straight from their memory, which must not
    be written to meanwhile.

    policy: a Policy; None means that of the enclosing `policy(...)` block.
    `compression` says how the memory of arrays is compressed, `fsync=False` does not wait
    for the disk.
    progress: a callable, called with the bytes done and the bytes in all; True for a bar
    of tqdm, if that is installed and the standard error stream is a terminal.

    Raises what `dumps` raises, OSError, and what `progress` raised.
    """
    with told(progress, "save") as callback:
        save_file(obj, os.fsdecode(path), policy=policy, progress=callback)


def open(path: _Path, *, verify: Literal["lazy"] | bool = False) -> File:
    """Open a file that `save` wrote. Reads no data, so it takes microseconds.

    verify: when the checksums of arrays are compared. False: not at all; True: of all,
    now; "lazy": of each, when it is first used. The stream's, and those of compressed
    arrays, are always compared when they are read, and a file that was cut short is
    always found.

    Raises ParcelError for a file that is cut short, altered or none of ours, naming the
    entry, and OSError.
    """
    if verify not in (False, True, "lazy"):
        raise ValueError(f"verify must be False, True or 'lazy', not {verify!r}")
    file = File(path, lazy=verify == "lazy")
    if verify is True:
        file.verify()
    return file


def load_file(
    path: _Path, *, verify: bool = True, policy: Policy | None = None, progress: _Progress = None
) -> Any:
    """Read the object of a file that `save` wrote, in memory of its own.

    verify: compare the checksums of what is read.
    policy, progress: as for `save`.

    Raises ParcelError for a file that is cut short, altered or none of ours, naming the
    entry, OSError, and what `loads` raises.
    """
    with told(progress, "load") as callback:
        return read_file(os.fsdecode(path), verify=verify, policy=policy, progress=callback)


class File(Mapping[Any, Any]):
    """A file that is open: what `ferropickle.open` gives.

    `load()` makes the object. Its arrays are views of the file, read when they are
    touched; what is written to them stays in this process, the file never changes. They
    hold their memory by themselves: the file may be closed, replaced or removed
    meanwhile. It must not be cut short in place.

    Where the object is a dict the file is a mapping: `file[key]` makes one value alone,
    anew each time. Objects that several values share are one object only if they are
    loaded together. TypeError for other objects.

    A context manager, which closes it. ValueError once it is closed.
    """

    __slots__ = ("_archive", "_numbers", "path")

    def __init__(self, path: _Path, *, lazy: bool = False) -> None:
        self.path = os.fsdecode(path)
        self._archive = Archive(self.path, lazy=lazy)
        self._numbers: dict[Any, int | None] | None = None

    def load(self, *, copy: _Copy = "lazy", policy: Policy | None = None) -> Any:
        """Make the whole object.

        copy: "lazy" gives views of the file, but for compressed arrays; "never" raises
        ValueError for these; "always" gives memory of its own.
        policy: a Policy; None means that of the enclosing `policy(...)` block.
        """
        return self._archive.load(copy=copy, policy=policy)

    def __getitem__(self, key: Any) -> Any:
        number = self._keys()[key]
        found = None if number is None else self._archive.value(number)
        # None for a value that cannot be made without the others.
        return found[0] if found is not None else self._whole()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def __contains__(self, key: object) -> bool:
        return key in self._keys()

    def _keys(self) -> dict[Any, int | None]:
        if self._numbers is None or self._archive.closed:
            keys = self._archive.keys()
            if keys is not None:
                self._numbers = {key: number for number, key in enumerate(keys)}
            else:
                self._numbers = dict.fromkeys(self._whole())
        return self._numbers

    def _whole(self) -> Mapping[Any, Any]:
        whole = self.load()
        if not isinstance(whole, Mapping):
            kind = type(whole).__name__
            raise TypeError(f"{self.path} holds a {kind}, which has no keys; load() gives it")
        return whole

    def verify(self, *, progress: _Progress = None) -> None:
        """Compare the checksums of all entries.

        progress: as for `save`.

        Raises ParcelError, which names the entry.
        """
        with told(progress, "verify") as callback:
            self._archive.verify(progress=callback)

    def entries(self) -> list[tuple[str, int]]:
        """Names and lengths of the archive's entries."""
        return self._archive.entries()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._archive.closed

    def close(self) -> None:
        """Let the file go. Arrays that were read keep their memory."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " (closed)" if self.closed else ""
        return f"<ferropickle File {self.path!r}{state}>"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__
