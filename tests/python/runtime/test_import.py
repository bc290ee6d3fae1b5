"""Importing changes nothing elsewhere, and needs nothing but the standard library.

What belongs here: what a fresh interpreter looks like after the import.
"""

import subprocess
import sys
import sysconfig

import pytest

import ferropickle as fp
from helpers.subprocs import run_python


def test_nothing_else_changes():
    run_python(
        """
        import copyreg, gc, pickle, signal, sys, threading, warnings
        import contextvars, io, functools
        import typing  # since 3.12 it gives copyreg reducers of its own

        def state():
            return {
                "pickle": {k: id(v) for k, v in vars(pickle).items() if k != "__builtins__"},
                "_pickle": {k: id(v) for k, v in vars(sys.modules["_pickle"]).items()},
                "copyreg": {k: id(v) for k, v in vars(copyreg).items() if k != "__builtins__"},
                "reducers": dict(copyreg.dispatch_table),
                "extensions": dict(copyreg._extension_registry),
                "table": dict(pickle._Pickler.dispatch),
                "gc": (gc.isenabled(), gc.get_threshold(), list(gc.callbacks), gc.get_debug()),
                "limits": (sys.getrecursionlimit(), threading.stack_size()),
                "switch": sys.getswitchinterval(),
                "hooks": (sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile()),
                "paths": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
                "signals": [signal.getsignal(s) for s in signal.valid_signals()],
                "warnings": list(warnings.filters),
                "threads": threading.active_count(),
            }

        before = state()
        import ferropickle
        import ferropickle.compat.pickle
        after = state()
        for key in before:
            assert before[key] == after[key], key
        ferropickle.loads(ferropickle.dumps([1, {"a": (2,)}]))
        for key in before:
            assert before[key] == state()[key], key
        """
    )


def test_no_numpy_and_nothing_large_is_imported():
    run_python(
        """
        import sys
        import ferropickle as fp
        fp.loads(fp.dumps([1, {"a": (2.5, None)}, {3}]))
        large = {"numpy", "cupy", "torch", "cloudpickle", "dill", "asyncio", "multiprocessing"}
        large |= {"unittest", "pydoc", "sqlite3", "tkinter", "decimal", "uuid", "zoneinfo"}
        assert not large & set(sys.modules), large & set(sys.modules)
        """
    )


def test_nothing_is_imported_that_pickle_does_not_import():
    """So that importing stays as quick as importing pickle; a benchmark times it."""
    run_python(
        """
        import subprocess, sys
        def imported(name):
            command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r};"
                       f"import {name}; print(*sys.modules)"]
            return set(subprocess.check_output(command, text=True).split())
        more = imported("ferropickle") - imported("pickle")
        assert more == {"ferropickle", "ferropickle._native", "_contextvars"}, more
        """
    )


def test_a_module_of_the_users_is_not_mistaken_for_numpy():
    run_python(
        """
        import sys, types
        sys.modules["numpy"] = types.ModuleType("numpy")
        sys.modules["pathlib"] = None
        import ferropickle as fp
        assert fp.loads(fp.dumps([1, "x"])) == [1, "x"]
        """
    )


def test_import_works_isolated_and_optimised():
    code = "import ferropickle as fp; v = [1, {'k': (2,)}]; assert fp.loads(fp.dumps(v)) == v"
    run_python(code, flags=["-OO"])
    run_python(code, flags=["-X", "dev", "-W", "error"])
    run_python(code, flags=["-B", "-s"])


def test_the_stock_pickle_reads_our_streams_without_us():
    """Isolated, without site: nothing of ours can be found there."""
    import collections
    import datetime
    import decimal
    import enum
    import fractions
    import pathlib
    import uuid

    values = [
        {"text": "é\ud800", "bytes": b"x", "numbers": [1, 2.5, 10**50, 1j, True]},
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        collections.deque([1], 3),
        collections.Counter("aab"),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
        datetime.timedelta(1),
        decimal.Decimal("1.50"),
        fractions.Fraction(1, 3),
        pathlib.PurePosixPath("a/b"),
        uuid.UUID(int=5),
        enum.Enum,
        ValueError("x", 1),
        frozenset([1]),
        bytearray(b"x"),
        range(5),
        len,
        str.join,
    ]
    code = (
        "import pickle, sys; value = pickle.load(sys.stdin.buffer);"
        "assert 'ferropickle' not in sys.modules; print(ascii(value))"
    )
    for protocol in range(6):
        command = [sys.executable, "-I", "-S", "-c", code]
        done = subprocess.run(command, input=fp.dumps(values, protocol), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode().strip() == ascii(values)


def test_our_names_do_not_occur_in_the_stream():
    from helpers.shapes import Plain

    for protocol in range(6):
        assert b"ferropickle" not in fp.dumps([Plain(x=[1]), {2}, 3j, range(4)], protocol)


def test_reimporting_and_reloading():
    run_python(
        """
        import importlib, pickle, sys
        import ferropickle as fp
        first = fp.PicklingError
        importlib.reload(fp)
        assert fp.PicklingError is first is pickle.PicklingError
        assert fp.loads(fp.dumps([1])) == [1]
        """
    )


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter is not free-threaded"
)
def test_a_free_threaded_interpreter_switches_the_gil_on():
    run_python(
        """
        import sys, warnings
        assert not sys._is_gil_enabled()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import ferropickle
        assert sys._is_gil_enabled()
        assert any(each.category is RuntimeWarning for each in caught)
        """
    )
