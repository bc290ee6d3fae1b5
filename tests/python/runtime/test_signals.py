"""Ctrl-C in a long dump or load: KeyboardInterrupt soon, and everything is usable after.

What belongs here: signals. Each case runs in an interpreter of its own that measures first how
much work takes several seconds, then interrupts it early. The bounds only say "soon".
"""

import pytest

from helpers.subprocs import run_python

WORK = {
    "dump of long integers": r"""
def work(n):
    fp.dump([10**300] * n, null, 0)
""",
    "dump of floats as text": r"""
def work(n):
    fp.dump([0.1234567890123] * n, null, 0)
""",
    "dump without a memo": r"""
value = [[i, str(i), (i, i * 0.5)] for i in range(1000)]
def work(n):
    pickler = fp.Pickler(null)
    pickler.fast = True
    pickler.dump([value] * (n // 100))
""",
    "dump of reducers in C": r"""
value = range(100)      # not a deque: it asks copyreg, whose bare except may swallow the interrupt
def work(n):
    pickler = fp.Pickler(null)
    pickler.fast = True
    pickler.dump([value] * (n // 10))
""",
    "loads of calls": r"""
def work(n):
    fp.loads(CALL + b"h\x00h\x01R0" * n + b".")
""",
    "load of calls from a file": r"""
def work(n):
    fp.load(io.BytesIO(CALL + b"h\x00h\x01R0" * n + b"."))
""",
    "loads of instances": r"""
def work(n):
    fp.loads(b"\x80\x04chelpers.shapes\nReduceLink\nq\x00" + b"h\x00)R0" * n + b".")
""",
}

BEFORE = r"""
import gc, io, os, signal, sys, time, warnings
import ferropickle as fp
warnings.simplefilter("ignore")
null = open(os.devnull, "wb")
# sorted, and a tuple of one list of 64 numbers
CALL = b"\x80\x04cbuiltins\nsorted\nq\x00(](" + b"".join(b"K%c" % i for i in range(64)) + b"etq\x01"
way = sys.argv[1]
"""

AFTER = r"""
def time_of(n):
    begin = time.perf_counter()
    work(n)
    return time.perf_counter() - begin

work(1)                             # imports what it needs
n = 2000
while True:                         # how much takes about five seconds?
    took = min(time_of(n), time_of(n))
    if took > 0.1:
        break
    n *= 2
n = int(n * min(5 / took, 50))

at = time.perf_counter() + 0.2
if way == "timer":
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    child = None
else:
    child = os.fork()
    if child == 0:
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(0)
try:
    work(n)
except KeyboardInterrupt:
    late = time.perf_counter() - at
else:
    raise SystemExit(f"{n} rounds ended without an interrupt")
if child:
    os.waitpid(child, 0)
assert late < 2, f"came {late} s late"
value = [[1], {"k": (2, 3)}]
assert fp.loads(fp.dumps(value)) == value
assert gc.isenabled()
"""


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("way", ["timer", "another process"])
def test_keyboard_interrupt(name, way):
    run_python(BEFORE + WORK[name] + AFTER, way)


def test_a_handler_that_raises_something_else():
    run_python(
        """
        import signal
        import ferropickle as fp

        class Alarm(Exception):
            pass

        def handler(number, frame):
            raise Alarm

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            while True:
                fp.loads(fp.dumps([10**200] * 20_000, 0))
        except Alarm:
            pass
        """
    )


def test_a_handler_that_mutates_and_returns():
    """A handler is foreign code: it may change what is being walked."""
    run_python(
        """
        import gc, signal, time
        import ferropickle as fp

        value = [[i, [str(i)], {"k": (i, [i])}] for i in range(60_000)]
        calls = []

        def handler(number, frame):
            calls.append(time.perf_counter())
            del value[len(value) // 2 :]
            value.extend([[["new"]]] * 10)
            gc.collect(0)

        signal.signal(signal.SIGALRM, handler)
        end = time.perf_counter() + 1.5
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.004)
        while time.perf_counter() < end:
            if len(value) < 2000:
                value.extend([i, [str(i)], {"k": (i, [i])}] for i in range(60_000))
            try:
                data = fp.dumps(value)
            except RuntimeError:
                continue
            back = fp.loads(data)
            assert all(len(item) in (1, 3) for item in back)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert calls
        """
    )
