"""What goes from process to process: as targets, arguments and items, by pipes, queues, managers.

What belongs here: the ways there are, each with objects that plain pickle refuses.
"""

from helpers.programs import run_program

# What plain pickle cannot send, and how to see that it has arrived.
THINGS = """
import array, collections

def things(factor=3):
    class Local:
        def __init__(self, x):
            self.x = x
        def times(self):
            return factor * self.x
    return {
        "lambda": lambda x: factor * x,
        "class": Local,
        "instance": Local(5),
        "method": Local(6).times,
        "generator": collections.deque([Local(1)], 3),
        "array": array.array("d", range(10_000)),
        "bytes": bytes(200_000),
        "views": {1: 2}.keys(),
    }

def check(found):
    assert found["lambda"](4) == 12
    assert found["class"](2).times() == 6
    assert found["instance"].times() == 15 and type(found["instance"]) is found["class"]
    assert found["method"]() == 18
    assert found["array"][9_999] == 9_999.0 and len(found["bytes"]) == 200_000
    assert list(found["views"]) == [1] and found["generator"].maxlen == 3
    try:
        import numpy as np
    except ImportError:
        return
    table = found.get("table")
    if table is not None:
        assert table.flags.writeable and table[7].sum() == np.arange(700., 800.).sum()

def all_things():
    found = things()
    try:
        import numpy as np
    except ImportError:
        return found
    return {**found, "table": np.arange(100_000.).reshape(1_000, 100)}
"""


def test_targets_and_arguments(method, tmp_path):
    out = run_program(
        tmp_path,
        THINGS
        + """
if __name__ == "__main__":
    given = all_things()
    sent, received = mp.Pipe(duplex=False)
    child = mp.Process(
        target=lambda end, given, *, named: (check(given), check(named), end.send(given)),
        args=(received, given),
        kwargs={"named": given},
    )
    child.start()
    received.close()
    check(sent.recv())
    child.join()
    print(child.exitcode)
    child.close()
""",
        method,
    )
    assert out == "0\n"


def test_a_process_that_holds_itself(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        def make(queue):
            class Local(mp.Process):
                def run(self):
                    queue.put((self.me is self, self.work(7), type(self).__name__))
            return Local()

        if __name__ == "__main__":
            queue = mp.Queue()
            child = make(queue)
            child.me = child
            child.work = lambda x: x + 1
            child.start()
            print(*queue.get(timeout=30))
            child.join()
        """,
        method,
    )
    assert out == "True 8 Local\n"


def test_pipes_and_connections_in_connections(method, tmp_path):
    out = run_program(
        tmp_path,
        THINGS
        + """
def serve(end):
    check(end.recv())
    other = end.recv()  # a connection that came by a connection
    other.send(lambda: "by the other")
    other.close()
    try:
        end.send(sys._getframe())
    except Exception as error:
        end.send(str(error))
    end.send_bytes(b"bytes")
    assert end.recv() == "the end"

if __name__ == "__main__":
    here, there = mp.Pipe()
    child = mp.Process(target=serve, args=(there,))
    child.start()
    there.close()
    here.send(all_things())
    mine, other = mp.Pipe()
    here.send(other)
    other.close()
    print(mine.recv()())
    print("cannot pickle" in here.recv(), here.recv_bytes(), here.poll(0))
    here.send("the end")
    child.join()
    try:
        mine.recv()
    except EOFError:
        print("closed")
""",
        method,
    )
    assert out == "by the other\nTrue b'bytes' False\nclosed\n"


def test_our_connections_and_those_of_the_standard_library_understand_each_other(tmp_path):
    out = run_program(
        tmp_path,
        """
        import multiprocessing, threading
        from ferropickle.multiprocessing.connection import Client, Listener, adopt

        first, second = multiprocessing.Pipe()
        second = adopt(second)
        second.send({"a": [1]})
        print(first.recv())
        first.send({"b": bytes(100_000)})
        print(len(second.recv()["b"]))

        with Listener(authkey=b"secret") as listener:
            def serve():
                with listener.accept() as connection:
                    connection.send(lambda: connection.__class__.__name__)
                    connection.recv_bytes()
            thread = threading.Thread(target=serve)
            thread.start()
            with Client(listener.address, authkey=b"secret") as client:
                print(type(client).__module__, callable(client.recv()))
                client.send_bytes(b"end")
            thread.join()
        """,
    )
    assert out == "{'a': [1]}\n100000\nferropickle.multiprocessing.connection True\n"


def test_queues(method, tmp_path):
    out = run_program(
        tmp_path,
        THINGS
        + """
import queue as plain

def serve(todo, done, simple):
    for item in iter(todo.get, None):
        check(item)
        todo.task_done()
        done.put(lambda: "done")
    todo.task_done()
    simple.put(things())

if __name__ == "__main__":
    todo, done, simple = mp.JoinableQueue(), mp.Queue(), mp.SimpleQueue()
    child = mp.Process(target=serve, args=(todo, done, simple))
    child.start()
    for _ in range(3):
        todo.put(all_things())
    todo.put(None)
    todo.join()
    print([done.get(timeout=30)() for _ in range(3)])
    check(simple.get())
    child.join()
    try:
        done.get(timeout=0.01)
    except plain.Empty:
        print("empty")
    bounded = mp.Queue(1)
    item = [1]
    bounded.put(item)
    item.append(2)  # too late
    try:
        bounded.put(1, timeout=0.01)
    except plain.Full:
        print("full")
    try:
        done.put(sys._getframe())
    except Exception as error:
        print("cannot pickle" in str(error))
    print(bounded.get())
    for one in (todo, done, bounded):
        one.close()
        one.join_thread()
    try:
        done.put(1)
    except ValueError as error:
        print("closed" in str(error))
""",
        method,
    )
    assert out == "['done', 'done', 'done']\nempty\nfull\nTrue\n[1]\nTrue\n"


def test_locks_events_values_and_shared_memory(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing.shared_memory import SharedMemory

        if __name__ == "__main__":
            lock, event, barrier = mp.RLock(), mp.Event(), mp.Barrier(2)
            semaphore, condition = mp.BoundedSemaphore(2), mp.Condition()
            number, numbers = mp.Value("i", 0), mp.Array("d", 3)
            memory = SharedMemory(create=True, size=10)

            def work():
                barrier.wait(30)
                for _ in range(100):
                    with number.get_lock():
                        number.value += 1
                with lock, semaphore:
                    numbers[1] = 2.5
                memory.buf[3] = 7
                with condition:
                    event.set()
                    condition.notify_all()

            child = mp.Process(target=work)
            child.start()
            barrier.wait(30)
            for _ in range(100):
                with number.get_lock():
                    number.value += 1
            assert event.wait(30)
            child.join()
            print(child.exitcode, number.value, list(numbers), memory.buf[3])
            memory.close()
            memory.unlink()
        """,
        method,
    )
    assert out == "0 200 [0.0, 2.5, 0.0] 7\n"


