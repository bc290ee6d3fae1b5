"""The classes of the benchmark payloads, importable by name in every process that measures."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple


class Plain:
    """A plain instance: three attributes, nothing of pickle's overridden."""

    def __init__(self, ident: int, name: str, value: float) -> None:
        self.ident = ident
        self.name = name
        self.value = value


class Slotted:
    """The same three attributes in `__slots__`."""

    __slots__ = ("ident", "name", "value")

    def __init__(self, ident: int, name: str, value: float) -> None:
        self.ident = ident
        self.name = name
        self.value = value


class Reduced:
    """Rebuilt by calling the class: a Python `__reduce__`."""

    def __init__(self, a: int, b: str) -> None:
        self.a = a
        self.b = b

    def __reduce__(self) -> tuple[type[Reduced], tuple[int, str]]:
        return Reduced, (self.a, self.b)


class Stateful:
    """A Python `__getstate__` and `__setstate__`."""

    def __init__(self, a: int, b: str) -> None:
        self.a = a
        self.b = b

    def __getstate__(self) -> tuple[int, str]:
        return self.a, self.b

    def __setstate__(self, state: tuple[int, str]) -> None:
        self.a, self.b = state


class Node:
    """A node of a graph with cycles."""

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.edges: list[Node] = []
        self.weight = ident * 0.5


class Link:
    """One link of a linked list."""

    def __init__(self, value: int, follower: Any) -> None:
        self.value = value
        self.next = follower


class Row(NamedTuple):
    """A named tuple."""

    ident: int
    name: str
    value: float


@dataclass
class Person:
    """A dataclass with a container inside."""

    ident: int
    name: str
    score: float
    tags: list[str]


@dataclass(slots=True)
class SlottedPerson:
    """The same dataclass with `slots=True`."""

    ident: int
    name: str
    score: float
    tags: list[str]


class Colour(enum.Enum):
    """Three members."""

    RED = 1
    GREEN = 2
    BLUE = 3
