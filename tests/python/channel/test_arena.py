"""Arenas: what is put there arrives without a copy, is freed once, and never lies about itself."""

import errno
import gc
import os
import pickle
import weakref

import numpy as np
import pytest

import ferropickle as fp
from helpers.leaks import assert_no_growth
from helpers.subprocs import run_python

MIB = 1 << 20


@pytest.fixture
def arena():
    """An arena in which nothing is left at the end."""
    arena = fp.Arena(16 * MIB)
    yield arena
    gc.collect()
    assert arena.used == 0
    arena.close()


@pytest.fixture
def other(arena):
    """The same arena, as another process would have it."""
    with fp.Arena.attach(arena.fd) as other:
        yield other


def test_buffers_arrive_as_they_were_put(arena, other):
    array = np.arange(10_000)
    token = arena.put([b"bytes", bytearray(b"more"), b"", array])
    assert isinstance(token, bytes)
    assert len(token) < 100
    arrived = other.take(token)
    views = [memoryview(buffer) for buffer in arrived]
    assert [bytes(view) for view in views] == [b"bytes", b"more", b"", array.tobytes()]
    assert [view.readonly for view in views] == [True, False, True, False]
    assert arena.used >= array.nbytes


@pytest.mark.parametrize("writable", [False, True])
def test_the_receiver_says_whether_buffers_are_writable(arena, other, writable):
    for keep in (False, True):
        token = arena.put([b"bytes", bytearray(b"more")], keep=keep)
        views = [memoryview(buffer) for buffer in other.take(token, writable=writable)]
        assert [view.readonly for view in views] == [not writable] * 2
        arena.withdraw(token)


def test_memory_is_free_when_the_last_view_is_gone(arena, other):
    token = arena.put([b"x" * 5000, b"y" * 5000])
    first, second = other.take(token)
    view = memoryview(second)[10:20]
    del first, second
    assert arena.used > 0
    assert bytes(view) == b"y" * 10
    del view
    assert arena.used == 0


def test_a_token_is_taken_once(arena, other):
    token = arena.put([b"x"])
    del other.take(token)[:]
    for place in (arena, other):
        with pytest.raises(pickle.UnpicklingError, match="taken before"):
            place.take(token)


def test_kept_buffers_are_taken_by_all_and_written_by_each_alone(arena, other):
    token = arena.put([bytearray(b"shared")], keep=True)
    (first,), (second,) = other.take(token), arena.take(token)
    memoryview(first)[:2] = b"SH"
    assert bytes(first) == b"SHared"
    assert bytes(second) == b"shared"
    assert bytes(other.take(token, writable=False)[0]) == b"shared"
    assert arena.withdraw(token)
    assert not arena.withdraw(token)
    with pytest.raises(pickle.UnpicklingError):
        other.take(token)
    assert arena.used > 0
    assert bytes(first) == b"SHared"


def test_without_room_there_is_no_token(arena):
    assert arena.put([bytes(17 * MIB)]) is None
    tokens = [arena.put([bytes(4 * MIB - 4096)]) for _ in range(4)]
    assert arena.put([b"x" * 100_000]) is None
    assert arena.withdraw(tokens.pop())
    tokens.append(arena.put([b"x" * 100_000]))
    assert arena.used > 12 * MIB
    used = arena.used
    with pytest.raises(TypeError, match="buffers"):
        arena.put([b"x", 1])
    assert arena.used == used
    assert all(arena.withdraw(token) for token in tokens)


def test_objects_arrive_with_their_arrays_in_place(arena, other):
    shared = np.arange(5000.0)
    value = {"a": shared, "b": [shared, np.zeros((3, 4), order="F")], "text": "x" * 10}
    message = arena.pack(value)
    assert len(message) < 100
    back = other.unpack(message)
    assert back["a"] is back["b"][0]
    assert np.array_equal(back["a"], shared)
    assert back["a"].flags.writeable
    assert not back["a"].flags.owndata
    assert back["b"][1].flags.f_contiguous
    back["a"][0] = -1
    assert shared[0] == 0
    frozen = np.arange(5000)
    frozen.flags.writeable = False
    assert not other.unpack(arena.pack(frozen)).flags.writeable
    assert not other.unpack(arena.pack(shared), writable=False).flags.writeable


