"""Names that dill puts into `__builtin__`, the module of Python 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any


class _Names(Mapping[str, Any]):
    """A mapping, as `__main__` may be another module at each load."""

    def __getitem__(self, name: str) -> Any:
        if name == "__main__":
            return vars(sys.modules["__main__"])
        if name == "NoneType":
            return type(None)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("__main__", "NoneType"))

    def __len__(self) -> int:
        return 2


NAMES = _Names()
