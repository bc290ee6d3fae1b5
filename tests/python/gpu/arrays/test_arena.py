"""Arrays that stay on their device on the way to another process: `Policy(device="auto")`."""

import contextlib
import ctypes
import gc
import os
import pickle
import struct

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import REAL, on_driver
from helpers.lines import AUTO, Line, base, careful, connected, how, left, shared
from helpers.producers import Placed, host

DEVICE = fp.Policy(device="device")
NON_BLOCKING = 1
MIB = 1 << 20
PARTITIONS = [f"MIG-00000000-0000-0000-0000-0000000000{end}" for end in ("aa", "bb")]


# ---- what the other process does -----------------------------------------------------------------


def tell(d, other):
    """Answer each list of arrays with what is in them, and how they came."""
    d.context()
    with connected(other) as channel:
        for arrays in channel:
            channel.send([(host(array).tobytes(), how(array)) for array in arrays])


def seen(array, way):
    return [(array.tobytes(), way)]


def hold(d, other):
    """Keep what comes, and say how it came; let go of all when something else comes."""
    d.context()
    held = []
    with connected(other) as channel:
        for array in channel:
            if array == "let go":
                held.clear()
                gc.collect()
                channel.send("gone")
            else:
                held.append(array)
                channel.send((how(array), [host(a)[0] for a in held]))


def count(d, other):
    """Say which copies it took to receive an array."""
    d.context()
    with connected(other) as channel:
        for array in channel:
            way = how(array)
            channel.send((way, d.report()["copies"], d.report()["calls"]))
            d.control("reset")


# ---- messages ------------------------------------------------------------------------------------


@on_driver()
def test_the_second_message_stays_on_the_device(d):
    d.context()
    for policy in (AUTO, DEVICE):
        array = Placed(d, base()).produce()
        with Line(tell) as line:
            assert line.ask([array], policy) == seen(base(), "host")
            for _ in range(3):
                assert line.ask([array], policy) == seen(base(), "arena")
            assert line.ask([array], None) == seen(base(), "host"), "the policy says so"
            with fp.policy(device="auto"):
                assert line.ask([array], None) == seen(base(), "arena")


@on_driver()
def test_views_strides_and_arrays_of_the_host(d):
    d.context()
    square = base().reshape(256, 256)
    placed = Placed(d, square)
    views = [square, square[::2], square[:4, :4], square[:0], square[3:5]]
    others = [Placed(d, np.arange(10)), Placed(d, np.array(7.5))]
    with Line(tell) as line:
        for way in ("host", "arena", "arena"):
            arrays = [placed.produce(view) for view in views] + [o.produce() for o in others]
            answers = line.ask(arrays)
            for (data, came), expected in zip(answers, views + [o.base for o in others]):
                assert data == expected.tobytes()
                assert came == way or not expected.size


def echo(d, other):
    d.context()
    with connected(other) as channel:
        for obj in channel:
            ways = [how(value) for value in obj if not isinstance(value, np.ndarray)]
            channel.send((obj, ways), policy=AUTO)


@on_driver()
def test_both_ends_send_and_arrays_of_the_host_stand_between(d):
    d.context()
    arrays = [base(n) for n in (70_000, 5, 300_000)]
    with Line(echo) as line:
        for way in ("host", "arena", "arena"):
            sent = [Placed(d, array).produce() for array in arrays]
            numbers, small = np.arange(40_000), np.arange(3)
            back, ways = line.ask([numbers, sent[0], small, sent[1], sent[2]])
            assert ways == [way] * 3
            np.testing.assert_array_equal(back[0], numbers)
            np.testing.assert_array_equal(back[2], small)
            for found, expected in zip((back[1], back[3], back[4]), arrays):
                assert how(found) == way
                np.testing.assert_array_equal(host(found), expected)


@on_driver(devices=2, simulated=True)
def test_each_device_has_an_arena(d):
    arrays = []
    for ordinal in (0, 1):
        d.context(ordinal)
        arrays.append(Placed(d, base(5000 + ordinal)).produce())
    with Line(tell) as line:
        ways = [[way for _, way in line.ask(arrays)] for _ in range(3)]
    # An offer goes with a message: one at a time.
    assert sorted(map(sorted, ways)) == [["arena", "arena"], ["arena", "host"], ["host", "host"]]