def test_small_objects_are_plain_pickle_streams(arena):
    value = [1, "two", {"three": 4.0}]
    message = arena.pack(value)
    assert pickle.loads(message) == value
    assert arena.unpack(message) == value
    assert arena.used == 0


def test_small_arrays_and_full_arenas_go_in_band(other):
    small = fp.Arena(64 * 1024)
    for size in (10, 100_000):
        array = np.arange(size)
        frozen = np.arange(size)
        frozen.flags.writeable = False
        message = small.pack([array, frozen])
        assert len(message) > 2 * array.nbytes
        assert small.used == 0
        back, back_frozen = other.unpack(message)
        assert np.array_equal(back, array)
        assert np.array_equal(back_frozen, frozen)
        assert back.flags.writeable
        assert not back_frozen.flags.writeable
        back[0] = 5
        assert other.unpack(message)[0][0] == 0


def test_long_streams_travel_in_the_arena_too(arena, other):
    value = [str(i) for i in range(20_000)]
    message = arena.pack(value)
    assert len(message) < 100
    assert other.unpack(message) == value
    assert arena.used == 0


def test_a_kept_message_is_read_by_many(arena, other):
    value = np.arange(100_000)
    message = arena.pack(value, keep=True)
    copies = [other.unpack(message) for _ in range(5)]
    copies[0][:] = 0
    assert np.array_equal(copies[1], value)
    assert arena.withdraw(message)
    with pytest.raises(fp.UnpicklingError):
        other.unpack(message)


def test_closures_and_policies_go_through(arena, other):
    table = np.arange(10_000)
    function = other.unpack(arena.pack(lambda i: table[i] + 1))
    assert function(41) == 42
    with pytest.raises(fp.PicklingError, match="max_captured"):
        arena.pack(function, fp.Policy(max_captured=10, captured="refuse"))


def test_faulty_tokens_are_refused(arena, other):
    token = arena.put([b"x" * 1000])
    foreign = fp.Arena(MIB)
    with pytest.raises(fp.UnpicklingError, match="another arena"):
        foreign.take(token)
    for cut in range(len(token)):
        with pytest.raises(fp.UnpicklingError):
            other.take(token[:cut])
    with pytest.raises(fp.UnpicklingError, match="no object"):
        other.unpack(token)
    with pytest.raises(fp.UnpicklingError):
        other.take(b"\x80\x05N.")
    with pytest.raises(TypeError, match="token"):
        other.take(5)
    assert bytes(other.take(token)[0]) == b"x" * 1000


