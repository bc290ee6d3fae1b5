"""Pools: every method, under every start method, with functions that plain pickle refuses.

What belongs here: what a pool does as long as its workers live.
"""

from helpers.programs import run_program


def test_every_method(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        if __name__ == "__main__":
            factor = 3

            def local(x, y=0):
                return factor * x + y

            with mp.Pool(2) as pool:
                assert pool.apply(local, (1,), {"y": 2}) == 5
                assert pool.apply_async(lambda: lambda: 7).get()() == 7
                assert pool.map(local, range(10)) == [3 * x for x in range(10)]
                assert pool.map(lambda x: -x, iter(range(4)), chunksize=3) == [0, -1, -2, -3]
                assert pool.map(local, []) == []
                assert pool.starmap(local, [(1, 2), (3, 4)]) == [5, 13]
                assert pool.starmap_async(local, [(1, 2)]).get() == [5]
                assert list(pool.imap(local, range(5))) == [0, 3, 6, 9, 12]
                assert list(pool.imap(local, range(5), chunksize=2)) == [0, 3, 6, 9, 12]
                assert sorted(pool.imap_unordered(local, range(5))) == [0, 3, 6, 9, 12]
                assert sorted(pool.imap_unordered(local, range(5), 3)) == [0, 3, 6, 9, 12]
                assert list(pool.imap(local, [])) == []
                found = []
                result = pool.map_async(local, [1, 2], callback=found.append)
                assert result.get() == [3, 6] and result.ready() and result.successful()
                result.wait()
                assert found == [[3, 6]]
                result = pool.apply_async(lambda: 1 / 0, error_callback=found.append)
                result.wait()
                assert not result.successful() and type(found[1]) is ZeroDivisionError
            for call in (pool.map, pool.imap, pool.apply):
                try:
                    call(local, [1])
                except ValueError as error:
                    assert str(error) == "Pool not running"
                else:
                    raise AssertionError("the pool has ended")
            print("all")
        """,
        method,
    )
    assert out == "all\n"


def test_functions_and_classes_of_main(method, tmp_path):
    """What an initializer sets is seen by the functions of the program, as it is with the
    standard library's pools; classes are the program's own on both sides."""
    out = run_program(
        tmp_path,
        """
        import enum

        class Point:
            made_by = []

            def __init__(self, x):
                self.x = x

        class Colour(enum.Enum):
            RED = 1

        def start(value, lock):
            global shared, guard
            shared, guard = value, lock

        def work(point):
            with guard:
                assert type(point) is Point and isinstance(point, Point)
                return Point(point.x + shared), Colour.RED

        if __name__ == "__main__":
            class Late:
                pass

            def late(x):
                return Late, Point(x)

            with mp.Pool(2, start, (100, mp.Lock())) as pool:
                points = pool.map(work, [Point(x) for x in range(5)])
                assert [point.x for point, _ in points] == [100, 101, 102, 103, 104]
                assert {type(point) for point, _ in points} == {Point}
                assert {colour for _, colour in points} == {Colour.RED}
                for kind, point in pool.map(late, range(3)):
                    assert kind is Late and type(point) is Point

                def work(point):  # another function under the name
                    return "new"

                assert pool.map(work, [Point(1)]) == ["new"]
            print("ours")
        """,
        method,
    )
    assert out == "ours\n"


def test_a_program_that_no_child_can_import(method):
    """As in an interactive interpreter: all of `__main__` goes by value."""
    from helpers.subprocs import run_python

    out = run_python(
        """
        import sys, warnings
        warnings.simplefilter("ignore")
        import ferropickle.multiprocessing as package
        mp = package.get_context(sys.argv[1])

        class Point:
            def __init__(self, x):
                self.x = x
            def up(self):
                return Point(self.x + step)

        step = 5

        def work(point):
            return point.up()

        with mp.Pool(1) as pool:
            points = pool.map(work, [Point(1), Point(2)])
            print([type(point) is Point for point in points], [point.x for point in points])
            # Defined after the workers were made.
            class Later(Point):
                pass
            later = pool.map(lambda x: Later(x), [1])
            print(type(later[0]) is Later)
        """,
        method,
    )
    assert out == "[True, True] [6, 7]\nTrue\n"


def test_the_function_of_a_map_is_pickled_once_and_unpickled_once_by_a_worker(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        class Counted:
            pickled = 0
            def __init__(self):
                self.unpickled = 0
            def __reduce__(self):
                Counted.pickled += 1
                return rebuild, ()
            def __call__(self, x):
                return self.unpickled, os.getpid()

        counts = {}

        def rebuild():
            made = Counted()
            counts["all"] = counts.get("all", 0) + 1
            made.unpickled = counts["all"]
            return made

        def total(_):
            time.sleep(0.2)
            return os.getpid(), counts.get("all", 0)

        if __name__ == "__main__":
            with mp.Pool(2) as pool:
                answers = pool.map(Counted(), range(100), chunksize=1)
                assert Counted.pickled == 1, Counted.pickled
                assert {count for count, _ in answers} == {1}, answers
                list(pool.imap(Counted(), range(20)))
                assert Counted.pickled == 2
                # Each map has a function of its own, and workers keep none for longer.
                made = dict(pool.map(total, range(4), chunksize=1))
                assert len(made) == 2 and max(made.values()) <= 2, made
            print("once")
        """,
        method,
    )
    assert out == "once\n"


