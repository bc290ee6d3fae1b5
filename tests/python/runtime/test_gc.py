"""The cyclic collector: paused while the engine builds, restored on every way out.

What belongs here: the collector's state before, during and after calls. Leaks: test_leaks.py.
"""

import gc
import io
import pickle
import threading

import pytest

import ferropickle as fp
from helpers.crossing import raised
from helpers.shapes import FailsInSetstate, Link, Plain, Raises
from helpers.subprocs import run_python


class Observer:
    """Notes whether the collector is enabled while it is written and while it is read."""

    seen = []

    def __reduce__(self):
        Observer.seen.append(("dump", gc.isenabled()))
        return Observer, (), {"x": 1}

    def __setstate__(self, state):
        Observer.seen.append(("load", gc.isenabled()))


@pytest.fixture(autouse=True)
def forget():
    Observer.seen.clear()


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def state(request):
    """The collector as a user may have set it."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def big():
    return [{"id": i, "link": Link([i])} for i in range(3000)]


def test_state_is_restored_after_success(state):
    data = fp.dumps(big())
    assert gc.isenabled() == state
    fp.loads(data)
    assert gc.isenabled() == state
    out = io.BytesIO()
    fp.dump(big(), out)
    assert gc.isenabled() == state
    fp.load(io.BytesIO(data))
    assert gc.isenabled() == state
    pickler = fp.Pickler(out)
    pickler.dump(big())
    pickler.dump(Observer())
    assert gc.isenabled() == state
    fp.Unpickler(io.BytesIO(data)).load()
    assert gc.isenabled() == state


def test_state_is_restored_after_errors(state):
    raised(fp.dumps, [big(), Raises(ZeroDivisionError())])
    assert gc.isenabled() == state
    raised(fp.dumps, [big(), iter(memoryview(b""))])
    assert gc.isenabled() == state
    raised(fp.loads, fp.dumps([big(), FailsInSetstate()]))
    assert gc.isenabled() == state
    data = fp.dumps(big())
    for length in (0, 1, 2, 11, 100, len(data) // 2, len(data) - 1):
        raised(fp.loads, data[:length])
        assert gc.isenabled() == state
    with pytest.raises(KeyboardInterrupt):
        fp.dumps([Raises(KeyboardInterrupt())])
    assert gc.isenabled() == state
    raised(fp.dumps, [], 99)
    raised(fp.loads, 5)
    assert gc.isenabled() == state


class FailsOnWrite:
    def write(self, chunk):
        raise OSError("no")


class FailsOnRead:
    def read(self, size):
        raise OSError("no")

    def readline(self):
        raise OSError("no")


def test_state_is_restored_after_files_that_fail(state):
    raised(fp.dump, big(), FailsOnWrite())
    assert gc.isenabled() == state
    raised(fp.load, FailsOnRead())
    assert gc.isenabled() == state


class Nests:
    def __reduce__(self):
        fp.loads(fp.dumps([Observer(), big()]))
        Observer.seen.append(("after", gc.isenabled()))
        return Nests, ()


def test_state_is_restored_after_nested_calls(state):
    fp.dumps([big(), Nests(), Nests()])
    assert gc.isenabled() == state
    raised(fp.dumps, [Nests(), Raises(ZeroDivisionError())])
    assert gc.isenabled() == state


def test_a_nested_call_does_not_end_the_pause_of_the_outer_one():
    fp.dumps([Observer(), Nests(), Observer()])
    states = [enabled for kind, enabled in Observer.seen if kind in ("dump", "after")]
    assert len(set(states)) == 1


def test_paused_means_paused_and_keep_means_kept():
    fp.loads(fp.dumps([Observer()]))
    assert Observer.seen == [("dump", False), ("load", False)]
    Observer.seen.clear()
    keep = fp.Policy(gc="keep")
    fp.loads(fp.dumps([Observer()], policy=keep), policy=keep)
    assert Observer.seen == [("dump", True), ("load", True)]
    Observer.seen.clear()
    with fp.policy(gc="keep"):
        fp.loads(fp.dumps([Observer()]))
    assert Observer.seen == [("dump", True), ("load", True)]


def test_what_a_user_disabled_stays_disabled(state):
    keep = fp.Policy(gc="keep")
    fp.loads(fp.dumps([Observer()], policy=keep), policy=keep)
    assert Observer.seen == [("dump", state), ("load", state)]


class Toggles:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        self.call()
        return Toggles, (None,)


def test_a_reducer_that_sets_the_collector_has_the_last_word():
    """Whoever enables or disables it in the middle meant it; at least nothing breaks."""
    try:
        fp.dumps([Toggles(gc.disable)])
        after_disable = gc.isenabled()
        gc.enable()
        fp.dumps([Toggles(gc.enable), Toggles(gc.collect)])
        assert gc.isenabled()
        assert after_disable in (True, False)
    finally:
        gc.enable()


def test_state_is_restored_after_calls_in_many_threads(state):
    data = fp.dumps(big())
    failures = []

    def work(seed):
        try:
            for i in range(15):
                if (i + seed) % 3 == 0:
                    raised(fp.dumps, [big(), Raises(ZeroDivisionError())])
                elif (i + seed) % 3 == 1:
                    assert len(fp.loads(data)) == 3000
                else:
                    fp.loads(fp.dumps([Nests(), Observer()]))
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert gc.isenabled() == state


def test_a_thread_that_outlasts_another_restores_last():
    """One call begins while another is running and ends after it."""
    entered, leave = threading.Event(), threading.Event()

    def wait():
        entered.set()
        assert leave.wait(30)

    thread = threading.Thread(target=lambda: fp.dumps([Toggles(wait)]))
    thread.start()
    assert entered.wait(30)
    fp.loads(fp.dumps(big()))
    leave.set()
    thread.join()
    assert gc.isenabled()
    fp.loads(fp.dumps(big()))
    assert gc.isenabled()


def test_nothing_is_frozen_or_untracked():
    frozen = gc.get_freeze_count()
    value = fp.loads(fp.dumps([{"a": [Plain()]}]))
    assert gc.get_freeze_count() == frozen
    assert gc.is_tracked(value)
    assert gc.is_tracked(value[0]["a"])


@pytest.mark.parametrize("make", [list, dict, Plain, set])
def test_loaded_cycles_are_collected(make):
    class Canary:
        pass

    import weakref

    Canary.__qualname__, globals()["_Canary"] = "_Canary", Canary
    cycle = [make(), Canary()]
    cycle.append(cycle)
    for load in (fp.loads, lambda data: fp.load(io.BytesIO(data))):
        back = load(pickle.dumps(cycle))
        reference = weakref.ref(back[1])
        del back
        gc.collect()
        assert reference() is None
    del globals()["_Canary"]


@pytest.mark.parametrize("base", [fp.Pickler, fp.Unpickler])
def test_a_collection_while_an_object_is_made(base):
    """CPython 3.11 makes an instance's dict, and may collect, before our part of it is there."""
    run_python(
        f"""
        import gc, io
        import ferropickle as fp

        class Child(fp.{base.__name__}):
            pass

        for threshold in range(1, 12):      # one of them falls into the place
            gc.set_threshold(threshold)
            for cls in (fp.{base.__name__}, Child):
                assert len([cls(io.BytesIO()) for _ in range(300)]) == 300
        """
    )


def test_thresholds_counts_and_callbacks_are_left_alone():
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    fp.loads(fp.dumps(big()))
    assert gc.get_threshold() == thresholds
    assert gc.callbacks == callbacks
    assert gc.get_debug() == 0
