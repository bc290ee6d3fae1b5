"""Parcels in memory: what leaves the stream, whose memory it is, and who keeps it."""

import gc
import pickle
import sys
import threading
import weakref
from pickle import PickleBuffer

import pytest

import ferropickle as fp
from helpers.blocks import Block
from helpers.leaks import assert_no_growth


def test_a_parcel_is_a_stream_and_its_buffers():
    first, second = bytearray(b"a" * 5000), b"b" * 3000
    parcel = fp.pack({"first": Block(first), "second": Block(second), "n": 1})
    assert [bytes(view) for view in parcel.buffers] == [bytes(first), second]
    assert [view.readonly for view in parcel.buffers] == [False, True]
    assert parcel.nbytes == len(parcel.stream) + 8000
    assert len(parcel.stream) < 300
    back = pickle.loads(parcel.stream, buffers=parcel.buffers)
    assert bytes(back["first"].data) == bytes(first)
    assert back["second"].data == second
    assert back["n"] == 1


def test_views_share_memory_and_keep_the_writable_flag():
    data = bytearray(100)
    back = fp.unpack(fp.pack([Block(data), Block(bytes(5))]))
    view = memoryview(back[0].data)
    assert not view.readonly
    view[3] = 9
    assert data[3] == 9
    assert memoryview(back[1].data).readonly


def test_a_copy_has_memory_of_its_own():
    data = bytearray(100)
    back = fp.unpack(fp.pack([Block(data), Block(bytes(5))]), copy="always")
    view = memoryview(back[0].data)
    view[3] = 9
    assert data[3] == 0
    assert not view.readonly
    assert memoryview(back[1].data).readonly


def test_the_memory_stays_while_a_parcel_looks_at_it():
    data = bytearray(5000)
    parcel = fp.pack(Block(data))
    with pytest.raises(BufferError):
        data.extend(b"more")
    back = fp.unpack(parcel)
    del parcel
    with pytest.raises(BufferError):
        data.extend(b"more")
    del back
    data.extend(b"more")
    assert len(data) == 5004


def test_a_buffer_may_be_released_after_packing():
    data = bytearray(b"x" * 1000)
    buffer = PickleBuffer(data)
    parcel = fp.pack(buffer)
    buffer.release()
    assert bytes(parcel.buffers[0]) == bytes(data)


def test_a_temporary_of_a_reducer_is_kept():
    class Fresh:
        def __reduce__(self):
            return bytearray, (PickleBuffer(bytes(range(256)) * 20),)

    parcel = fp.pack([Fresh() for _ in range(3)])
    gc.collect()
    assert fp.unpack(parcel) == [bytearray(range(256)) * 20] * 3


def test_a_dump_that_begins_again_collects_once():
    # A reducer runs code while containers were left out of the memo: the walk
    # begins again.
    blocks = [[Block(bytearray([n] * 100))] for n in range(10)]
    parcel = fp.pack(blocks)
    assert [bytes(view) for view in parcel.buffers] == [bytes([n] * 100) for n in range(10)]
    inner = fp.unpack(parcel)
    assert [bytes(item[0].data) for item in inner] == [bytes([n] * 100) for n in range(10)]


def test_non_contiguous_buffers_are_refused():
    strided = memoryview(bytearray(100))[::2]
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        fp.pack(PickleBuffer(strided))


def test_a_buffer_object_goes_on():
    back = fp.unpack(fp.pack(PickleBuffer(bytearray(b"abc"))))
    assert bytes(back) == b"abc"
    assert len(back) == back.nbytes == 3
    again = fp.unpack(fp.pack([back, back]))
    assert again[0] is again[1]
    assert bytes(again[0]) == b"abc"
    for protocol in range(6):
        assert bytes(pickle.loads(fp.dumps(back, protocol))) == b"abc"


def test_arguments_are_checked():
    parcel = fp.pack([])
    with pytest.raises(ValueError, match="copy must be one of"):
        fp.unpack(parcel, copy="some")
    with pytest.raises(TypeError, match="policy must be a Policy"):
        fp.pack([], policy=3)


def test_errors_name_the_path():
    with pytest.raises((TypeError, pickle.PicklingError), match=r"obj\['lock'\]"):
        fp.pack({"lock": sys._getframe()})


def test_a_parcel_dies_on_any_thread():
    data = bytearray(1000)
    held = [fp.pack(Block(data))]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    data.extend(b"more")


def test_an_owner_dies_with_the_last_view():
    class Data(bytearray):
        pass

    data = Data(100)
    alive = weakref.ref(data)
    back = fp.unpack(fp.pack(Block(data)))
    del data
    gc.collect()
    assert alive() is not None
    del back
    gc.collect()
    assert alive() is None


def test_nothing_is_left_behind():
    blocks = [Block(bytearray(100)), Block(bytes(100))]
    assert_no_growth(lambda: fp.unpack(fp.pack(blocks)))
    assert_no_growth(lambda: fp.unpack(fp.pack(blocks), copy="always"))
    assert_no_growth(lambda: fp.pack(blocks).buffers)