def test_sockets(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        import socket

        if __name__ == "__main__":
            here, there = socket.socketpair()
            child = mp.Process(target=lambda sock: sock.sendall(b"hello"), args=(there,))
            child.start()
            there.close()
            print(here.recv(10))
            child.join()
        """,
        method,
    )
    assert out == "b'hello'\n"


def test_registered_reducers_go_first(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing import reduction

        class Handle:
            def __reduce__(self):
                raise TypeError("only as registered")

        class Other(Handle):
            pass

        def rebuild(text):
            return text

        if __name__ == "__main__":
            reduction.register(Handle, lambda handle: (rebuild, ("the handle",)))
            here, there = mp.Pipe()
            here.send([Handle()])
            print(there.recv())
            reduction.register(Other, lambda other: (rebuild, ("the other",)))
            with mp.Pool(1) as pool:
                print(pool.apply(lambda *given: given, [Handle(), Other()]))
        """,
        method,
    )
    assert out == "['the handle']\n('the handle', 'the other')\n"


def test_a_target_that_raises(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        import contextlib

        if __name__ == "__main__":
            codes = []
            for target in (lambda: 1 / 0, lambda: sys.exit(3), lambda: None, lambda: os._exit(5)):
                child = mp.Process(target=target)
                child.start()
                child.join()
                codes.append(child.exitcode)
            print(codes)
            child = mp.Process(target=lambda: time.sleep(60))
            child.start()
            child.kill()
            child.join()
            print(child.exitcode, mp.active_children())
        """,
        method,
    )
    assert out == "[1, 3, 0, 5]\n-9 []\n"


def test_managers(method, tmp_path):
    out = run_program(
        tmp_path,
        THINGS
        + """
from ferropickle.multiprocessing.managers import BaseManager

class Counter:
    def __init__(self, step):
        self.step, self.count = step, 0
    def up(self, times):
        self.count += times(self.step)
        return lambda: self.count

class Registry(BaseManager):
    pass

Registry.register("Counter", Counter)
Registry.register("Local", lambda: Counter(lambda: 100))

if __name__ == "__main__":
    with mp.Manager() as manager:
        table, items, space = manager.dict(), manager.list(), manager.Namespace()
        table.update(all_things())
        check(table.copy())
        items.append(lambda: "from the list")
        space.function = lambda: "from the namespace"
        lock = manager.Lock()

        def work(table, items, space):
            with lock:
                check(table.copy())
                table["answer"] = lambda: (items[0](), space.function())

        child = mp.Process(target=work, args=(table, items, space))
        child.start()
        child.join()
        print(child.exitcode, table["answer"]())
        try:
            table["nothing"]
        except KeyError as error:
            print(repr(error))
        nested = manager.list([manager.dict(f=lambda: "deep")])
        print(nested[0]["f"]())
        with manager.Pool(1) as pool:
            print(pool.map(lambda x: x + 1, [1, 2]))
        queue = manager.Queue()
        queue.put(lambda: "queued")
        print(queue.get()())
    with Registry(ctx=mp) as registry:
        print(registry.Counter(2).up(lambda step: 10 * step)())
""",
        method,
    )
    assert out == (
        "0 ('from the list', 'from the namespace')\nKeyError('nothing')\ndeep\n[2, 3]\nqueued\n20\n"
    )
