"""Workloads of built-in types: atoms, strings, bytes and the containers of them."""

from __future__ import annotations

import json
from typing import Any

from .table import payload, rng_of, word

# -- JSON-like -----------------------------------------------------------------------------------


@payload(10_000, "records")
def records(n: int) -> Any:
    """Two dicts and one list a record."""
    rng = rng_of()
    return [
        {
            "id": i + 1000,
            "name": f"user-{i}",
            "score": rng.random(),
            "active": i % 2 == 0,
            "tags": [f"tag{i % 97}", f"t{i % 89}"],
            "address": {"street": word(rng, 10), "zip": rng.randrange(99_999)},
        }
        for i in range(n)
    ]


@payload(2_000, "posts")
def json_parsed(n: int) -> Any:
    """What `json.loads` returns: keys are shared, the rest is not."""
    rng = rng_of()
    posts = [
        {
            "id": i,
            "created_at": f"2024-02-{i % 28 + 1:02}T12:{i % 60:02}:00Z",
            "text": " ".join(word(rng, 7) for _ in range(12)),
            "user": {"id": rng.getrandbits(40), "name": word(rng), "followers": i * 3},
            "entities": {"hashtags": [word(rng, 5)], "urls": [], "indices": [0, i % 140]},
            "geo": None if i % 3 else {"lat": rng.random() * 90, "lon": rng.random() * 180},
            "retweeted": False,
        }
        for i in range(n)
    ]
    return json.loads(json.dumps(posts))


@payload(10_000, "keys x 10 floats")
def dict_of_float_lists(n: int) -> Any:
    rng = rng_of()
    return {f"key-{i:06}": [rng.random() for _ in range(10)] for i in range(n)}


# -- atoms ---------------------------------------------------------------------------------------


@payload(100_000, "ints")
def ints_small(n: int) -> Any:
    return [i % 256 for i in range(n)]


@payload(100_000, "ints")
def ints_mid(n: int) -> Any:
    rng = rng_of()
    return [rng.randrange(-(2**31), 2**31) for _ in range(n)]


@payload(100_000, "ints")
def ints_i64(n: int) -> Any:
    rng = rng_of()
    return [rng.randrange(-(2**63), 2**63) for _ in range(n)]


@payload(100_000, "ints of 1 to 8 bytes")
def ints_mixed(n: int) -> Any:
    rng = rng_of()
    return [rng.getrandbits(rng.choice((7, 15, 31, 62))) for _ in range(n)]


@payload(50_000, "ints of 200 bits")
def ints_big(n: int) -> Any:
    rng = rng_of()
    return [rng.getrandbits(200) for _ in range(n)]


@payload(100_000, "floats")
def floats(n: int) -> Any:
    rng = rng_of()
    return [rng.random() for _ in range(n)]


@payload(100_000, "elements")
def bool_none(n: int) -> Any:
    return [(True, False, None)[i % 3] for i in range(n)]


# -- strings and bytes ---------------------------------------------------------------------------


@payload(50_000, "strings")
def str_ascii_unique(n: int) -> Any:
    rng = rng_of()
    return [word(rng, 16) for _ in range(n)]


@payload(50_000, "strings")
def str_ascii_shared(n: int) -> Any:
    words = str_ascii_unique(100)
    return [words[i % 100] for i in range(n)]


@payload(50_000, "strings")
def str_ascii_equal(n: int) -> Any:
    """Equal values, each its own object."""
    words = str_ascii_unique(100)
    return [(words[i % 100] + "!")[:-1] for i in range(n)]


@payload(50_000, "strings")
def str_nonascii_unique(n: int) -> Any:
    rng = rng_of()
    return ["".join(rng.choices("äöüßéèñøλπжя漢字", k=16)) for _ in range(n)]


@payload(50_000, "strings, first dump", name="str_nonascii_first", first=True)
def _str_nonascii_first(n: int) -> Any:
    return str_nonascii_unique(n)


@payload(50_000, "strings")
def str_nonascii_shared(n: int) -> Any:
    words = str_nonascii_unique(100)
    return [words[i % 100] for i in range(n)]


@payload(1_000, "strings of 10 kB")
def str_long(n: int) -> Any:
    rng = rng_of()
    return [word(rng, 100) * 100 for _ in range(n)]


@payload(50_000, "x 32 B")
def bytes_small(n: int) -> Any:
    rng = rng_of()
    return [rng.randbytes(32) for _ in range(n)]


@payload(1_000, "x 64 KiB")
def bytes_chunks(n: int) -> Any:
    rng = rng_of()
    return [rng.randbytes(65_536) for _ in range(n)]


@payload(256, "MiB in band")
def bytes_big(n: int) -> Any:
    return rng_of().randbytes(2**20) * n


# -- tuples, sets --------------------------------------------------------------------------------


@payload(30_000, "3-tuples")
def tuples_flat(n: int) -> Any:
    rng = rng_of()
    return [(i + 1000, word(rng, 10), rng.random()) for i in range(n)]


@payload(16, "levels, 2**n leaves")
def tuples_nested(n: int) -> Any:
    rng = rng_of()
    level: list[Any] = [rng.getrandbits(31) for _ in range(2**n)]
    while len(level) > 1:
        level = [(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@payload(50_000, "strings")
def set_str(n: int) -> Any:
    return set(str_ascii_unique(n))


@payload(50_000, "ints")
def set_int(n: int) -> Any:
    return set(ints_mid(n))


@payload(20_000, "frozensets of 4")
def frozensets(n: int) -> Any:
    return [frozenset(range(i, i + 4)) for i in range(n)]