def test_flipped_bits_never_crash(arena, other):
    for bit in range(64 * 8):
        token = bytearray(arena.put([b"x" * 100, b"y"]))
        token[bit // 8] ^= 1 << (bit % 8)
        try:
            other.take(token)
        except fp.UnpicklingError:
            token[bit // 8] ^= 1 << (bit % 8)
            arena.withdraw(token)


def test_what_is_no_arena_is_not_attached_to(tmp_path):
    with pytest.raises(OSError):
        fp.Arena.attach(987654)
    with pytest.raises(ValueError, match="descriptor"):
        fp.Arena.attach(-1)
    with pytest.raises(TypeError, match="descriptor"):
        fp.Arena.attach(1.5)
    with open(tmp_path / "file", "wb+") as file:
        file.truncate(4 * MIB)
        with pytest.raises(ValueError, match="no arena|not an arena"):
            fp.Arena.attach(file.fileno())
    with pytest.raises(FileNotFoundError):
        fp.Arena.attach("there-is-no-such-arena")
    with pytest.raises(ValueError, match="name"):
        fp.Arena(MIB, name="a/b")


def test_a_closed_arena_says_so_and_leaves_arrays_alone():
    arena = fp.Arena(MIB)
    array = arena.unpack(arena.pack(np.arange(10_000)))
    with arena:
        assert not arena.closed
        assert "bytes used" in repr(arena)
    assert arena.closed
    assert "closed" in repr(arena)
    assert array.sum() == sum(range(10_000))
    for call in (lambda: arena.fd, lambda: arena.put([b"x"]), lambda: arena.pack(1)):
        with pytest.raises(ValueError, match="closed"):
            call()
    arena.close()
    assert weakref.ref(arena)() is arena


def test_named_arenas_leave_no_name():
    name = f"test-{os.getpid()}"
    with fp.Arena(MIB, name=name) as arena:
        assert any(name in entry for entry in os.listdir("/dev/shm"))
        other = fp.Arena.attach(name)
        array = other.unpack(arena.pack(np.arange(5000)))
        other.close()
    assert array[-1] == 4999
    del array, other, arena
    assert not any(name in entry for entry in os.listdir("/dev/shm"))


def test_arenas_leave_no_descriptor_and_no_memory():
    def use():
        arena = fp.Arena(MIB)
        other = fp.Arena.attach(arena.fd)
        other.unpack(arena.pack([np.arange(5000), "x" * 50_000]))
        arena.close()

    assert_no_growth(use, rounds=50)


def test_memory_that_the_system_refuses_is_an_error_with_its_number():
    said = run_python(
        """
        import resource
        import ferropickle as fp
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        try:
            fp.Arena(64 << 20)
        except OSError as error:
            print(error)
        # Channels do without.
        here, there = fp.Channel.pair(capacity=64 << 20)
        here.send(bytes(100))
        assert there.recv() == bytes(100)
        print(here)
        """
    )
    assert said.startswith(f"[Errno {errno.EFBIG}] File too large\n")
    assert "no shared memory" in said


def test_memory_stays_flat_over_many_messages(arena, other):
    value = [np.zeros(10_000), np.ones(10)]

    def message():
        assert other.unpack(arena.pack(value))[0].shape == (10_000,)

    assert_no_growth(message, rounds=500)
    assert arena.used == 0


def test_unused_memory_goes_back_to_the_system(arena, other):
    def resident():
        return os.fstat(arena.fd).st_blocks * 512

    other.unpack(arena.pack(np.ones(8 * MIB, np.uint8)))
    gc.collect()
    full = resident()
    assert full >= 8 * MIB
    arena.trim()
    assert resident() < MIB
    assert other.unpack(arena.pack(np.ones(8 * MIB, np.uint8))).all()


def test_a_forked_child_keeps_what_its_parent_lets_go():
    run_python(
        """
        import os, warnings
        import numpy as np
        import ferropickle as fp
        warnings.simplefilter("ignore")

        arena = fp.Arena(1 << 20)
        array = arena.unpack(arena.pack(np.full(50_000, 7.0)))
        held = arena.used
        ask, answer = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.read(ask[0], 1)
                assert (array == 7.0).all()
                assert arena.used > held
                del array
                os.write(answer[1], b"x")
                os.read(ask[0], 1)
                status = 0
            finally:
                os._exit(status)
        del array
        assert arena.used == held, "the child holds it"
        other = arena.put([b"z" * 400_000])
        os.write(ask[1], b"x")
        assert os.read(answer[0], 1) == b"x"
        # The child let go: what is left is what was put since.
        assert arena.withdraw(other)
        assert arena.used == 0
        os.write(ask[1], b"x")
        assert os.waitpid(child, 0)[1] == 0

        # A child that goes without a word gives back what it held, and nothing of the parent's.
        array = arena.unpack(arena.pack(np.full(50_000, 8.0)))
        for ending in (0, 9):
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), 9) if ending else os._exit(0)
            os.waitpid(child, 0)
            arena.reclaim()
            assert arena.used == held
            assert (array == 8.0).all()
        del array
        assert arena.used == 0
        """
    )


def test_what_the_dead_sent_can_be_taken_until_somebody_knows_better():
    run_python(
        """
        import os, pickle, warnings
        import ferropickle as fp
        warnings.simplefilter("ignore")

        arena = fp.Arena(1 << 20)

        def sent_by_the_dead():
            tokens = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(tokens[1], arena.put([b"x" * 300_000]))
                os._exit(0)
            os.waitpid(child, 0)
            return os.read(tokens[0], 1000)

        assert arena.reclaim() == 0
        token = sent_by_the_dead()
        arena.reclaim()
        # Not even where memory is short.
        assert arena.put([bytes(800_000)]) is None
        assert bytes(arena.take(token)[0]) == b"x" * 300_000
        lost = sent_by_the_dead()
        assert arena.reclaim(unclaimed=True) == 1
        assert arena.used == 0
        try:
            arena.take(lost)
        except pickle.UnpicklingError:
            pass
        else:
            raise AssertionError("it was freed")
        """
    )


def test_where_there_is_no_memfd_a_segment_loses_its_name_at_once():
    said = run_python(
        """
        import multiprocessing, os, sys
        import numpy as np
        import ferropickle as fp
        from helpers import channels
        from helpers.sandbox import forbid_memfd

        if not forbid_memfd():
            print("not allowed")
            sys.exit(0)
        try:
            os.memfd_create("x")
        except OSError:
            pass
        else:
            raise AssertionError("it can be made still")
        here, there = fp.Channel.pair(capacity=8 << 20)
        assert "no shared" not in repr(here)
        assert not [n for n in os.listdir("/dev/shm") if n.startswith("ferropickle-")]
        context = multiprocessing.get_context("fork")
        process = context.Process(target=channels.echo, args=(there,))
        process.start()
        there.close()
        here.send(np.arange(100_000))
        back = here.recv(timeout=30)
        assert back[-1] == 99_999 and not back.flags.owndata
        here.close()
        process.join()
        print("worked")
        """
    )
    assert said.strip() in ("worked", "not allowed")


def test_a_full_folder_of_segments_goes_in_band():
    """Where memory cannot be had when it is written to, the process would end with SIGBUS."""
    said = run_python(
        """
        import os, sys
        from helpers.sandbox import forbid_memfd, small_segment_folder

        if not small_segment_folder(8 << 20) or not forbid_memfd():
            print("not allowed")
            sys.exit(0)
        import numpy as np
        import ferropickle as fp

        with fp.Arena(64 << 20, name="full") as arena:
            first = arena.put([bytes(5 << 20)])
            assert first is not None
            assert arena.put([bytes(5 << 20)]) is None
            assert arena.withdraw(first)
            # Memory that was given back and taken by others is not there any more.
            arena.trim()
            with open("/dev/shm/other", "wb") as other:
                other.write(bytes(6 << 20))
            assert arena.put([bytes(5 << 20)]) is None
            assert len(arena.pack(np.ones(5 << 20, np.uint8))) > 5 << 20
            os.unlink("/dev/shm/other")
            second = arena.put([b"x" * (5 << 20)])
            assert bytes(arena.take(second)[0]) == b"x" * (5 << 20)
        assert os.listdir("/dev/shm") == []
        here, there = fp.Channel.pair(capacity=64 << 20)
        child = os.fork()
        if child == 0:
            array = there.recv()
            there.send([array, array[:10]])
            os._exit(0)
        there.close()
        here.send(np.arange(1 << 20))
        array, part = here.recv(timeout=30)
        assert array[-1] == (1 << 20) - 1 and len(part) == 10
        assert os.waitpid(child, 0)[1] == 0
        print("worked")
        """
    )
    assert said.strip() in ("worked", "not allowed")
