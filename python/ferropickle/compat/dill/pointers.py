"""Who refers to an object, and what it refers to, as the garbage collector sees it.

dill's words are kept: the *parents* of an object are what it refers to (an
iterator's parent is the list that it runs over), its *children* what refers to it.
"""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["at", "children", "parent", "parents", "reference"]

_Types = type | tuple[type, ...]


def parent(obj: Any, objtype: _Types, ignore: Any = ()) -> Any:
    """Return one object of a type that `obj` refers to directly, or None.

    objtype: a type, or a tuple of types.
    ignore: an object, or a tuple of objects, to pass over.

    Of a sequence's items it is the last.
    """
    chain = parents(obj, objtype, 1, ignore)
    return chain[1] if len(chain) > 1 else None


def parents(obj: Any, objtype: _Types, depth: int = 1, ignore: Any = ()) -> list[Any]:
    """Return a shortest chain of references from `obj` to an object of a type.

    objtype: a type, or a tuple of types.
    depth: how many references the chain may have.
    ignore: an object, or a tuple of objects, to pass over.

    The chain begins with `obj`; it is `[obj]` where there is no such object.
    """
    return _chain(obj, objtype, depth, ignore, gc.get_referents)


def children(obj: Any, objtype: _Types, depth: int = 1, ignore: Any = ()) -> list[Any]:
    """Return a shortest chain of referrers from `obj` to an object of a type.

    objtype: a type, or a tuple of types.
    depth: how many references the chain may have.
    ignore: an object, or a tuple of objects, to pass over; a common choice
        is `(globals(),)`.

    The chain begins with `obj`; it is `[obj]` where there is no such object.
    """
    return _chain(obj, objtype, depth, ignore, gc.get_referrers)


def reference(obj: Any) -> int:
    """Return the address of an object, which `at` takes."""
    return id(obj)


def at(address: int, module: Any = None) -> Any:
    """Return the object at an address.

    address: what `id` or `reference` gave.
    module: a module whose namespace is searched too: objects that the garbage
        collector does not track, such as strings, are found only in a namespace.

    Raises ReferenceError if no such object is found. Nothing is read from the
    address itself, so a stale one is safe.
    """
    spaces: list[Iterable[Any]] = []
    if module is not None:
        spaces.append(vars(module).values())
    spaces.append(gc.get_objects())
    spaces.append(_in_modules())
    for space in spaces:
        for obj in space:
            if id(obj) == address:
                return obj
    raise ReferenceError(f"Cannot reference object at {hex(address)!r}")


def _in_modules() -> Iterable[Any]:
    for module in list(sys.modules.values()):
        space = getattr(module, "__dict__", None)
        if isinstance(space, dict):
            yield from list(space.values())


def _chain(
    obj: Any,
    objtype: _Types,
    depth: int,
    ignore: Any,
    edges: Callable[[Any], list[Any]],
) -> list[Any]:
    """Search breadth first. Our own bookkeeping is no part of the graph."""
    passed_over = ignore if isinstance(ignore, tuple) else (ignore,)
    nodes = [obj]
    came_from = [-1]
    steps = [0]
    met = {id(x) for x in passed_over} | {id(obj), id(nodes), id(passed_over)}
    at = 0
    while at < len(nodes):
        if steps[at] < depth:
            near = edges(nodes[at])
            met.add(id(near))
            for other in near:
                if id(other) in met or _is_frame_of_ours(other):
                    continue
                met.add(id(other))
                nodes.append(other)
                came_from.append(at)
                steps.append(steps[at] + 1)
                if isinstance(other, objtype):
                    return _path(nodes, came_from)
        at += 1
    return [obj]


def _path(nodes: list[Any], came_from: list[int]) -> list[Any]:
    path = []
    at = len(nodes) - 1
    while at >= 0:
        path.append(nodes[at])
        at = came_from[at]
    return path[::-1]


def _is_frame_of_ours(obj: Any) -> bool:
    return isinstance(obj, FrameType) and obj.f_code.co_filename == __file__
