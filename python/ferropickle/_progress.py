"""Progress of long work: a callback, or a bar where there is a terminal and tqdm."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Told: TypeAlias = Callable[[int, int], object]
    _Progress: TypeAlias = bool | _Told | None


class _Bar:
    """A tqdm bar, made when the first bytes are done: quick work shows none."""

    def __init__(self, make: Callable[..., Any], label: str) -> None:
        self.make, self.label = make, label
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = self.make(
                total=total, desc=self.label, unit="B", unit_scale=True, unit_divisor=1024
            )
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextmanager
def told(progress: _Progress, label: str) -> Iterator[_Told | None]:
    """Give what is to be called with the bytes done and the bytes in all, or None.

    progress: a callable, which is given as it is; True for a bar of tqdm on the standard
    error stream, nothing where that is no terminal or tqdm is not installed; None or
    False for nothing.

    Raises TypeError for anything else.
    """
    if progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    elif progress is True:
        make = _tqdm()
        if make is None:
            yield None
            return
        bar = _Bar(make, label)
        try:
            yield bar
        finally:
            bar.close()
    else:
        kind = type(progress).__name__
        raise TypeError(f"progress must be a callable, a bool or None, not {kind}")


def _tqdm() -> Callable[..., Any] | None:
    stream = sys.stderr
    if stream is None or not stream.isatty():
        return None
    try:
        found: Callable[..., Any] = import_module("tqdm.auto").tqdm
    except ImportError:
        return None
    return found