def test_functions_are_dropped_when_their_map_ends(tmp_path):
    out = run_program(
        tmp_path,
        """
        import gc, weakref
        seen = []

        class Heavy:
            def __call__(self, x):
                if not seen or seen[-1]() is not self:
                    seen.append(weakref.ref(self))
                return x

        def alive(_):
            gc.collect()
            return sum(ref() is not None for ref in seen), len(seen)

        if __name__ == "__main__":
            with mp.Pool(1) as pool:
                for _ in range(5):
                    pool.map(Heavy(), range(4))
                print(pool.apply(alive, (0,)))
        """,
        "fork",
    )
    assert out == "(0, 5)\n"


def test_iterables_are_gone_through_as_the_workers_get_on(tmp_path):
    out = run_program(
        tmp_path,
        """
        import itertools

        taken = 0

        def endless():
            global taken
            for number in itertools.count():
                taken += 1
                yield bytes(100_000), number

        def broken():
            yield 1
            yield 2
            raise KeyError("the iterable's")

        if __name__ == "__main__":
            with mp.Pool(2) as pool:
                results = pool.imap(lambda item: (time.sleep(0.02), item[1])[1], endless())
                for number in range(20):
                    assert next(results) == number
                    assert taken < number + 20, taken
            with mp.Pool(2) as pool:
                results = pool.imap(lambda x: x, broken())
                assert [next(results), next(results)] == [1, 2]
                try:
                    next(results)
                except KeyError as error:
                    print(error)
                try:
                    pool.map(lambda x: x, broken())
                except KeyError as error:
                    print(error)
        """,
        "fork",
    )
    assert out == '"the iterable\'s"\n"the iterable\'s"\n'


def test_timeouts(tmp_path):
    out = run_program(
        tmp_path,
        """
        if __name__ == "__main__":
            with mp.Pool(1) as pool:
                slow = pool.apply_async(time.sleep, (30,))
                assert not slow.ready()
                try:
                    slow.get(timeout=0.05)
                except package.TimeoutError:
                    print("in time")
                try:
                    slow.successful()
                except ValueError as error:
                    print("not ready" in str(error))
                results = pool.imap(lambda x: x, [1])
                try:
                    results.next(timeout=0.05)
                except package.TimeoutError:
                    print("in time")
                begin = time.monotonic()
            assert time.monotonic() - begin < 10
            try:
                slow.get(timeout=10)
            except package.ProcessError as error:
                print(error)
        """,
        "fork",
    )
    assert out == "in time\nTrue\nin time\nthe pool was terminated\n"


