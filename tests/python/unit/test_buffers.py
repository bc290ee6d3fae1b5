"""PickleBuffer in and out of band: callbacks, truth values, readonly and writable, errors.

What belongs here: protocol 5's buffers. Arrays of NumPy: test_known_reduces.py.
"""

import array
import io
import pickle
from pickle import PickleBuffer

import pytest

import ferropickle as fp
import ferropickle.compat.pickle
from helpers.crossing import assert_loads_fail_alike, raised
from helpers.streams import check_stream, opcodes


class Block:
    """A zero-copy holder of bytes, as the standard library's documentation has it."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        if protocol >= 5:
            return Block._from, (PickleBuffer(self.data),), None
        return Block._from, (bytes(self.data),)

    @classmethod
    def _from(cls, data):
        with memoryview(data) as view:
            owner = view.obj
        return owner if type(owner) is cls else cls(owner)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_in_band(kind, number):
    back = fp.loads(fp.dumps(Block(kind(b"abc")), number))
    assert back.data == b"abc"
    assert type(back.data) is (kind if number == 5 else bytes)
    assert pickle.loads(fp.dumps(Block(kind(b"abc")), number)).data == b"abc"


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 1_000_000])
def test_in_band_sizes(kind, size):
    back = fp.loads(fp.dumps(PickleBuffer(kind(size)), 5))
    assert back == kind(size)
    assert type(back) is kind


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_out_of_band_moves_nothing(kind):
    data = kind(b"x" * 5000)
    buffers = []
    stream = fp.dumps([Block(data), Block(data)], 5, buffer_callback=buffers.append)
    assert len(stream) < 300
    assert len(buffers) == 2
    assert all(type(item) is PickleBuffer for item in buffers)
    check_stream(stream, 5)
    for load in (fp.loads, pickle.loads):
        back = load(stream, buffers=buffers)
        assert back[0].data is data
        assert back[1].data is data
    theirs = pickle.dumps([Block(data), Block(data)], 5, buffer_callback=lambda b: None)
    assert fp.loads(theirs, buffers=buffers)[0].data is data


def test_readonly_is_said_in_the_stream():
    readonly = fp.dumps(PickleBuffer(b"abc"), 5, buffer_callback=lambda b: None)
    writable = fp.dumps(PickleBuffer(bytearray(b"abc")), 5, buffer_callback=lambda b: None)
    assert "READONLY_BUFFER" in opcodes(readonly)
    assert "READONLY_BUFFER" not in opcodes(writable)
    back = fp.loads(readonly, buffers=[bytearray(b"abc")])
    with memoryview(back) as view:
        assert view.readonly
    given = bytearray(b"abc")
    assert fp.loads(writable, buffers=[given]) is given


@pytest.mark.parametrize("answer", [True, 1, "yes", [0], object()], ids=str)
def test_truthy_answers_keep_the_buffer_in_band(answer):
    seen = []
    stream = fp.dumps(
        PickleBuffer(b"abc"), buffer_callback=lambda buffer: seen.append(buffer) or answer
    )
    assert len(seen) == 1
    assert "NEXT_BUFFER" not in opcodes(stream)
    assert fp.loads(stream) == b"abc"


@pytest.mark.parametrize("answer", [False, None, 0, "", []], ids=repr)
def test_falsy_answers_take_it_out(answer):
    stream = fp.dumps(PickleBuffer(b"abc"), buffer_callback=lambda buffer: answer)
    assert "NEXT_BUFFER" in opcodes(stream)


def test_each_buffer_is_asked_for_in_order():
    blocks = [Block(bytes([i]) * 10) for i in range(6)]
    out = []

    def odd(buffer):
        if buffer.raw()[0] % 2:
            out.append(buffer)
        else:
            return True

    stream = fp.dumps(blocks, buffer_callback=odd)
    assert [bytes(item)[0] for item in out] == [1, 3, 5]
    for load in (fp.loads, pickle.loads):
        assert [item.data[0] for item in load(stream, buffers=iter(out))] == [0, 1, 2, 3, 4, 5]


def test_buffers_may_be_any_iterable_of_any_buffers():
    stream = fp.dumps([PickleBuffer(bytearray(3))] * 2, buffer_callback=lambda b: None)
    given = [bytearray(b"one"), array.array("i", [1])]
    for buffers in (given, tuple(given), iter(given), (item for item in given)):
        back = fp.loads(stream, buffers=buffers)
        assert [type(item) for item in back] == [bytearray, array.array]
        assert back[0] is given[0]
    readonly = fp.dumps(PickleBuffer(b"abc"), buffer_callback=lambda b: None)
    with pytest.raises((TypeError, pickle.UnpicklingError)):
        fp.loads(readonly, buffers=["text is no buffer"])


def test_too_few_too_many_or_no_buffers():
    stream = fp.dumps([Block(b"a"), Block(b"b")], buffer_callback=lambda b: None)
    assert_loads_fail_alike(stream)
    assert_loads_fail_alike(stream, buffers=None)
    assert_loads_fail_alike(stream, buffers=[])
    assert_loads_fail_alike(stream, buffers=[b"a"])
    assert [b.data for b in fp.loads(stream, buffers=[b"a", b"b", b"c"])] == [b"a", b"b"]


def test_buffers_that_raise():
    def broken():
        yield b"a"
        raise ZeroDivisionError

    stream = fp.dumps([Block(b"a"), Block(b"b")], buffer_callback=lambda b: None)
    with pytest.raises(ZeroDivisionError):
        fp.loads(stream, buffers=broken())


def test_callback_that_raises():
    exc = ZeroDivisionError("mine")

    def callback(buffer):
        raise exc

    assert raised(fp.dumps, [Block(b"a")], buffer_callback=callback) is exc


@pytest.mark.parametrize("number", range(5))
def test_pickle_buffer_needs_protocol_five(number):
    with pytest.raises(pickle.PicklingError, match="PickleBuffer"):
        fp.dumps(PickleBuffer(b"abc"), number)


def test_buffer_with_gaps_fails():
    gaps = PickleBuffer(memoryview(bytes(100))[::2])
    with pytest.raises(pickle.PicklingError, match="contiguous"):
        fp.dumps(gaps, 5)
    with pytest.raises(pickle.PicklingError, match="contiguous"):
        fp.dumps(gaps, 5, buffer_callback=lambda b: None)


def test_released_buffer_fails():
    buffer = PickleBuffer(b"abc")
    buffer.release()
    theirs = raised(pickle.dumps, buffer, 5)
    assert type(raised(fp.dumps, buffer, 5)) is type(theirs)


def test_buffers_are_released_after_a_dump():
    data = bytearray(100)
    block = Block(data)
    fp.dumps(block, 5)
    data.append(1)  # a BufferError if a view were left


def test_one_buffer_object_twice():
    buffer = PickleBuffer(bytearray(b"abc"))
    for options in ({}, {"buffer_callback": [].append}):
        theirs = opcodes(pickle.dumps([buffer, buffer], 5, **options))
        ours = opcodes(fp.dumps([buffer, buffer], 5, **options))
        assert ours.count("NEXT_BUFFER") == theirs.count("NEXT_BUFFER")
    back = fp.loads(fp.dumps([buffer, buffer], 5))
    expected = pickle.loads(pickle.dumps([buffer, buffer], 5))
    assert (back[0] is back[1]) == (expected[0] is expected[1])


def test_pickler_and_unpickler_take_buffers_too():
    out, buffers = io.BytesIO(), []
    pickler = fp.Pickler(out, 5, buffer_callback=buffers.append)
    pickler.dump(Block(b"one"))
    pickler.dump(Block(b"two"))
    assert len(buffers) == 2
    unpickler = fp.Unpickler(io.BytesIO(out.getvalue()), buffers=buffers)
    assert unpickler.load().data == b"one"
    assert unpickler.load().data == b"two"
    out = io.BytesIO()
    fp.dump(Block(b"three"), out, buffer_callback=buffers.append)
    assert fp.load(io.BytesIO(out.getvalue()), buffers=buffers[2:]).data == b"three"


def test_memoryview_itself_is_not_pickled_as_by_pickle():
    with pytest.raises(TypeError, match="memoryview"):
        fp.compat.pickle.dumps(memoryview(b"abc"))
    assert fp.loads(fp.dumps(memoryview(b"abc"))) == b"abc"


def test_bytes_and_bytearrays_never_go_out_of_band():
    seen = []
    fp.dumps([bytes(100_000), bytearray(100_000)], 5, buffer_callback=seen.append)
    assert seen == []
