"""Arrays between processes: in shared memory, in place, and given back.

What belongs here: where the memory is, who may write to it, when it is free again, what happens
when there is no room.
"""

import pytest

from helpers.programs import run_program

pytest.importorskip("numpy")

HELPERS = """
import gc
import numpy as np
from ferropickle.multiprocessing import _lane

def is_shared(array):
    "Whether an array's memory is that of a file in memory, as /proc/self/maps has it."
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if first <= address < last:
                return "memfd:" in line or "/dev/shm/" in line
    raise AssertionError("no such memory")

def used(lane):
    gc.collect()
    return lane.used

def wait_until_free(lane):
    deadline = time.monotonic() + 20
    while used(lane):
        assert time.monotonic() < deadline, used(lane)
        time.sleep(0.01)
"""


def test_both_ways_in_place(method, tmp_path):
    out = run_program(
        tmp_path,
        HELPERS
        + """
def work(array):
    assert is_shared(array) and array.flags.writeable
    array += 1
    return array, is_shared(array)

if __name__ == "__main__":
    original = np.arange(1_000_000.)
    with mp.Pool(2) as pool:
        lane = pool._engine._lane
        back, there = pool.apply(work, [original])
        assert there and is_shared(back) and back.flags.writeable
        assert original[5] == 5 and back[5] == 6
        back += 1
        assert used(lane) >= back.nbytes
        read_only = np.arange(100_000.)
        read_only.flags.writeable = False
        assert not pool.apply(lambda array: array.flags.writeable, [read_only])
        views = pool.apply(lambda array: [array, array[10:20]], [original])
        views[0][10] = 77
        assert views[1][0] == 77
        del views
    # What has come stays when the pool has gone.
    assert back[5] == 7
    del back
    queue, (here, there) = mp.Queue(), mp.Pipe()
    queue.put(original)
    found = queue.get()
    assert is_shared(found) and (found == original).all()
    here.send(original)
    found = there.recv()
    assert is_shared(found) and (found == original).all()
    del found
    wait_until_free(_lane.family())
    print("in place")
""",
        method,
    )
    assert out == "in place\n"


def test_a_function_with_arrays_is_one_for_all_workers(method, tmp_path):
    out = run_program(
        tmp_path,
        HELPERS
        + """
if __name__ == "__main__":
    table = np.arange(1_000_000.)

    def work(row):
        before = table[row]
        table[row] = -1  # its own: no other worker sees that
        time.sleep(0.02)
        return before, is_shared(table), os.getpid()

    with mp.Pool(2) as pool:
        lane = pool._engine._lane
        found = pool.map(work, list(range(10)) * 2, chunksize=1)
        assert len({pid for *_, pid in found}) == 2
        assert table[0] == 0
        seen = {}
        for row, (value, _, pid) in zip(list(range(10)) * 2, found):
            assert value == (-1 if row in seen.setdefault(pid, set()) else row)
            seen[pid].add(row)
        wait_until_free(lane)  # when the map has ended workers drop its function
    print("one")
""",
        method,
    )
    assert out == "one\n"


def test_what_a_dead_worker_held_is_free_again(tmp_path):
    out = run_program(
        tmp_path,
        HELPERS
        + """
import signal

held = []

def hold(array):
    held.append(array)
    return len(held)

def die(array):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    array = np.zeros(1_000_000)
    with mp.Pool(1) as pool:
        lane = pool._engine._lane
        assert pool.apply(hold, [array]) == 1
        assert used(lane) >= array.nbytes
        for _ in range(3):
            try:
                pool.apply(die, [array])
            except package.WorkerLostError:
                pass
        pool.apply(abs, [-1])
        wait_until_free(lane)
        # Stopped before it reads, then killed: the message was never taken.
        (process,) = pool._pool
        os.kill(process.pid, signal.SIGSTOP)
        result = pool.apply_async(np.sum, [array])
        while used(lane) < array.nbytes:
            time.sleep(0.01)
        process.kill()
        result.wait(timeout=30)
        assert result.ready()
        wait_until_free(lane)
    print("free")
""",
        "fork",
    )
    assert out == "free\n"


def test_without_room_and_without_an_arena(tmp_path):
    out = run_program(
        tmp_path,
        HELPERS
        + """
import ferropickle._native as native

def swap(array):
    return array[::-1].copy()

def checked(pool):
    arrays = [np.arange(float(size)) for size in (10, 5_000, 300_000)]
    results = [pool.apply_async(swap, [array]) for array in arrays * 3]
    kept = [result.get() for result in results]
    assert all((a[::-1] == b).all() and b.flags.writeable for a, b in zip(arrays * 3, kept))
    return [is_shared(array) for array in kept]

if __name__ == "__main__":
    _lane.Arena = lambda: native.Arena(1 << 20)
    with mp.Pool(2) as pool:
        shared = checked(pool)
        print(any(shared), all(shared))
    def none():
        raise OSError("none on this system")
    _lane.Arena = none
    with mp.Pool(2) as pool:
        print(any(checked(pool)))
""",
        "fork",
    )
    assert out == "True False\nFalse\n"


POOR = """
import resource
from helpers.sandbox import forbid_memfd, small_segment_folder

if __name__ == "__main__":
    if sys.argv[2] == "no large files":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    elif not small_segment_folder(4 << 20) or not forbid_memfd():
        print("not allowed")
        sys.exit(0)
"""


@pytest.mark.parametrize("kind", ["no large files", "a full folder of segments"])
def test_where_shared_memory_cannot_be_had(kind, tmp_path):
    """A write to memory that is not there would end the process with SIGBUS."""
    out = run_program(
        tmp_path,
        POOR
        + HELPERS
        + """
def double(array):
    return array * 2

def send_back(end):
    end.send(end.recv() * 2)

if __name__ == "__main__":
    array = np.arange(300_000.)
    arrays = [array, np.arange(10.), np.arange(20_000.), array]
    with mp.Pool(2) as pool:
        for _ in range(3):
            results = pool.map(double, arrays)
            assert all((a * 2 == b).all() for a, b in zip(arrays, results))
        large = np.ones(2 << 20)
        assert not is_shared(pool.apply(double, [large]))
        del results
    here, there = mp.Pipe()
    child = mp.Process(target=send_back, args=[there])
    child.start()
    there.close()
    here.send(large)
    assert (here.recv() == 2).all()
    child.join()
    assert child.exitcode == 0
    print("worked")
""",
        "fork",
        kind,
    )
    assert out in ("worked\n", "not allowed\n")


def test_a_lane_is_attached_once(method, tmp_path):
    out = run_program(
        tmp_path,
        HELPERS
        + """
def count(end, queue, other):
    first = len(os.listdir("/proc/self/fd"))
    array = end.recv()
    lanes = {id(end._lane), id(queue._lane), id(other._lane), id(_lane.family())}
    third, fourth = mp.Pipe()
    lanes.add(id(third._lane))
    end.send((len(lanes), is_shared(array), array.sum()))

if __name__ == "__main__":
    here, there = mp.Pipe()
    queue, other = mp.Queue(), mp.SimpleQueue()
    child = mp.Process(target=count, args=(there, queue, other))
    child.start()
    here.send(np.ones(100_000))
    print(*here.recv())
    child.join()
""",
        method,
    )
    assert out == "1 True 100000.0\n"
