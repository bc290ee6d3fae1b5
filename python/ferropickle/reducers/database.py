"""`sqlite3`: a connection to a file opens it again; what is in memory goes along.

Functions, collations and hooks that were registered on a connection, and its
temporary tables, are left behind.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from typing import TYPE_CHECKING, Any

from ferropickle.reducers._forms import Call, after, refuse

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue

_SETTINGS = ("row_factory", "text_factory", "isolation_level", "autocommit")


def connection(obj: sqlite3.Connection, policy: Any) -> ReduceValue:
    try:
        databases = _databases(obj)
    except sqlite3.ProgrammingError as error:
        if "closed" in str(error):
            return after(sqlite3.connect, (":memory:",), [Call(sqlite3.Connection.close, obj)])
        refuse(obj, str(error))
    if obj.in_transaction and any(databases.values()):
        refuse(obj, "it is in a transaction, which only this connection sees; commit first")
    calls = []
    for name, file in databases.items():
        if name != "main":
            attach = f'ATTACH DATABASE ? AS "{name}"'
            calls.append(Call(sqlite3.Connection.execute, obj, attach, (file or ":memory:",)))
        if not file:
            calls += _filling(obj, name)
    with contextlib.closing(sqlite3.connect(":memory:")) as fresh:
        for setting in _SETTINGS:
            value = getattr(obj, setting, None)
            if value != getattr(fresh, setting, None):
                calls.append(Call(setattr, obj, setting, value))
    return after(sqlite3.connect, (databases["main"] or ":memory:",), calls)


def cursor(obj: sqlite3.Cursor, policy: Any) -> ReduceValue:
    """A cursor that has no rows to give."""
    if obj.description is not None:
        refuse(obj, "its rows come from a running statement; pickle cursor.fetchall()")
    return sqlite3.Connection.cursor, (obj.connection,)


def row(obj: sqlite3.Row, policy: Any) -> ReduceValue:
    """A row takes its names from the cursor of a statement: one that selects just these names."""
    quoted = [name.replace('"', '""') for name in list(obj.keys())]
    names = ", ".join(f'NULL AS "{name}"' for name in quoted)
    database = Call(sqlite3.connect, ":memory:")
    found = Call(sqlite3.Connection.execute, database, f"SELECT {names}")
    return after(sqlite3.Row, (found, tuple(obj)), [Call(sqlite3.Connection.close, database)])


def _rows(obj: sqlite3.Connection, statement: str) -> list[tuple[Any, ...]]:
    """The rows as sqlite3 gives them, whatever the connection makes of rows."""
    cursor = obj.cursor()
    cursor.row_factory = None
    rows: list[tuple[Any, ...]] = cursor.execute(statement).fetchall()
    cursor.close()
    return rows


def _databases(obj: sqlite3.Connection) -> dict[str, str]:
    """Files by the names of the databases, "" for those in memory."""
    rows = _rows(obj, "PRAGMA database_list")
    texts = [[x.decode() if isinstance(x, bytes) else x for x in row] for row in rows]
    return {name: file or "" for _number, name, file in texts if name != "temp"}


def _filling(obj: sqlite3.Connection, name: str) -> list[Call]:
    """Calls that put the contents of a database in memory back."""
    if hasattr(obj, "serialize"):  # 3.11
        if not _rows(obj, f'PRAGMA "{name}".page_count')[0][0]:
            return []
        data = obj.serialize(name=name)
        deserialize = sqlite3.Connection.deserialize  # type: ignore[attr-defined]
        by_keyword = functools.partial(deserialize, name=name)
        return [Call(by_keyword, obj, data)]
    if name != "main":
        refuse(obj, "it has a second database in memory, which Python can read from 3.11 on")
    factories = obj.row_factory, obj.text_factory
    obj.row_factory, obj.text_factory = None, str
    try:
        script = "\n".join(obj.iterdump())
    finally:
        obj.row_factory, obj.text_factory = factories
    return [Call(sqlite3.Connection.executescript, obj, script)]
