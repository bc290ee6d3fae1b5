"""Workers that die: errors in bounded time, and nothing left behind.

What belongs here: SIGKILL at whatever moment, descriptors, processes, segments, memory.
"""

from helpers.programs import run_program

# What there is of this process's: to be the same before and after.
LEFT = """
import gc, signal

def children():
    me = str(os.getpid())
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == me and fields[0] != "Z":
                found.append(int(entry))
    return found

def left():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/dev/shm"))

def warm_up():
    with mp.Pool(1) as pool:
        pool.map(abs, [1])
    return left(), set(children())  # a fork server and its like stay

def assert_left(before, helpers):
    deadline = time.monotonic() + 20
    while left()[0] > before[0] or left()[1] > before[1] or set(children()) - helpers:
        assert time.monotonic() < deadline, (before, left(), children())
        time.sleep(0.02)
"""


def test_a_lost_task_is_an_error_and_the_pool_goes_on(method, tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
if __name__ == "__main__":
    before, helpers = warm_up()

    def die(x):
        if x == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    with mp.Pool(2) as pool:
        begin = time.monotonic()
        try:
            pool.apply(die, [3])
        except package.WorkerLostError as error:
            assert error.exitcode == -9 and str(error.pid) in str(error), error
            print(str(error).replace(str(error.pid), "N"))
        try:
            pool.map(die, range(6), chunksize=1)
        except package.WorkerLostError as error:
            print(error.exitcode)
        results = pool.imap(die, range(6))
        found = []
        for _ in range(6):
            try:
                found.append(next(results))
            except package.WorkerLostError:
                found.append("lost")
        print(found)
        for how in (lambda: os._exit(7), lambda: sys.exit(8), lambda: os.abort()):
            try:
                pool.apply(how)
            except package.WorkerLostError as error:
                print(error.exitcode)
        assert sorted(pool.map(die, [0, 1, 2])) == [0, 1, 2]
        assert time.monotonic() - begin < 30
    assert_left(before, helpers)
""",
        method,
    )
    assert out == (
        "worker process N was killed by SIGKILL while it had this task; the task is not run again\n"
        "-9\n[0, 1, 2, 'lost', 4, 5]\n7\n8\n-6\n"
    )


def test_idle_workers_that_die_are_replaced(method, tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
if __name__ == "__main__":
    before, helpers = warm_up()
    with mp.Pool(2) as pool:
        pool.map(abs, range(10))
        for _ in range(3):
            pids = {process.pid for process in pool._pool}
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            while pids & {process.pid for process in pool._pool}:
                time.sleep(0.01)  # one that gets a task now may have begun it
            assert pool.map(lambda x: x + 1, range(10), 1) == list(range(1, 11))
    assert_left(before, helpers)
    print("replaced")
""",
        method,
    )
    assert out == "replaced\n"


def test_killed_at_any_moment(tmp_path):
    """Large messages both ways, and SIGKILL while they are under way."""
    out = run_program(
        tmp_path,
        LEFT
        + """
import random, threading

def work(block):
    return block[::-1]

if __name__ == "__main__":
    random.seed(int(sys.argv[2]))
    before, helpers = warm_up()
    block = bytearray(4_000_000)
    block[:5] = b"begin"
    lost = done = 0
    with mp.Pool(2) as pool:
        stop = time.monotonic() + 6
        killed = 0

        def kill():
            global killed
            while time.monotonic() < stop:
                time.sleep(random.random() * 0.08)
                processes = pool._pool
                if processes:
                    try:
                        os.kill(random.choice(processes).pid, signal.SIGKILL)
                        killed += 1
                    except (ProcessLookupError, TypeError):
                        pass

        killer = threading.Thread(target=kill)
        killer.start()
        while time.monotonic() < stop:
            results = [pool.apply_async(work, [block]) for _ in range(4)]
            for result in results:
                try:
                    assert result.get(timeout=30)[-5:] == b"nigeb"
                    done += 1
                except package.WorkerLostError:
                    lost += 1
        killer.join()
        # The last one that was killed may not be missed yet.
        for attempt in range(3):
            try:
                assert pool.map(abs, range(-10, 0)) == list(range(10, 0, -1))
                break
            except package.WorkerLostError:
                assert attempt < 2
    assert killed > 10 and lost and done, (killed, lost, done)
    assert_left(before, helpers)
    print("survived")
""",
        "fork",
        5,
    )
    assert out == "survived\n"


