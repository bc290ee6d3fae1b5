"""Open text files as cloudpickle sends them: what they hold, to be read."""

from __future__ import annotations

import io
import sys
from pickle import PicklingError
from typing import Any


def reduce_text_file(file: Any) -> tuple[Any, ...]:
    """Return a reduce value: an `io.StringIO` with a file's text, position and name.

    Standard output and error are those of the receiver. Raises PicklingError
    for a file that is closed, is not open for reading or is a terminal's, and
    for standard input.
    """
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    if file is sys.stdin:
        raise PicklingError("Cannot pickle standard input")
    if file.closed:
        raise PicklingError("Cannot pickle closed files")
    if file.isatty():
        raise PicklingError("Cannot pickle files that map to tty objects")
    if not file.readable():
        raise PicklingError(f"Cannot pickle files that are not opened for reading: {file!r}")
    try:
        position = file.tell()
        rest = file.read()
        file.seek(0)
        text = file.read()
        file.seek(position)
    except OSError as error:
        raise PicklingError(f"Cannot pickle {file!r}, which cannot be read") from error
    copy: Any = io.StringIO(text)
    # Where a file stands is no number of characters; where its copy stands is.
    copy.seek(len(text) - len(rest))
    vars(copy)["name"] = file.name
    return io.StringIO, (), copy.__getstate__()
