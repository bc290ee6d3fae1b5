"""`ProcessPoolExecutor`: futures, maps, cancelling, breaking, shutting down."""

from helpers.programs import run_program


def test_calls_and_maps(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        import concurrent.futures as futures

        def start(value):
            global shared
            shared = value

        def add(x):
            return shared + x

        if __name__ == "__main__":
            factor = 3
            with package.ProcessPoolExecutor(2, mp, start, (100,)) as executor:
                assert isinstance(executor, futures.Executor)
                assert executor.submit(lambda x, *, y: factor * x + y, 1, y=2).result() == 5
                assert executor.submit(add, 5).result() == 105
                assert list(executor.map(lambda x: factor * x, range(5))) == [0, 3, 6, 9, 12]
                assert list(executor.map(lambda x, y: x * y, [1, 2], [3, 4], chunksize=2)) == [3, 8]
                assert list(executor.map(abs, [])) == []
                assert list(executor.map(abs, range(-9, 0), buffersize=2)) == list(range(9, 0, -1))
                done, _ = futures.wait([executor.submit(add, x) for x in range(4)])
                assert sorted(future.result() for future in done) == [100, 101, 102, 103]
                for future in futures.as_completed([executor.submit(add, 1)]):
                    assert future.result() == 101
                seen = []
                future = executor.submit(lambda: {}["missing"])
                future.add_done_callback(seen.append)
                try:
                    future.result()
                except KeyError as error:
                    assert "in <lambda>" in str(error.__cause__)
                assert seen == [future]
                found = executor.map(lambda x: 1 / x, [1, 0])
                assert next(found) == 1
                try:
                    next(found)
                except ZeroDivisionError:
                    pass
                try:
                    list(executor.map(time.sleep, [5], timeout=0.05))
                except futures.TimeoutError:
                    pass
                for wrong in (dict(chunksize=0), dict(buffersize=0)):
                    try:
                        executor.map(abs, [1], **wrong)
                    except ValueError:
                        continue
                    raise AssertionError(wrong)
                assert len(executor._processes) == 2
                for process in executor._processes.values():
                    process.kill()  # it may sleep still
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                assert "after shutdown" in str(error)
            print("all")
        """,
        method,
    )
    assert out == "all\n"


def test_a_map_pickles_its_function_once(tmp_path):
    out = run_program(
        tmp_path,
        """
        class Counted:
            pickled = 0
            def __reduce__(self):
                Counted.pickled += 1
                return Counted, ()
            def __call__(self, x):
                return x

        if __name__ == "__main__":
            with package.ProcessPoolExecutor(2, mp) as executor:
                assert list(executor.map(Counted(), range(50))) == list(range(50))
            print(Counted.pickled)
        """,
        "fork",
    )
    assert out == "1\n"


def test_a_worker_that_dies_breaks_it(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from concurrent.futures.process import BrokenProcessPool

        if __name__ == "__main__":
            with package.ProcessPoolExecutor(2, mp) as executor:
                slow = [executor.submit(time.sleep, 60) for _ in range(4)]
                lost = None
                while not slow[1].running():
                    time.sleep(0.01)
                next(iter(executor._processes.values())).kill()
                for future in slow:
                    try:
                        future.result(timeout=30)
                    except BrokenProcessPool as error:
                        lost = error
                assert "was killed by SIGKILL" in str(lost)
                assert type(lost.__cause__) is package.WorkerLostError
                try:
                    executor.submit(abs, 1)
                except BrokenProcessPool:
                    print("broken")
            sys.stderr = open(os.devnull, "w")
            os.dup2(sys.stderr.fileno(), 2)
            with package.ProcessPoolExecutor(1, mp, lambda: 1 / 0) as executor:
                try:
                    executor.submit(abs, 1).result(timeout=30)
                except BrokenProcessPool:
                    print("broken")
        """,
        method,
    )
    assert out == "broken\nbroken\n"


def test_cancelling_and_shutting_down(tmp_path):
    out = run_program(
        tmp_path,
        """
        import concurrent.futures as futures

        if __name__ == "__main__":
            with package.ProcessPoolExecutor(1, mp) as executor:
                first = executor.submit(time.sleep, 0.5)
                rest = [executor.submit(abs, -x) for x in range(10)]
                while not first.running():
                    time.sleep(0.01)
                assert not first.cancel()
                assert all(future.cancel() for future in rest[:5])
                assert [future.result() for future in rest[5:]] == [5, 6, 7, 8, 9]
                done, not_done = futures.wait(rest, timeout=30)
                assert not not_done and first.result() is None

            executor = package.ProcessPoolExecutor(1, mp)
            first = executor.submit(time.sleep, 0.5)
            while not first.running():
                time.sleep(0.01)
            rest = [executor.submit(abs, -x) for x in range(10)]
            executor.shutdown(cancel_futures=True)
            assert first.result(timeout=0) is None
            assert all(future.cancelled() for future in rest)

            executor = package.ProcessPoolExecutor(1, mp)
            late = executor.submit(lambda: (time.sleep(0.3), 7)[1])
            executor.shutdown(wait=False)
            assert late.result(timeout=30) == 7

            executor = package.ProcessPoolExecutor(1, mp)
            late = executor.submit(lambda: (time.sleep(0.3), 8)[1])
            del executor
            assert late.result(timeout=30) == 8

            executor = package.ProcessPoolExecutor(1, mp)
            stuck = executor.submit(time.sleep, 60)
            while not stuck.running():
                time.sleep(0.01)
            executor.kill_workers()
            try:
                stuck.result(timeout=30)
            except futures.process.BrokenProcessPool:
                print("ended")
            package.ProcessPoolExecutor(1, mp).shutdown()
        """,
        "fork",
    )
    assert out == "ended\n"


def test_arguments(tmp_path):
    out = run_program(
        tmp_path,
        """
        import multiprocessing

        if __name__ == "__main__":
            for kind, wrong in [
                (ValueError, dict(max_workers=0)),
                (TypeError, dict(initializer=5)),
                (TypeError, dict(max_tasks_per_child=1.5)),
                (ValueError, dict(max_tasks_per_child=0)),
            ]:
                try:
                    package.ProcessPoolExecutor(**wrong)
                except kind:
                    continue
                raise AssertionError(wrong)
            theirs = multiprocessing.get_context("spawn")
            with package.ProcessPoolExecutor(1, theirs, max_tasks_per_child=2) as executor:
                pids = list(executor.map(lambda _: os.getpid(), range(6)))
                assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]
            print("spawned")
        """,
    )
    assert out == "spawned\n"
