"""Many threads that dump and load at once, and threads that change what others walk.

What belongs here: concurrency within one process. Forks and spawns: test_fork.py.
"""

import gc
import io
import pickle
import sys
import threading

import pytest

import ferropickle as fp
from helpers.graph import assert_same_graph
from helpers.shapes import Plain, Reduced
from helpers.subprocs import run_python


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*functions):
    """Run each function in a thread; raise the first failure."""
    failures = []
    barrier = threading.Barrier(len(functions))

    def guarded(function):
        try:
            barrier.wait(30)
            function()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_many_threads_on_their_own_graphs():
    def work(seed):
        shared = [seed]
        value = [{"id": i, "shared": shared, "r": Reduced([i, seed])} for i in range(300)]
        for number in (5, 2, 0):
            for _ in range(3):
                data = fp.dumps(value, number)
                assert_same_graph(value, fp.loads(data))
                assert_same_graph(value, pickle.loads(data))

    together(*[lambda seed=seed: work(seed) for seed in range(8)])


def test_many_threads_on_one_graph():
    shared = ["shared"]
    value = [{"id": i, "shared": shared, "r": Reduced([i])} for i in range(500)]
    data = fp.dumps(value)

    def dump():
        for _ in range(8):
            assert_same_graph(value, pickle.loads(fp.dumps(value)))

    def load():
        for _ in range(8):
            assert_same_graph(value, fp.loads(data))

    together(dump, load, dump, load, dump, load)


class Yielding:
    """Lets other threads run in the middle of a dump."""

    def __reduce__(self):
        for _ in range(50):
            pass
        threading.Event().wait(0)
        return Yielding, ()


def test_a_thread_that_mutates_what_another_walks():
    """Any snapshot or a RuntimeError is right; a crash or an odd item is not."""
    run_python(
        """
        import sys, threading
        import ferropickle as fp
        from helpers.shapes import Plain

        sys.setswitchinterval(1e-5)

        class Yielding:
            def __reduce__(self):
                threading.Event().wait(0.0001)
                return str, ("yielded",)

        values = [[i, [i]] for i in range(200)]
        mapping = {i: [i] for i in range(200)}
        elements = set(range(200))
        plain = Plain(a=values, b=mapping, c=elements, y=Yielding())
        for place in range(0, 200, 20):
            values.insert(place, Yielding())
            mapping[f"y{place}"] = Yielding()
        stop = threading.Event()

        def mutate():
            i = 0
            while not stop.is_set():
                i += 1
                del values[len(values) // 2 :]
                values.extend([[i, [i]], Yielding(), [[i]]] * 40)
                mapping.pop(next(iter(mapping)), None)
                mapping[f"m{i}"] = [i, [i]]
                elements.discard(i % 200)
                elements.add(i)
                setattr(plain, f"x{i % 5}", [i])
                if i % 7 == 0:
                    mapping.clear()
                    mapping.update({j: [j, Yielding()] for j in range(100)})

        threads = [threading.Thread(target=mutate) for _ in range(2)]
        for thread in threads:
            thread.start()
        worked = 0
        for _ in range(60):
            for value in (values, plain, [mapping, elements], (values, values)):
                try:
                    data = fp.dumps(value)
                except RuntimeError as exc:
                    assert "changed" in str(exc), exc
                    continue
                fp.loads(data)
                worked += 1
        stop.set()
        for thread in threads:
            thread.join()
        assert worked
        """
    )


def test_one_pickler_in_two_threads_is_refused_or_works():
    """The standard library leaves it undefined; here it must not crash."""
    run_python(
        """
        import io, sys, threading
        import ferropickle as fp
        sys.setswitchinterval(1e-5)

        class Yielding:
            def __reduce__(self):
                threading.Event().wait(0.0005)
                return str, ("yielded",)

        pickler = fp.Pickler(io.BytesIO())
        unpickler = fp.Unpickler(io.BytesIO(fp.dumps([Yielding()] * 3) * 200))

        def dump():
            for i in range(40):
                try:
                    pickler.dump([[i], Yielding(), {"k": i}])
                    pickler.clear_memo()
                except (RuntimeError, fp.PicklingError):
                    pass

        def load():
            for i in range(40):
                try:
                    unpickler.load()
                except (RuntimeError, fp.UnpicklingError, EOFError):
                    pass

        threads = [threading.Thread(target=f) for f in (dump, dump, load, load)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """
    )


def test_loading_the_same_module_for_the_first_time_in_many_threads():
    run_python(
        """
        import threading
        import ferropickle as fp

        streams = [b"cxml.dom.minidom\\nDocument\\n.", b"cemail.mime.text\\nMIMEText\\n."] * 4
        found = []
        barrier = threading.Barrier(len(streams))

        def work(data):
            barrier.wait()
            found.append(fp.loads(data).__name__)

        threads = [threading.Thread(target=work, args=(data,)) for data in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == ["Document"] * 4 + ["MIMEText"] * 4, found
        """
    )


def test_files_written_by_many_threads():
    outs = [io.BytesIO() for _ in range(6)]
    values = [[Plain(i=i, j=[j]) for j in range(300)] + [Yielding()] for i in range(6)]

    def work(i):
        for _ in range(3):
            outs[i].seek(0)
            fp.dump(values[i], outs[i])

    together(*[lambda i=i: work(i) for i in range(6)])
    for out, value in zip(outs, values, strict=True):
        out.seek(0)
        assert_same_graph(value, fp.load(out))


def test_picklers_freed_by_another_thread():
    """The collector frees a pickler in a cycle on whatever thread it runs."""

    def leave_cycles():
        for _ in range(20):
            pickler = fp.Pickler(io.BytesIO())
            pickler.dump([1, [2]])
            pickler.itself = pickler
            unpickler = fp.Unpickler(io.BytesIO(fp.dumps([1])))
            unpickler.load()
            unpickler.itself = unpickler

    gc.collect()
    thread = threading.Thread(target=leave_cycles)
    thread.start()
    thread.join()
    assert gc.collect() >= 40