def test_exceptions_come_back_whole(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        import traceback
        from ferropickle.multiprocessing.pool import RemoteTraceback

        def chain():
            class Odd(Exception):
                def __init__(self, first, *, second):
                    super().__init__(first)
                    self.second = second
                    self.function = lambda: 10 * second

            try:
                try:
                    {}["missing"]
                except KeyError as error:
                    raise ValueError("in between") from error
            except ValueError as error:
                odd = Odd("first", second=2)
                if hasattr(odd, "add_note"):
                    odd.add_note("a note")
                raise odd from error

        def plain(x):
            return 1 / x

        def within():
            try:
                [][1]
            except IndexError:
                raise TypeError("while handling")

        if __name__ == "__main__":
            with mp.Pool(1) as pool:
                try:
                    pool.map(plain, [0])
                except ZeroDivisionError as error:
                    assert type(error.__cause__) is RemoteTraceback
                    text = str(error.__cause__)
                    assert "in plain" in text and "return 1 / x" in text
                try:
                    pool.apply(chain)
                except Exception as error:
                    assert type(error).__name__ == "Odd" and error.args == ("first",)
                    assert error.second == 2 and error.function() == 20
                    assert getattr(error, "__notes__", ["a note"]) == ["a note"]
                    assert type(error.__cause__) is ValueError
                    assert type(error.__cause__.__cause__) is KeyError
                    remote = error.__cause__.__cause__.__cause__
                    assert type(remote) is RemoteTraceback and "in chain" in str(remote)
                    shown = "".join(traceback.format_exception(error))
                    assert shown.count("in chain") >= 2 and "in between" in shown
                try:
                    pool.apply(within)
                except TypeError as error:
                    assert type(error.__cause__) is RemoteTraceback
                    assert type(error.__context__) is IndexError
                    assert "list index out of range" in str(error.__cause__)
            print("whole")
        """,
        method,
    )
    assert out == "whole\n"


def test_what_cannot_be_pickled(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        from ferropickle.multiprocessing.pool import MaybeEncodingError

        class Refuses:
            def __reduce__(self):
                raise RuntimeError("not me")

        class Breaks:
            def __reduce__(self):
                return int, ("not a number",)

        def refuse():
            raise KeyError(Refuses())

        if __name__ == "__main__":
            with mp.Pool(2) as pool:
                def expect(kind, text, call, *args):
                    try:
                        found = call(*args)
                    except kind as error:
                        assert text in str(error), error
                    else:
                        raise AssertionError(found)

                expect(RuntimeError, "not me", pool.apply, len, [Refuses()])
                expect(RuntimeError, "not me", pool.map, len, [Refuses()])
                expect(RuntimeError, "not me", list, pool.imap(len, [Refuses()]))
                refused = Refuses()
                expect(RuntimeError, "not me", pool.map, lambda x: refused, [1])
                expect(RuntimeError, "not me", list, pool.imap(lambda x: refused, [1]))
                expect(MaybeEncodingError, "not me", pool.apply, lambda: Refuses())
                expect(MaybeEncodingError, "Refuses", pool.map, lambda x: Refuses(), [1])
                expect(MaybeEncodingError, "KeyError", pool.apply, refuse)
                expect(ValueError, "not a number", pool.apply, lambda: Breaks())
                expect(ValueError, "not a number", pool.apply, len, [Breaks()])
                results = pool.imap(lambda x: x, [1, Refuses(), 3])
                assert next(results) == 1
                expect(RuntimeError, "not me", next, results)
                assert next(results) == 3
                assert pool.map(abs, [-1, -2]) == [1, 2]
            print("refused")
        """,
        method,
    )
    assert out == "refused\n"


def test_arguments_initializers_and_replacement(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        if __name__ == "__main__":
            for wrong in (dict(processes=0), dict(maxtasksperchild=0), dict(maxtasksperchild=1.5)):
                try:
                    mp.Pool(**wrong)
                except ValueError:
                    pass
                else:
                    raise AssertionError(wrong)
            try:
                mp.Pool(1, initializer=5)
            except TypeError:
                pass
            seen = mp.Value("i", 0)

            def start(step):
                with seen.get_lock():
                    seen.value += step

            with mp.Pool(1, start, (10,), maxtasksperchild=3) as pool:
                pids = pool.map(lambda _: os.getpid(), range(9), chunksize=1)
                assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3], pids
                assert seen.value >= 30, seen.value
            pool = mp.Pool(2)
            result = pool.map_async(lambda x: x, range(3))
            try:
                pool.join()
            except ValueError as error:
                assert "still running" in str(error)
            pool.close()
            pool.join()
            assert result.get() == [0, 1, 2]
            assert "state=CLOSE pool_size=2" in repr(pool)
            try:
                fp.dumps(pool)
            except NotImplementedError as error:
                assert "cannot be passed" in str(error)
            print("replaced")
        """,
        method,
    )
    assert out == "replaced\n"


def test_tasks_that_wait_for_each_other_run_side_by_side(tmp_path):
    """No worker is given a second task while another is free."""
    out = run_program(
        tmp_path,
        """
        def start(made):
            global barrier
            barrier = made

        def meet(_):
            barrier.wait(30)
            return True

        if __name__ == "__main__":
            with mp.Pool(2, start, (mp.Barrier(2),)) as pool:
                pool.map(abs, range(200), chunksize=1)
                for _ in range(20):
                    assert pool.map(meet, range(2), chunksize=1) == [True, True]
            print("met")
        """,
        "fork",
    )
    assert out == "met\n"


def test_a_policy_in_effect_goes_along(tmp_path):
    out = run_program(
        tmp_path,
        """
        class Secret:
            pass

        def name(x):
            return type(x).__name__

        if __name__ == "__main__":
            reducers = {Secret: lambda secret: (str, ("hidden",))}
            with mp.Pool(1) as pool, fp.policy(reducers=reducers):
                print(pool.apply(name, [Secret()]), pool.map(name, [Secret()]))
                print(pool.apply(name, [lambda: 1]))
        """,
        "fork",
    )
    assert out == "str ['str']\nfunction\n"


def test_a_callback_that_raises_stops_nothing(tmp_path):
    out = run_program(
        tmp_path,
        """
        if __name__ == "__main__":
            sys.stderr = open(os.devnull, "w")
            with mp.Pool(1) as pool:
                result = pool.apply_async(abs, [-1], callback=lambda value: 1 / 0)
                print(result.get(30), pool.apply(abs, [-2]))
        """,
        "fork",
    )
    assert out == "1 2\n"
