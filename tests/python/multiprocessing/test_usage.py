"""What the documentation of `multiprocessing` and of `multiprocess` shows, in our words, on ours.

What belongs here: short programs as users write them.
"""

from helpers.programs import run_program


def test_a_queue_to_a_child_and_a_lock_between_children(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing import Lock, Process, Queue, set_start_method

        def greet(queue):
            queue.put("hello world")

        def say(lock, number):
            with lock:
                print("line", number, flush=True)

        if __name__ == "__main__":
            set_start_method(sys.argv[1])
            queue = Queue()
            child = Process(target=greet, args=[queue])
            child.start()
            print(queue.get(), flush=True)
            child.join()
            lock = Lock()
            children = [Process(target=say, args=(lock, number)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
        """,
        method,
    )
    assert sorted(out.splitlines()) == ["hello world", "line 0", "line 1", "line 2"]


def test_a_manager_and_a_pool(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing import Manager, Pool, Process, set_start_method

        def change(table, items):
            table[1] = "1"
            table["2"] = 2
            table[0.25] = None
            items.reverse()

        def square(x):
            return x * x

        if __name__ == "__main__":
            set_start_method(sys.argv[1])
            with Manager() as manager:
                table, items = manager.dict(), manager.list(range(5))
                child = Process(target=change, args=(table, items))
                child.start()
                child.join()
                print(table, items)
            with Pool(2) as pool:
                print(pool.map_async(square, range(5)).get(timeout=30))
                print(pool.map(lambda x: x**3, range(5)))
        """,
        method,
    )
    assert out == (
        "{1: '1', '2': 2, 0.25: None} [4, 3, 2, 1, 0]\n[0, 1, 4, 9, 16]\n[0, 1, 8, 27, 64]\n"
    )


def test_pools_in_functions_and_in_threads(tmp_path):
    out = run_program(
        tmp_path,
        """
        import threading

        def run(step, found):
            with mp.Pool(1) as pool:
                found.append(sum(pool.imap_unordered(lambda x: x + step, range(10))))

        if __name__ == "__main__":
            found = []
            threads = [threading.Thread(target=run, args=(step, found)) for step in (1, 2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(sorted(found))
            with mp.Pool(1) as pool:
                answers = []
                def ask():
                    answers.extend(pool.map(lambda x: -x, range(20), 1))
                threads = [threading.Thread(target=ask) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                print(len(answers), sum(answers))
            nested = package.ProcessPoolExecutor(1, mp)
            inner = nested.submit(lambda: package.current_process().daemon)
            print(inner.result())
            nested.shutdown()
        """,
        "spawn",
    )
    assert out == "[55, 65]\n80 -760\nTrue\n"


def test_the_dummies(tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing import dummy
        from ferropickle.multiprocessing.pool import ThreadPool

        with dummy.Pool(2) as pool:
            print(pool.map(lambda x: x + 1, range(3)))
        with ThreadPool(2) as pool:
            print(pool.apply(lambda: 7))
        """,
    )
    assert out == "[1, 2, 3]\n7\n"
