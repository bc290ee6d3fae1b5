"""Policy: an immutable value, given per call, per pickler, or for a block.

What belongs here: the value and how it reaches a call. What a choice does: its own file.
"""

import asyncio
import contextvars
import copy
import gc
import io
import pickle
import threading

import pytest

import ferropickle as fp


class Observer:
    """Notes whether the collector runs while this is dumped: shows which policy holds."""

    def __init__(self, seen):
        self.seen = seen

    def __reduce__(self):
        self.seen.append("keep" if gc.isenabled() else "pause")
        return list, ()


def in_force(**kwargs):
    seen = []
    fp.dumps(Observer(seen), **kwargs)
    return seen[0]


def test_value():
    keep, pause = fp.Policy(gc="keep"), fp.Policy(gc="pause")
    assert keep == fp.Policy(gc="keep")
    assert keep != pause
    assert pause == fp.Policy()
    assert hash(keep) == hash(fp.Policy(gc="keep"))
    assert len({keep, pause, fp.Policy(), fp.Policy(gc="keep")}) == 2
    assert keep != "keep"
    assert (keep == 5) is False
    assert keep.gc == "keep"
    assert fp.Policy().gc == "pause"


def test_repr_can_be_evaluated():
    for policy in (fp.Policy(), fp.Policy(gc="keep")):
        assert eval(repr(policy), {"Policy": fp.Policy, "ferropickle": fp}) == policy
    assert "keep" in repr(fp.Policy(gc="keep"))


def test_immutable():
    policy = fp.Policy(gc="keep")
    with pytest.raises((AttributeError, TypeError)):
        policy.gc = "pause"
    with pytest.raises((AttributeError, TypeError)):
        del policy.gc
    with pytest.raises((AttributeError, TypeError)):
        policy.other = 1
    assert policy.gc == "keep"


def test_copies_and_pickles_are_equal():
    policy = fp.Policy(gc="keep")
    assert copy.copy(policy) == copy.deepcopy(policy) == policy
    for number in range(2, 6):
        assert pickle.loads(pickle.dumps(policy, number)) == policy
        assert fp.loads(fp.dumps(policy, number)) == policy


@pytest.mark.parametrize("wrong", ["never", "", "KEEP", True, 1, b"keep", ["keep"]])
def test_wrong_values_name_the_argument(wrong):
    with pytest.raises((TypeError, ValueError), match="gc"):
        fp.Policy(gc=wrong)
    with pytest.raises((TypeError, ValueError), match="gc"), fp.policy(gc=wrong):
        pass
    with pytest.raises(TypeError):
        fp.Policy("keep")
    with pytest.raises(TypeError, match="no_such_choice"):
        fp.Policy(no_such_choice=1)


def test_per_call():
    keep = fp.Policy(gc="keep")
    assert in_force() == "pause"
    assert in_force(policy=keep) == "keep"
    assert in_force(policy=None) == "pause"
    assert in_force() == "pause"


def test_per_pickler_and_unpickler():
    seen = []
    pickler = fp.Pickler(io.BytesIO(), policy=fp.Policy(gc="keep"))
    pickler.dump(Observer(seen))
    pickler.dump(Observer(seen))
    fp.dump(Observer(seen), io.BytesIO(), policy=fp.Policy(gc="keep"))
    fp.dump(Observer(seen), io.BytesIO())
    assert seen == ["keep", "keep", "keep", "pause"]


def test_for_a_block_and_nested():
    with fp.policy(gc="keep"):
        assert in_force() == "keep"
        with fp.policy(gc="pause"):
            assert in_force() == "pause"
            assert in_force(policy=fp.Policy(gc="keep")) == "keep"
        assert in_force() == "keep"
        with fp.policy():
            assert in_force() == "keep"  # what is not named stays as it is
        with fp.policy(fp.Policy(gc="pause")) as held:
            assert in_force() == "pause"
            assert held == fp.Policy()
    assert in_force() == "pause"


def test_a_block_that_raises_is_left():
    with pytest.raises(ZeroDivisionError), fp.policy(gc="keep"):
        raise ZeroDivisionError
    assert in_force() == "pause"


def test_a_call_within_a_call_takes_the_blocks_policy_not_the_outer_calls():
    seen = []

    class Nests:
        def __reduce__(self):
            seen.append(in_force())
            return list, ()

    fp.dumps(Nests(), policy=fp.Policy(gc="keep"))
    with fp.policy(gc="keep"):
        fp.dumps(Nests())
    assert seen == ["pause", "keep"]


def test_each_thread_has_its_own():
    seen = []
    entered, leave = threading.Event(), threading.Event()

    def other():
        with fp.policy(gc="keep"):
            entered.set()
            assert leave.wait(10)
            seen.append(in_force())

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    assert in_force() == "pause"
    leave.set()
    thread.join()
    assert seen == ["keep"]


def test_it_is_a_context_variable():
    def inside():
        with fp.policy(gc="keep"):
            return contextvars.copy_context()

    context = inside()
    assert in_force() == "pause"
    assert context.run(in_force) == "keep"


def test_each_task_has_its_own():
    async def one(choice, seen):
        with fp.policy(gc=choice):
            await asyncio.sleep(0)
            seen.append((choice, in_force()))
            await asyncio.sleep(0)
            seen.append((choice, in_force()))

    async def main():
        await asyncio.gather(one("keep", seen), one("pause", seen), one("keep", seen))

    seen = []
    asyncio.run(main())
    assert len(seen) == 6
    assert all(choice == held for choice, held in seen)


def test_a_block_may_be_used_as_a_decorator_or_twice_only_if_it_works():
    """Entering one object again either works or raises; it never leaves a policy behind."""
    block = fp.policy(gc="keep")
    with block:
        assert in_force() == "keep"
    try:
        with block:
            assert in_force() == "keep"
    except (RuntimeError, AttributeError):
        pass
    assert in_force() == "pause"
