"""Locks, events and queues arrive fresh; what a queue holds comes along."""

import queue
import threading

import pytest

from helpers.stock import arrives


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock, threading._PyRLock])
def test_a_held_lock_arrives_free(make):
    lock = make()
    with lock:
        arrives(
            {"a": lock, "b": lock}, "assert obj['a'] is obj['b'] and obj['a'].acquire(timeout=1)"
        )


def test_a_condition_keeps_the_lock_that_it_shares():
    lock = threading.Lock()
    conditions = [threading.Condition(lock), threading.Condition(lock), lock]
    with lock:
        arrives(
            conditions,
            """
            assert obj[0]._lock is obj[1]._lock is obj[2]
            with obj[0]:
                assert not obj[1].acquire(blocking=False)
                obj[0].notify_all()
            """,
        )


def test_an_event_keeps_its_flag():
    event = threading.Event()
    arrives(event, "assert not obj.is_set(); obj.set(); assert obj.wait(1)")
    event.set()
    arrives(event, "assert obj.is_set()")


def test_semaphores():
    semaphore, bounded = threading.Semaphore(3), threading.BoundedSemaphore(3)
    semaphore.acquire()
    bounded.acquire()
    arrives(
        [semaphore, bounded],
        """
        assert [x._value for x in obj] == [2, 3]
        assert all(x.acquire(timeout=1) for x in obj)
        """,
    )


def test_a_barrier_starts_again():
    barrier = threading.Barrier(2, action=print, timeout=5)
    barrier.abort()
    arrives(
        barrier,
        "assert (obj.parties, obj._timeout, obj._action, obj.broken) == (2, 5, print, False)",
    )


@pytest.mark.parametrize("make", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_queues_keep_their_items(make):
    q = make(maxsize=4)
    for item in (3, 1, 2):
        q.put(item)
    q.get()
    with q.mutex:
        # The items that are left, in the order in which they are got.
        left = {queue.Queue: [1, 2], queue.LifoQueue: [1, 3], queue.PriorityQueue: [2, 3]}[make]
        arrives(
            (q, left),
            """
            q, left = obj
            assert q.maxsize == 4 and q.unfinished_tasks == 3
            assert [q.get(timeout=1), q.get(timeout=1)] == left and q.empty()
            q.put(9, timeout=1)
            """,
        )


@pytest.mark.parametrize(("put", "got"), [(0, 0), (1, 0), (1, 1), (10, 7), (40, 13)])
def test_a_simple_queue_keeps_its_items(put, got):
    q = queue.SimpleQueue()
    for item in range(put):
        q.put([item])
    for _ in range(got):
        q.get()
    q.put(q)
    arrives(
        (q, list(range(got, put))),
        """
        q, left = obj
        assert [q.get(timeout=1) for _ in left] == [[x] for x in left]
        assert q.get(timeout=1) is q and q.empty()
        """,
    )
    assert q.qsize() == put - got + 1