@on_driver(simulated=True)
def test_a_message_is_one_copy_on_the_device_and_none_to_the_host(d):
    d.context()
    array = Placed(d, base(MIB)).produce()
    with Line(count) as line:
        line.ask(array)
        line.ask(array)
        d.control("reset")
        way, copies, calls = line.ask(array)
        assert way == "arena"
        assert copies == {}
        assert not [call for call in calls if "Memcpy" in call or "Launch" in call], calls
        assert "cuMemImportFromShareableHandle" not in calls
        report = d.report()
        assert report["copies"] == {"DtoD": [1, 4 * MIB]}
        assert "cuMemExportToShareableHandle" not in report["calls"]


@on_driver(hold_us=1_000_000)
def test_what_is_sent_is_of_the_time_when_it_was_sent(d):
    d.context()
    stream = d.stream(NON_BLOCKING)
    placed = Placed(d, np.full(1000, 1, np.uint8))
    with Line(tell) as line:
        line.ask([placed.produce(stream=stream)])
        placed.overwrite(stream, 2)
        line.send([placed.produce(stream=stream)])
        placed.overwrite(stream, 3)
        d.cuStreamSynchronize(stream)
        assert line.recv() == seen(np.full(1000, 2, np.uint8), "arena")


@on_driver()
def test_a_full_arena_sends_by_the_host_until_there_is_room(d):
    d.context()
    array = Placed(d, base(5 * MIB // 4)).produce()
    with Line(hold) as line:
        ways = [line.ask(array) for _ in range(6)]
        assert [way for way, _ in ways] == ["host", "arena", "arena", "arena", "host", "host"]
        assert ways[-1][1] == [0] * 6, "what is held stays as it was"
        assert line.ask("let go") == "gone"
        assert line.ask(array)[0] == "arena"


@on_driver()
def test_a_message_that_is_larger_than_the_arena_brings_a_larger_one(d):
    d.context()
    small, large = Placed(d, base()).produce(), Placed(d, base(8 * MIB)).produce()
    with Line(hold) as line:
        ways = [line.ask(array)[0] for array in (small, small, large, large, small)]
        assert ways == ["host", "arena", "host", "arena", "arena"]
        assert REAL or shared(d)[0] == 1, "the smaller one is gone"


@on_driver(memory=100 * MIB, simulated=True)
def test_where_there_is_no_memory_for_an_arena_messages_go_by_the_host(d):
    d.context()
    array = Placed(d, base(10 * MIB)).produce()
    with Line(tell) as line:
        for _ in range(3):
            assert line.ask([array]) == seen(base(10 * MIB), "host")


@on_driver()
def test_messages_that_nobody_reads_yet_go_by_the_host(d):
    d.context()
    with Line(tell_when_told) as line:
        for n in range(20):
            line.send([Placed(d, base(1000 + n)).produce()])
        line.peer.send(b"read")
        for n in range(20):
            assert line.recv() == seen(base(1000 + n), "host")
        assert line.ask([Placed(d, base()).produce()]) == seen(base(), "arena")


def tell_when_told(d, other):
    d.context()
    with connected(other) as channel:
        other.receive()
        for arrays in channel:
            channel.send([(host(array).tobytes(), how(array)) for array in arrays])


def answer_late(d, other):
    """Connect many channels, read from none until told, then answer each message by how it came."""
    d.context()
    channels = [connected(other)]
    channels += [connected(other) for _ in range(int(other.receive()) - 1)]
    for _ in range(3):
        other.receive()
        for channel in channels:
            channel.send(how(channel.recv()))
    other.receive()


@on_driver(simulated=True)
def test_so_much_is_offered_before_anybody_answers(d):
    d.context()
    array = Placed(d, base()).produce()
    with Line(answer_late, capacity=16 * MIB) as line, contextlib.ExitStack() as stack:
        line.peer.send(b"20")
        channels = [line.channel]
        for _ in range(19):
            line.peer.send(repr(line.listener.address).encode())
            channels.append(stack.enter_context(line.listener.accept(timeout=60)))
        ways = []
        for turn in range(3):
            for channel in channels:
                channel.send(array, timeout=60, policy=AUTO)
            if not turn:
                # 256 MiB in arenas of 16.
                assert shared(d)[0] == 16
            line.peer.send(b"read")
            ways.append([channel.recv(timeout=60) for channel in channels])
        assert ways == [["host"] * 20, ["arena"] * 16 + ["host"] * 4, ["arena"] * 20]
        line.peer.send(b"end")
    assert shared(d) == [0, 0, 0]


@on_driver()
def test_an_end_that_has_not_answered_is_offered_no_large_arena(d):
    d.context()
    large = Placed(d, base(10 * MIB)).produce()
    fp.dumps(large)
    with Line(hold) as line:
        before = left(d)
        assert line.ask(large)[0] == "host"
        assert REAL or left(d)[1] - before[1] == 16 * MIB
        assert [line.ask(array)[0] for array in (large, large)] == ["host", "arena"]


# ---- errors, and what is refused -----------------------------------------------------------------


@on_driver(simulated=True)
def test_an_array_that_cannot_be_copied_is_named(d):
    d.context()
    first, second, last = (Placed(d, base(n)).produce() for n in (10, MIB, MIB))
    obj = {"model": [first, second, {"last": last}]}
    with Line(tell_lengths) as line:
        # What goes together fails first, then the array that is tried alone at that turn.
        for alone, path in [(2, "obj['model'][0]"), (4, "obj['model'][2]['last']")]:
            for number in (1, alone):
                d.control(f"fault cuMemcpyDtoHAsync_v2:{number}=1")
            with pytest.raises(fp.DeviceError, match="cuMemcpyDtoHAsync_v2") as caught:
                line.send(obj)
            assert caught.value.args[0].startswith(f"{path}: ")
            if hasattr(caught.value, "__notes__"):
                assert caught.value.__notes__[0].endswith(path)
            d.control("nofaults")
        assert line.ask([1, 2]) == 2


def tell_lengths(d, other):
    d.context()
    with connected(other) as channel:
        for obj in channel:
            channel.send(len(obj))


@on_driver()
def test_memory_is_not_shared_live(d):
    d.context()
    placed = Placed(d, base())
    share = {device: fp.Policy(device=device, share=True) for device in ("auto", "device", "host")}
    for settings in ({}, {"capacity": 0}, {"address": ("127.0.0.1", 0)}):
        with Line(tell, **settings) as line:
            for device in ("auto", "device"):
                for _ in range(2):
                    with pytest.raises(fp.DeviceError, match=r"^obj\[0\]: share=True") as caught:
                        line.send([placed.produce()], share[device])
                    assert "without share=True a copy" in str(caught.value)
            assert line.ask([placed.produce()], share["host"]) == seen(base(), "host")
            assert line.ask([], share["auto"]) == []


# ---- where it cannot be --------------------------------------------------------------------------


def goes_by_the_host(d, line, array=None):
    array = array or Placed(d, base()).produce()
    with line:
        for _ in range(3):
            assert line.ask([array]) == seen(base(), "host")
        assert shared(d) == [0, 0, 0], "no memory is kept for who has refused it"


@on_driver()
def test_over_tcp(d):
    d.context()
    goes_by_the_host(d, Line(tell, address=("127.0.0.1", 0)))
    assert shared(d) == [0, 0, 0]


@on_driver()
def test_without_shared_memory(d):
    d.context()
    goes_by_the_host(d, Line(tell, capacity=0))
    assert shared(d) == [0, 0, 0]


@on_driver()
def test_with_a_bound_that_is_too_low(d):
    d.context()
    goes_by_the_host(d, Line(tell, capacity=MIB // 8))


@on_driver()
def test_where_streams_are_to_be_of_stock(d):
    d.context()
    array = Placed(d, base()).produce()
    with Line(tell) as line, pytest.raises(fp.PicklingError, match="ferropickle"):
        line.send([array], fp.Policy(device="auto", require_stock=True))


@on_driver(vmm=0, simulated=True)
def test_a_device_without_such_memory(d):
    d.context()
    goes_by_the_host(d, Line(tell, vmm=1))


@on_driver(simulated=True)
def test_a_receiver_whose_device_is_without(d):
    d.context()
    goes_by_the_host(d, Line(tell, vmm=0))


@on_driver(uuids=PARTITIONS[0], simulated=True)
def test_a_receiver_with_another_device(d):
    d.context()
    goes_by_the_host(d, Line(tell, uuids=PARTITIONS[1]))


@on_driver(simulated=True)
def test_imports_that_fail_in_the_receiver(d):
    d.context()
    array = Placed(d, base()).produce()
    fp.dumps(array)
    before = left(d)
    for call in ("cuMemImportFromShareableHandle", "cuMemMap", "cuMemSetAccess"):
        goes_by_the_host(d, Line(tell, faults=f"{call}:1=801"), array)
        assert (shared(d), left(d)) == ([0, 0, 0], before)


def without_a_device(d, other):
    """Take arrays of NumPy's in the place of those on devices."""
    with fp.policy(on_missing="host"), connected(other) as channel:
        for arrays in channel:
            channel.send([(type(array).__name__, array.tobytes()) for array in arrays])


def forked(d, other):
    """The same in a forked child of a process that has started the driver."""
    if os.fork():
        os.wait()
        return
    try:
        without_a_device(d, other)
    finally:
        os._exit(0)


@on_driver()
def test_a_receiver_that_has_none_may_have_arrays_of_the_host(d):
    d.context()
    array = Placed(d, base()).produce()
    with Line(forked) as line:
        for _ in range(3):
            assert line.ask([array]) == [("ndarray", base().tobytes())]
        assert shared(d) == [0, 0, 0]


@on_driver()
def test_both_ends_in_one_process(d):
    d.context()
    here, there = fp.Channel.pair()
    with here, there:
        for _ in range(3):
            here.send(Placed(d, base()).produce(), policy=AUTO)
            array = there.recv(timeout=60)
            assert how(array) == "host"
            np.testing.assert_array_equal(host(array), base())
        assert shared(d) == [0, 0, 0]


def place(d, other):
    """Receive on the second device."""
    d.context()
    with connected(other) as channel:
        while True:
            try:
                array = channel.recv(policy=fp.Policy(place=1))
            except EOFError:
                return
            channel.send((how(array), array.device, array.get().tobytes()))


@on_driver(devices=2, simulated=True)
def test_the_receiver_s_policy_says_where_arrays_land(d):
    d.context()
    from ferropickle._native import device_ids

    with Line(place) as line:
        for _ in range(3):
            answer = line.ask(Placed(d, base()).produce())
            assert answer == ("host", device_ids()[1], base().tobytes())


@on_driver(simulated=True)
def test_a_capture_refuses_and_stays_whole(d):
    d.context()
    stream = d.stream(NON_BLOCKING)
    array = Placed(d, base()).produce(stream=stream)
    with Line(tell) as line:
        line.ask([array])
        d.cuStreamBeginCapture_v2(stream, 0)
        with pytest.raises(fp.DeviceError, match="captured"):
            line.send([array])
        graph = ctypes.c_void_p()
        d.cuStreamEndCapture(stream, ctypes.byref(graph))
        assert line.ask([array]) == seen(base(), "arena")


@on_driver(devices=2, simulated=True)
def test_a_message_that_is_refused_in_part_leaves_nothing_in_the_arena(d):
    d.context(1)
    stream = d.stream(NON_BLOCKING)
    refused = Placed(d, base()).produce(stream=stream)
    d.context(0)
    array = Placed(d, base(5 * MIB // 4)).produce()
    with Line(hold) as line:
        assert [line.ask(value)[0] for value in (array, refused, array, refused)] == [
            *["host"] * 2,
            *["arena"] * 2,
        ]
        assert line.ask("let go") == "gone"
        d.context(1)
        d.cuStreamBeginCapture_v2(stream, 0)
        for _ in range(5):
            with pytest.raises(fp.DeviceError, match="captured"):
                line.send([array, refused])
        d.cuStreamEndCapture(stream, ctypes.byref(ctypes.c_void_p()))
        d.context(0)
        assert [line.ask(array)[0] for _ in range(3)] == ["arena"] * 3


# ---- what is left --------------------------------------------------------------------------------


@on_driver(hold_us=0)
def test_many_messages_and_channels_leave_nothing_behind(d):
    d.context()
    array = Placed(d, base(1000)).produce()
    fp.dumps(array)
    used = []
    for _ in range(3):
        with Line(hold) as line:
            for n in range(200):
                assert line.ask(array)[0] == ("arena" if n else "host")
                assert line.ask("let go") == "gone"
        used.append((left(d), shared(d)))
    assert used[1:] == used[:-1]
    assert careful(d)


# ---- who lies ------------------------------------------------------------------------------------


def frame(kind, data):
    return struct.pack("<4sIQQQ", b"FPF1", kind, len(data), 0, 0) + data


def offer(*, length=264):
    return b"fpdo\x01\0\0\0" + bytes(length)


def place_in(arena):
    note = b"fpds" + struct.pack("<IQIIQI64x", 1, arena, 0, 0, 100, 0)
    return b"fpdp\x01\0\0\0" + struct.pack("<Q", 1) + note + struct.pack("<4Q", 0, 0, 0, 100)


@on_driver()
def test_lies_are_refused(d):
    d.context()
    stream = pickle.dumps("all is well")
    for aside, error in [
        (offer(), fp.UnpicklingError),
        (offer(length=3), fp.UnpicklingError),
        (place_in(7)[:-1], fp.UnpicklingError),
        (b"", fp.UnpicklingError),
        (place_in(7), fp.DeviceError),
    ]:
        here, there = fp.Channel.pair()
        with here, there:
            os.write(here.fileno(), frame(2, aside) + frame(0, stream))
            with pytest.raises(error):
                there.recv(timeout=60)
            here.send("and again")
            assert there.recv(timeout=60) == "and again"
