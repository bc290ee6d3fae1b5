"""Threads that change objects while others dump them, in an interpreter of their own.

Run as ``python -m helpers.stress_child CASE THREADS ROUNDS SECONDS``: THREADS is the policy's.
Prints how many dumps gave a result and how many an error, and exits with 0 if

- each dump gave a stream that both loaders can read, or an error that says that the object changed;
- what was loaded is whole. Objects change by steps that belong together, and a dump that runs no
  Python code sees both sides of none: its result is what the object was at one moment.

A crash, a hang or an odd result ends the process otherwise. By hand, as memory checkers do it:
``make stress-valgrind``.
"""

import faulthandler
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time

import ferropickle as fp
from helpers.shapes import Plain
from helpers.stress_cases import CASES, Large, Yielding, is_item, make_item

HARMLESS = (RuntimeError, pickle.PicklingError)


class Run:
    """Threads that change the object of a case and threads that dump it, until time is up."""

    def __init__(self, case, threads, rounds, seconds):
        self.case = case
        self.policy = fp.Policy(threads=threads)
        self.rounds = rounds
        self.until = time.monotonic() + seconds
        self.over = threading.Event()
        self.results = self.errors = 0
        self.failure = None

    def mutate(self, seed):
        dice, n = random.Random(seed), seed * 1_000_000
        while not self.over.is_set():
            n += 1
            self.case.change(dice, n)
            if self.case.large and n % 10 == 0:
                time.sleep(0.0001)

    def collect(self):
        """Garbage for the collector, which runs whenever it likes."""
        while not self.over.is_set():
            loop = []
            loop.append([loop, Plain(loop=loop)])
            gc.collect(random.randrange(2))
            time.sleep(0.001)

    def dump(self, number):
        every = 40 if self.case.large else 8
        for count in range(self.rounds):
            # Under valgrind one dump of a large case can take all the time there is.
            if self.over.is_set() or count and time.monotonic() > self.until:
                return
            try:
                data = fp.dumps(self.case.obj, policy=self.policy)
            except HARMLESS:
                if not self.case.foreign:
                    raise  # nothing could have changed
                self.errors += 1
                continue
            self.results += 1
            if count % every == number:
                load = (fp.loads, pickle.loads)[count // every % 2]
                assert self.case.is_whole(load(data)), "not what it was at any moment"

    def guarded(self, function, *args):
        try:
            function(*args)
        except BaseException as exc:
            self.failure = exc
            self.over.set()

    def all(self):
        def thread(*args):
            return threading.Thread(target=self.guarded, args=args)

        others = [thread(self.mutate, seed) for seed in (1, 2)] + [thread(self.collect)]
        dumpers = [thread(self.dump, number) for number in (1, 2)]
        for each in others + dumpers:
            each.start()
        for each in dumpers:
            each.join()
        self.over.set()
        for each in others:
            each.join()
        if self.failure is not None:
            raise self.failure
        return self.results, self.errors


def loads(threads, rounds, seconds):
    """The same bytes, loaded by several threads, with code that lets the others in."""
    value = [[make_item(n % 7), Yielding() if n % 50 == 0 else n, {n}] for n in range(200)]
    value.append(value)
    data = fp.dumps(value, policy=fp.Policy(threads=threads))
    until, done, failures = time.monotonic() + seconds, [], []

    def load():
        try:
            while time.monotonic() < until and len(done) < rounds:
                back = fp.loads(data)
                assert back.pop() is back
                assert all(is_item(item) and rest == {n} for n, (item, _, rest) in enumerate(back))
                done.append(None)
                if len(done) % 16 == 0:
                    gc.collect()
        except BaseException as exc:
            failures.append(exc)

    workers = [threading.Thread(target=load) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return len(done), 0


def signals(threads, rounds, seconds):
    """Handlers of signals that change what is dumped, while others change it too."""
    run = Run(Large(0), threads, rounds, seconds)
    dice, calls = random.Random(7), []

    def handler(number, frame):
        calls.append(None)
        run.case.change(dice, 5_000_000 + len(calls))

    # Between waves of parts and in long serial walks a handler is code of the user's.
    run.case.foreign = True
    other = threading.Thread(target=run.guarded, args=(run.mutate, 3))
    other.start()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    run.case.is_whole = lambda back: all(map(is_item, back))
    run.guarded(run.dump, 1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    run.over.set()
    other.join()
    if run.failure is not None:
        raise run.failure
    assert calls
    return run.results, run.errors


def forks(threads, rounds, seconds):
    """Children that dump and load, forked while threads of the parent do."""
    run = Run(Large(0), threads, rounds * 1_000, 10_000)
    workers = [threading.Thread(target=run.guarded, args=(run.dump, n)) for n in (1, 2)]
    workers.append(threading.Thread(target=run.guarded, args=(run.mutate, 3)))
    for worker in workers:
        worker.start()
    until, children = time.monotonic() + seconds, 0
    while time.monotonic() < until and children < rounds and run.failure is None:
        time.sleep(0.01)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                data = fp.dumps(run.case.obj, policy=run.policy)
                status = 0 if run.case.is_whole(fp.loads(data)) else 2
            finally:
                os._exit(status)
        children += 1
        assert os.waitpid(child, 0)[1] == 0
    run.over.set()
    for worker in workers:
        worker.join()
    if run.failure is not None:
        raise run.failure
    return children, 0


OTHERS = {"loads": loads, "signals": signals, "forks": forks}


def main(name, *numbers):
    threads, rounds, seconds = map(int, numbers)
    faulthandler.enable()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(700 if "large" in name or name in ("signals", "forks") else 50)
    if name in OTHERS:
        results, errors = OTHERS[name](threads, rounds, seconds)
    else:
        case = CASES[name](0)
        if case.large and threads > 1 and (os.cpu_count() or 1) > 1:
            streams = [fp.dumps(case.obj, policy=fp.Policy(threads=n)) for n in (1, threads)]
            assert streams[0] != streams[1], "several threads should have encoded it"
        results, errors = Run(case, threads, rounds, seconds).all()
    assert results, f"{errors} errors, and no result"
    print(results, errors)


if __name__ == "__main__":
    main(*sys.argv[1:])
