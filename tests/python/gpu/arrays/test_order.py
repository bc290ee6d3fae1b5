"""Bytes are read after the producer's work and before its later work; each edge beside its absence.

The simulated driver holds work back that nobody waits for, so a missing edge shows each time.
"""

import ctypes

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import LEGACY, Placed

NON_BLOCKING = 1
OLD, NEW, LATER = 1, 2, 3
HELD = 1_000_000


def placed(d):
    return Placed(d, np.full(1000, OLD, dtype=np.uint8))


def values(array):
    return set(array.get().tolist())


@on_driver(hold_us=HELD)
def test_work_in_the_stream_of_the_array_is_waited_for(d):
    d.context()
    memory, stream = placed(d), d.stream(NON_BLOCKING)
    memory.overwrite(stream, NEW)
    data = fp.dumps(memory.produce(stream=stream))
    memory.overwrite(stream, LATER)
    assert values(fp.loads(data)) == {NEW}


@on_driver(hold_us=HELD, simulated=True)
def test_work_in_a_stream_that_nobody_names_is_not(d):
    d.context()
    memory, stream = placed(d), d.stream(NON_BLOCKING)
    memory.overwrite(stream, NEW)
    assert values(fp.loads(fp.dumps(memory.produce(stream=LEGACY)))) == {OLD}


@on_driver(hold_us=HELD)
def test_without_a_stream_the_default_stream_is_waited_for(d):
    d.context()
    memory, stream = placed(d), d.stream(0)
    memory.overwrite(stream, NEW)
    assert values(fp.loads(fp.dumps(memory.produce(stream=None)))) == {NEW}


@on_driver(hold_us=HELD)
def test_arrays_of_several_streams_are_each_waited_for(d):
    d.context()
    memories = [placed(d) for _ in range(4)]
    streams = [d.stream(NON_BLOCKING) for _ in memories]
    for memory, stream in zip(memories, streams):
        memory.overwrite(stream, NEW)
    data = fp.dumps([m.produce(stream=s) for m, s in zip(memories, streams)])
    assert [values(array) for array in fp.loads(data)] == [{NEW}] * 4


@on_driver(hold_us=HELD)
def test_what_is_written_after_the_dump_is_not_in_it(d):
    d.context()
    memory, stream = placed(d), d.stream(NON_BLOCKING)
    array = memory.produce(stream=stream)
    packed = fp.pack(array)
    memory.overwrite(stream, NEW)
    assert values(fp.unpack(packed)) == {OLD}


@on_driver()
def test_a_stream_of_zero_is_refused(d):
    d.context()
    with pytest.raises(ValueError, match="must not be 0"):
        fp.dumps(placed(d).produce(stream=0))


@on_driver(simulated=True)
def test_a_stream_that_is_captured_is_refused_and_stays_whole(d):
    d.context()
    memory, stream = placed(d), d.stream(NON_BLOCKING)
    d.cuStreamBeginCapture_v2(stream, 0)
    memory.overwrite(stream, NEW)
    with pytest.raises(fp.DeviceError, match="captured into a graph"):
        fp.dumps(memory.produce(stream=stream))

    end = ctypes.c_uint64()
    assert d.status("cuStreamEndCapture", stream, ctypes.byref(end)) == 0, "the capture was spoilt"


@on_driver(simulated=True)
def test_nothing_waits_for_the_whole_device(d):
    d.context()
    array = placed(d).produce()
    fp.dumps(array)
    d.control("reset")
    fp.dumps(array)
    calls = d.report()["calls"]
    assert "cuCtxSynchronize" not in calls, calls
