"""Pools of processes: closures, arrays, exceptions and workers that die."""

import os
import signal
import sys
import warnings

import ferropickle.multiprocessing as mp


def set_up(base: int) -> None:
    """What an initializer sets in a worker's `__main__` ..."""
    global shared
    shared = base


def above(x: int) -> int:
    """... the functions of the program see there."""
    return shared + x


def main() -> None:
    # Any function, any argument, any result.
    factor = 3
    with mp.Pool(2) as pool:
        assert pool.map(lambda x: factor * x, range(4)) == [0, 3, 6, 9]
        adders = pool.map(lambda x: lambda y: x + y, range(3))
        assert adders[2](40) == 42
        for number, square in enumerate(pool.imap(lambda x: x * x, range(5))):
            assert square == number**2

    # A large table goes to each worker once, not once for each chunk.
    table = bytes(range(256)) * 10_000
    with mp.Pool(2, set_up, (100,)) as pool:
        assert pool.map(lambda i: table[i], range(300), chunksize=10)[255] == 255
        assert pool.map(above, range(3)) == [100, 101, 102]

        # Exceptions come back with what they carry, and with the traceback as it was there.
        def check(x: int) -> None:
            try:
                raise KeyError(x)
            except KeyError as error:
                raise ValueError(f"no {x} here") from error

        failures: list[BaseException] = []
        pool.apply_async(check, (7,), error_callback=failures.append).wait()
        cause = failures[0].__cause__
        assert [repr(failures[0]), repr(cause)] == ["ValueError('no 7 here')", "KeyError(7)"]
        assert cause is not None
        assert "in check" in str(cause.__cause__)

        # A worker that dies fails its task; the pool goes on with another.
        try:
            pool.apply(lambda: os.kill(os.getpid(), signal.SIGKILL))
        except mp.WorkerLostError as error:
            print(error)
        assert pool.apply(abs, (-1,)) == 1

    with mp.ProcessPoolExecutor(2) as executor:
        futures = [executor.submit(lambda x, y=y: x + y, 10) for y in range(3)]
        assert [future.result() for future in futures] == [10, 11, 12]

    print("closures, arrays and exceptions went to processes and back")


if __name__ == "__main__":
    if sys.version_info >= (3, 12):
        # A fork beside the pool's threads, when a worker is replaced.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main()
