"""Workloads of library types, instances, shared and cyclic graphs."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import random
import uuid
from typing import Any

from . import classes as t
from .table import payload, rng_of, word

# -- known library types -------------------------------------------------------------------------


def _moment(rng: random.Random, tz: dt.tzinfo | None) -> dt.datetime:
    return dt.datetime(
        rng.randrange(1970, 2100), rng.randrange(1, 13), rng.randrange(1, 29), rng.randrange(24),
        rng.randrange(60), rng.randrange(60), rng.randrange(1_000_000), tz,
    )  # fmt: skip


@payload(20_000, "datetimes")
def datetimes(n: int) -> Any:
    rng = rng_of()
    return [_moment(rng, None) for _ in range(n)]


@payload(20_000, "UTC datetimes")
def datetimes_tz(n: int) -> Any:
    rng = rng_of()
    return [_moment(rng, dt.timezone.utc) for _ in range(n)]


@payload(10_000, "Decimals")
def decimals(n: int) -> Any:
    rng = rng_of()
    return [decimal.Decimal(rng.getrandbits(40)) / 100 for _ in range(n)]


@payload(10_000, "UUIDs")
def uuids(n: int) -> Any:
    rng = rng_of()
    return [uuid.UUID(int=rng.getrandbits(128)) for _ in range(n)]


@payload(20_000, "members")
def enums(n: int) -> Any:
    members = list(t.Colour)
    return [members[i % 3] for i in range(n)]


@payload(10_000, "paths")
def paths(n: int) -> Any:
    return [pathlib.PurePosixPath("/srv/data") / f"day-{i}" / "part.bin" for i in range(n)]


# -- instances -----------------------------------------------------------------------------------


@payload(10_000, "instances")
def instances(n: int) -> Any:
    rng = rng_of()
    return [t.Plain(i + 1000, word(rng, 10), rng.random()) for i in range(n)]


@payload(10_000, "instances, first dump", name="instances_first", first=True)
def _instances_first(n: int) -> Any:
    return instances(n)


@payload(10_000, "instances")
def slots_instances(n: int) -> Any:
    rng = rng_of()
    return [t.Slotted(i + 1000, word(rng, 10), rng.random()) for i in range(n)]


@payload(10_000, "dataclasses")
def dataclasses(n: int) -> Any:
    rng = rng_of()
    return [
        t.Person(i + 1000, word(rng, 10), rng.random(), [word(rng, 5), word(rng, 5)])
        for i in range(n)
    ]


@payload(10_000, "dataclasses")
def dataclasses_slots(n: int) -> Any:
    rng = rng_of()
    return [
        t.SlottedPerson(i + 1000, word(rng, 10), rng.random(), [word(rng, 5), word(rng, 5)])
        for i in range(n)
    ]


@payload(10_000, "named tuples")
def namedtuples(n: int) -> Any:
    rng = rng_of()
    return [t.Row(i + 1000, word(rng, 10), rng.random()) for i in range(n)]


@payload(10_000, "objects with __reduce__")
def reduce_objects(n: int) -> Any:
    rng = rng_of()
    return [t.Reduced(i + 1000, word(rng, 8)) for i in range(n)]


@payload(10_000, "objects with __getstate__")
def getstate_objects(n: int) -> Any:
    rng = rng_of()
    return [t.Stateful(i + 1000, word(rng, 8)) for i in range(n)]


@payload(10_000, "records of mixed kinds")
def mixture(n: int) -> Any:
    """Dicts, instances, tuples and dates in one graph, as a program's state has them."""
    rng = rng_of()
    owners = [t.Plain(i, word(rng, 8), rng.random()) for i in range(max(1, n // 100))]
    return [
        {
            "id": i,
            "owner": owners[i % len(owners)],
            "place": (rng.random(), rng.random()),
            "person": t.Person(i, word(rng, 10), rng.random(), [word(rng, 5)]),
            "at": _moment(rng, None),
            "notes": None if i % 3 else word(rng, 20),
        }
        for i in range(n)
    ]


# -- shape ---------------------------------------------------------------------------------------


@payload(200, "links")
def linked_list(n: int) -> Any:
    head = None
    for i in range(n):
        head = t.Link(i, head)
    return head


@payload(500, "levels")
def nested_lists(n: int) -> Any:
    top: list[Any] = []
    for _ in range(n):
        top = [top]
    return top


@payload(10_000, "nodes, 4 edges each")
def graph_cycles(n: int) -> Any:
    """Edges are near each other (a ring of neighbourhoods), so stdlib's recursion stays shallow.

    The order of the list decides the walk: every node comes first as an element or as a
    neighbour of an element at most 20 places before it.
    """
    rng = rng_of()
    nodes = [t.Node(i) for i in range(n)]
    for i, node in enumerate(nodes):
        node.edges = [nodes[max(0, i - rng.randrange(1, 20))] for _ in range(3)]
        if i % 20:
            node.edges.append(nodes[i - 1])
        else:
            node.edges.append(nodes[min(i + 19, n - 1)])
    return nodes


@payload(10_000, "lists, 4 references each")
def lists_shared_cyclic(n: int) -> Any:
    rng = rng_of()
    lists: list[list[Any]] = [[] for _ in range(n)]
    for i, inner in enumerate(lists):
        inner.extend(lists[max(0, i - rng.randrange(20))] for _ in range(4))
    return lists


@payload(1, "message")
def small_message(n: int) -> Any:
    del n
    return {"id": 12_345, "method": "put", "args": ["key-1", 3.25, True], "meta": {"ttl": None}}


@payload(1, "int")
def one_int(n: int) -> Any:
    return n + 1_000_000