def test_workers_that_never_start(method, tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
if __name__ == "__main__":
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # workers show their tracebacks
    before, helpers = warm_up()

    def fails():
        raise KeyError("at the start")

    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    for start, cause in ((fails, KeyError), (dies, None)):
        with mp.Pool(1, start) as pool:
            try:
                pool.map(abs, [1])
            except package.WorkerLostError as error:
                assert "no worker gets through its start" in str(error)
                assert type(error.__cause__) is (cause or type(None))
            try:
                pool.apply(abs, [1])
            except package.WorkerLostError:
                print("broken")
    assert_left(before, helpers)
""",
        method,
    )
    assert out == "broken\nbroken\n"


def test_descendants_that_hold_the_descriptors_of_a_dead_worker(tmp_path):
    out = run_program(
        tmp_path,
        """
        def work():
            if os.fork() == 0:
                time.sleep(4)
                os._exit(0)
            os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            with mp.Pool(1) as pool:
                begin = time.monotonic()
                try:
                    pool.apply(work)
                except package.WorkerLostError:
                    print("lost", time.monotonic() - begin < 3.5)
                print(pool.apply(abs, [-1]))
        """,
        "fork",
    )
    assert out == "lost True\n1\n"


def test_workers_end_when_their_parent_is_killed(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        import signal, subprocess

        def busy(_):
            time.sleep(0.1)
            return os.getpid()

        def is_alive(pid):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    return stat.read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False

        if __name__ == "__main__":
            if len(sys.argv) > 2:
                first, second = mp.Pool(2), mp.Pool(1)
                print(*{*first.map(busy, range(6), 1), *second.map(busy, range(2), 1)}, flush=True)
                pending = first.map_async(busy, range(10_000), 1)
                time.sleep(60)
            command = [sys.executable, __file__, sys.argv[1], "parent"]
            parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            pids = [int(word) for word in parent.stdout.readline().split()]
            assert len(pids) == 3 and all(map(is_alive, pids))
            parent.kill()
            parent.wait()
            deadline = time.monotonic() + 20
            while any(map(is_alive, pids)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            print("ended")
        """,
        method,
    )
    assert out == "ended\n"


def test_terminate_does_not_wait_for_anybody(method, tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
def stubborn(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(100)

def endless():
    while True:
        time.sleep(100)
        yield 1

if __name__ == "__main__":
    before, helpers = warm_up()
    begin = time.monotonic()
    with mp.Pool(2) as pool:
        results = [pool.map_async(stubborn, range(4), 1), pool.imap(abs, endless())]
        time.sleep(0.5)
    try:
        results[0].get(timeout=1)
    except package.ProcessError as error:
        print(error)
    assert time.monotonic() - begin < 20
    del pool, results
    assert_left(before, helpers)
    with mp.Pool(1) as pool:
        result = pool.apply_async(time.sleep, [0])
        result.get()
        pool.terminate()
        pool.terminate()
        pool.join()
    assert_left(before, helpers)
""",
        method,
    )
    assert out == "the pool was terminated\n"


def test_a_pool_that_is_let_go_ends_its_workers(tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
if __name__ == "__main__":
    before, helpers = warm_up()
    warnings.simplefilter("always", ResourceWarning)
    warnings.showwarning = lambda message, kind, *rest: print(kind.__name__, str(message)[:16])
    pool = mp.Pool(2)
    pool.map(abs, range(3))
    del pool
    assert_left(before, helpers)
""",
        "fork",
    )
    assert out == "ResourceWarning unclosed running\n"


def test_a_pool_that_is_open_when_the_program_ends(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        if __name__ == "__main__":
            pool = mp.Pool(2)
            pool.map_async(time.sleep, [100] * 4)
            executor = package.ProcessPoolExecutor(1, mp)
            executor.submit(lambda: (time.sleep(0.5), print("waited for", flush=True)))
            print("end", flush=True)
        """,
        method,
    )
    assert out == "end\nwaited for\n"


def test_ten_thousand_messages_leave_nothing(tmp_path):
    out = run_program(
        tmp_path,
        LEFT
        + """
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def state(_):
    return os.getpid(), left(), resident()

def swap(item):
    return item

if __name__ == "__main__":
    before, helpers = warm_up()
    block = bytes(20_000)
    queue = mp.SimpleQueue()
    ends = mp.Pipe()
    arena = 1  # that of pipes and queues stays as long as the process
    with mp.Pool(1) as pool:

        def go(rounds):
            for found in pool.imap(swap, (block for _ in range(rounds))):
                assert found == block
            for _ in range(rounds // 2):
                assert pool.apply(len, [block]) == 20_000
                queue.put(block)
                assert queue.get() == block
                ends[0].send(block)
                assert ends[1].recv() == block

        go(1_000)
        first = left(), resident(), *pool.apply(state, [0])
        go(10_000)
        last = left(), resident(), *pool.apply(state, [0])
    assert last[0] == first[0] and last[2:4] == first[2:4], (first, last)
    for then, now in ((first[1], last[1]), (first[4], last[4])):
        assert now - then < 4_000_000, (first, last)
    queue.close()
    for end in ends:
        end.close()
    assert_left((before[0] + arena, before[1]), helpers)
    print("flat")
""",
        "fork",
        timeout=110,
    )
    assert out == "flat\n"
