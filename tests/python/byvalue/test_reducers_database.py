"""Connections open their files again; databases in memory come along."""

import pickle
import sqlite3
import sys

import pytest

from helpers.stock import arrives, dumps


@pytest.fixture
def database(tmp_path):
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.commit()
    yield connection
    connection.close()


def test_a_connection_to_a_file_opens_it_again(database):
    database.isolation_level = None
    database.row_factory = sqlite3.Row
    arrives(
        [database, database.cursor()],
        """
        import sqlite3
        connection, cursor = obj
        assert connection.isolation_level is None and connection.row_factory is sqlite3.Row
        assert cursor.connection is connection
        assert dict(cursor.execute("SELECT * FROM t").fetchone()) == {"a": 1, "b": "x"}
        connection.execute("INSERT INTO t VALUES (2, 'y')")
        connection.close()
        """,
    )
    assert database.execute("SELECT count(*) FROM t").fetchone()[0] == 2


def test_a_transaction_that_is_open_is_refused(database):
    database.execute("INSERT INTO t VALUES (2, 'y')")
    with pytest.raises(pickle.PicklingError, match="commit first"):
        dumps(database)
    database.rollback()


@pytest.mark.parametrize("settings", [False, True])
def test_a_database_in_memory_comes_along(settings):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, b"\0'"), (2, 'é"')])
    connection.commit()
    if settings:
        connection.row_factory = dict
        connection.text_factory = bytes
    arrives(
        [connection, settings],
        """
        connection, settings = obj
        found = connection.row_factory, connection.text_factory
        assert found == ((dict, bytes) if settings else (None, str))
        connection.row_factory, connection.text_factory = None, str
        rows = connection.execute("SELECT * FROM t").fetchall()
        assert rows == [(1, b"\\0'"), (2, 'é"')], rows
        connection.close()
        """,
    )
    assert connection.row_factory is (dict if settings else None)
    connection.close()


def test_databases_that_are_empty_or_closed():
    connection = sqlite3.connect(":memory:")
    arrives(connection, "obj.execute('CREATE TABLE t (a)'); obj.close()")
    connection.close()
    arrives(
        connection,
        """
        import sqlite3
        try:
            obj.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            pass
        else:
            raise AssertionError
        """,
    )


def test_databases_that_are_attached(database, tmp_path):
    path = database.execute("PRAGMA database_list").fetchone()[2]
    connection = sqlite3.connect(":memory:")
    connection.execute("ATTACH DATABASE ? AS other", (path,))
    if sys.version_info >= (3, 11):
        connection.execute("ATTACH DATABASE ':memory:' AS third")
        connection.execute("CREATE TABLE third.u AS SELECT 5 AS c")
        connection.commit()
    arrives(
        connection,
        """
        assert obj.execute("SELECT a FROM other.t").fetchall() == [(1,)]
        if sys.version_info >= (3, 11):
            assert obj.execute("SELECT c FROM third.u").fetchall() == [(5,)]
        obj.close()
        """,
    )
    connection.close()


def test_rows_and_cursors(database):
    database.row_factory = sqlite3.Row
    cursor = database.execute('SELECT a AS "n ""x""", b FROM t')
    with pytest.raises(pickle.PicklingError, match="cursor.fetchall"):
        dumps(cursor)
    row = cursor.fetchone()
    arrives(
        [row, dict(row)],
        """
        import sqlite3
        assert type(obj[0]) is sqlite3.Row and dict(obj[0]) == obj[1] and tuple(obj[0]) == (1, "x")
        """,
    )
