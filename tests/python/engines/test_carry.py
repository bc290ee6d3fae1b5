"""`fp.remote` and `fp.Carry` through picklers that are not ours.

What belongs here: what the two wrappers are, and one trip through each engine that pickles.
"""

import copy
import importlib.util
import inspect
import multiprocessing
import pickle
import subprocess
import sys
import textwrap

import pytest

import ferropickle as fp
from ferropickle._carry import SMALL_BUFFER
from helpers.subprocs import run_python

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def closure(factor):
    return lambda x: factor * x


class Buffers:
    """An object whose memory goes out of band."""

    def __init__(self, memory):
        self.memory = memory

    def __reduce_ex__(self, protocol):
        return Buffers, (pickle.PickleBuffer(self.memory),)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_object_arrives_bare(protocol):
    carried = fp.Carry([closure(3), "text"])
    function, text = pickle.loads(pickle.dumps(carried, protocol))
    assert function(5) == 15
    assert text == "text"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sticky_survives_hops(protocol):
    carried = fp.Carry(closure(3), sticky=True)
    for _ in range(3):
        carried = pickle.loads(pickle.dumps(carried, protocol))
        assert type(carried) is fp.Carry
    assert carried(5) == 15
    assert carried.__wrapped__(5) == 15


def test_carry_is_its_object_to_the_eye():
    carried = fp.Carry(closure)
    assert carried.__name__ == "closure"
    assert carried.__code__ is closure.__code__
    assert carried(2)(3) == 6
    assert repr(fp.Carry([1])) == "ferropickle.Carry([1])"
    assert repr(fp.Carry([1], sticky=True)) == "ferropickle.Carry([1], sticky=True)"
    with pytest.raises(AttributeError):
        _ = carried.nothing_of_that_name
    assert fp.Carry(fp.Carry([1])).__wrapped__ == [1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_function_arrives_as_remote_and_answers_with_carry(protocol):
    there = pickle.loads(pickle.dumps(fp.remote(closure), protocol))
    answer = there(4)
    assert type(answer) is fp.Carry
    assert pickle.loads(pickle.dumps(answer, protocol))(5) == 20


def test_a_sticky_function_answers_with_sticky_ones():
    there = pickle.loads(pickle.dumps(fp.remote(closure, sticky=True)))
    there = pickle.loads(pickle.dumps(there))
    back = pickle.loads(pickle.dumps(there(4)))
    assert type(back) is fp.Carry
    assert back(5) == 20


def test_arguments_come_unwrapped():
    def total(first, others, *, named, table):
        return first + sum(others) + named + table["a"]

    there = pickle.loads(pickle.dumps(fp.remote(total)))
    one = fp.Carry(1, sticky=True)
    given = [one, 10]
    assert there(one, given, named=one, table={"a": one}).__wrapped__ == 14
    assert given[0] is one
    assert there(one, (one, 10), named=one, table={"a": 1}).__wrapped__ == 14


def test_called_where_it_was_made_it_is_the_function():
    @fp.remote
    def double(x: int = 2) -> int:
        """Twice as much."""
        return 2 * x

    assert double(4) == 8
    assert type(double(4)) is int
    assert double(fp.Carry(4)) == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice as much."
    assert double.__module__ == __name__
    assert double.__defaults__ == (2,)
    assert str(inspect.signature(double)) == "(x: int = 2) -> int"
    assert repr(double).startswith("ferropickle.remote(<function ")
    assert fp.remote(double).__wrapped__ is double.__wrapped__
    assert fp.remote(fp.Carry(len))("abc") == 3
    with pytest.raises(TypeError, match="remote needs something to call, not int"):
        fp.remote(3)


def test_copies_are_bare():
    assert copy.copy(fp.Carry([1])) == [1]
    assert copy.deepcopy(fp.Carry({"a": closure(2)}))["a"](3) == 6


def test_large_buffers_go_beside_the_stream_of_the_engine():
    large, small = bytearray(2 * SMALL_BUFFER), bytearray(b"small")
    found = []
    data = pickle.dumps(fp.Carry([Buffers(large), Buffers(small)]), 5, buffer_callback=found.append)
    assert [memoryview(buffer).nbytes for buffer in found] == [len(large)]
    assert len(data) < SMALL_BUFFER
    first, second = pickle.loads(data, buffers=found)
    memoryview(first.memory)[0] = 7
    assert large[0] == 7  # no copy was made
    assert bytes(second.memory) == b"small"


@pytest.mark.parametrize("protocol", [4, 5])
def test_buffers_go_in_band_where_there_is_no_other_way(protocol):
    large = bytearray(b"x") * (2 * SMALL_BUFFER)
    back = pickle.loads(pickle.dumps(fp.Carry(Buffers(large)), protocol))
    assert bytes(back.memory) == large
    memoryview(back.memory)[0] = 7
    assert large[0] == ord("x")


def test_where_ferropickle_cannot_be_imported_the_error_says_so():
    data = pickle.dumps(fp.Carry([1]))
    code = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], input=data, capture_output=True)
    assert done.returncode == 1
    assert b"ModuleNotFoundError: No module named 'ferropickle'" in done.stderr


# One trip: a closure there, a function back, an array where there is NumPy.
TRIP = """
import sys, warnings
warnings.simplefilter("ignore")
import ferropickle as fp

def make(factor, table):
    def work(x):
        return lambda y: factor * x * y + len(table)
    return work

work = fp.remote(make(10, list(range(100))))

def check(answers):
    assert [answer(1) for answer in answers] == [100, 110, 120], answers
    print("trip done")

if __name__ == "__main__":
"""


def trip(body, *args, needs=None):
    if needs and importlib.util.find_spec(needs) is None:  # imported over there alone
        pytest.skip(f"{needs} is not installed")
    out = run_python(TRIP + textwrap.indent(textwrap.dedent(body), "    "), *args, timeout=90)
    assert "trip done" in out


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_pool(method):
    trip(
        """
        import multiprocessing
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            check(pool.map(work, range(3)))
        """,
        method,
    )


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_process_pool_executor(method):
    trip(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            check(executor.map(work, range(3)))
        """,
        method,
    )


def test_joblib():
    trip(
        """
        import joblib
        check(joblib.Parallel(2)(joblib.delayed(work)(x) for x in range(3)))
        """,
        needs="joblib",
    )


def test_dask():
    """Processes; then a chain, whose second task is given what the first one returned."""
    trip(
        """
        import dask.distributed as dd
        with dd.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            with dd.Client(cluster) as client:
                check(client.gather(client.map(work, range(3))))
                first = client.submit(work, 2)
                second = client.submit(fp.remote(lambda function: function(1)), first)
                assert second.result() == 120
        """,
        needs="distributed",
    )
