"""Processes: forked children, spawned children, pools of multiprocessing.

What belongs here: dump in one process and load in another, and calls after a fork.
"""

import multiprocessing
import os
import pickle
import subprocess
import sys

import pytest

import ferropickle as fp
from helpers.graph import assert_same_graph
from helpers.shapes import Plain, Record
from helpers.subprocs import environment, run_python

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@needs_fork
def test_dump_and_load_in_forked_children():
    run_python(
        """
        import os, warnings
        import ferropickle as fp
        from helpers.shapes import Plain
        warnings.simplefilter("ignore")

        value = [Plain(i=i, tags=[i]) for i in range(20_000)]
        data = fp.dumps(value)
        fp.loads(data)
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    assert fp.dumps(value) == data
                    assert len(fp.loads(data)) == 20_000
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
            assert len(fp.loads(fp.dumps(value))) == 20_000
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        """
    )


@needs_fork
def test_fork_in_the_middle_of_a_dump_and_of_a_load():
    run_python(
        """
        import gc, os, warnings
        import ferropickle as fp
        warnings.simplefilter("ignore")
        forked = []

        def fork():
            pid = os.fork()
            if pid:
                forked.append((os.getpid(), pid))

        class Forks:
            def __reduce__(self):
                fork()
                return rebuild, ()

        def rebuild():
            fork()
            return "rebuilt"

        value = [[1], Forks(), {"k": (2, [3])}]
        data = fp.dumps(value)
        back = fp.loads(data)
        assert back == [[1], "rebuilt", {"k": (2, [3])}]
        assert gc.isenabled()
        again = [fp.loads(fp.dumps(back)) for _ in range(100)]
        assert again[-1] == back
        for parent, pid in forked:
            if parent == os.getpid():
                assert os.waitpid(pid, 0)[1] == 0
        """
    )


@needs_fork
def test_fork_while_other_threads_dump():
    """Whatever another thread was doing when the fork came does not block the child."""
    run_python(
        """
        import os, threading, time, warnings
        import ferropickle as fp
        warnings.simplefilter("ignore")

        value = [{"i": i, "t": (i, [i])} for i in range(30_000)]
        stop = threading.Event()

        def work():
            while not stop.is_set():
                fp.loads(fp.dumps(value))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            time.sleep(0.02)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    import signal
                    signal.alarm(30)
                    status = len(fp.loads(fp.dumps(value))) != 30_000
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        """
    )


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method):
    run_python(
        """
        import multiprocessing, os, sys, warnings
        import ferropickle as fp
        from helpers.processes import echo
        from helpers.shapes import Record
        warnings.simplefilter("ignore")

        if __name__ == "__main__":
            method = sys.argv[1]
            with multiprocessing.get_context(method).Pool(2) as pool:
                value = [Record("name", [1, 2]), {"k": (1,)}]
                for data in pool.map(echo, [fp.dumps(value)] * 4):
                    *back, pid = fp.loads(data)
                    assert back == value and pid != os.getpid()
        """,
        method,
    )


def test_our_stream_in_a_fresh_interpreter_with_the_standard_library_alone():
    value = [1, "text", {"k": (2.5, None)}, {3}, b"x", bytearray(b"y"), 10**40]
    shared = [value]
    value.append(shared)
    for protocol in range(6):
        data = fp.dumps(value, protocol)
        code = (
            "import pickle, sys; value = pickle.load(sys.stdin.buffer);"
            "assert value[7][0] is value;"
            "sys.stdout.buffer.write(pickle.dumps(value, 5))"
        )
        command = [sys.executable, "-I", "-S", "-c", code]
        done = subprocess.run(command, input=data, capture_output=True, check=True)
        assert_same_graph(value, fp.loads(done.stdout))


def test_a_stream_through_a_pipe_to_another_interpreter():
    code = (
        "import sys, ferropickle as fp;"
        "value = fp.load(sys.stdin.buffer);"
        "fp.dump([value, fp.load(sys.stdin.buffer)], sys.stdout.buffer)"
    )
    value = [Record("name", [1]), Plain(x=b"y" * 300_000)]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=fp.dumps(value) + pickle.dumps("second"),
        capture_output=True,
        check=True,
        env=environment(),
    )
    assert_same_graph([value, "second"], fp.loads(done.stdout))
