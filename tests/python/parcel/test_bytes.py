"""Parcels as bytes: whole, in segments, through a descriptor, cut short, altered, crafted."""

import errno
import os
import pickle
import socket
import struct
import threading

import pytest

import ferropickle as fp
from helpers.blocks import Block, content, read_only
from helpers.leaks import assert_no_growth

TEXT = b"some text that compresses well, " * 2000
POLICIES = [
    fp.Policy(checksum=checksum, compression=compression)
    for checksum in (None, "xxh3", "crc32")
    for compression in (None, "zstd", ("zstd", -5), "lz4")
]


@pytest.fixture(params=POLICIES, ids=lambda policy: f"{policy.checksum}-{policy.compression}")
def policy(request):
    return request.param


def sample():
    return [Block(bytearray(TEXT)), Block(os.urandom(3001)), Block(b""), "the rest"]


def flags(blocks):
    return [read_only(item) for item in blocks if isinstance(item, Block)]


@pytest.mark.parametrize("copy", ["lazy", "always"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_come_back(policy, copy, kind):
    blocks = sample()
    data = fp.pack(blocks, policy=policy).to_bytes()
    back = fp.unpack(kind(data), copy=copy)
    assert content(back) == content(blocks)
    assert flags(back) == [False, True, True]
    # What comes after belongs to somebody else.
    assert content(fp.unpack(kind(data + b"more"), copy=copy)) == content(blocks)


def test_segments_are_the_bytes(policy):
    parcel = fp.pack(sample(), policy=policy)
    segments = parcel.segments()
    assert b"".join(segments) == parcel.to_bytes()
    assert all(segment.readonly and segment.nbytes for segment in segments)
    if policy.compression:
        assert sum(segment.nbytes for segment in segments) < parcel.nbytes
    else:
        assert sum(segment.nbytes for segment in segments) > parcel.nbytes


def test_segments_are_views_of_the_memory():
    data = bytearray(10_000)
    [view] = [view for view in fp.pack(Block(data)).segments() if view.nbytes == 10_000]
    data[5] = 7
    assert view[5] == 7


def test_buffers_are_aligned():
    data = fp.pack([Block(bytes([n] * (n * 7 + 1))) for n in range(1, 20)]).to_bytes()
    for n in range(1, 20):
        assert data.index(bytes([n] * (n * 7 + 1))) % 64 == 0


class TestWhoseMemory:
    data = fp.pack([Block(bytearray(TEXT)), Block(TEXT)]).to_bytes()

    def test_lazy_of_bytes_copies_what_must_be_writable(self):
        back = fp.unpack(self.data)
        assert flags(back) == [False, True]
        memoryview(back[0].data)[0] = 0
        assert content(fp.unpack(self.data)) == [TEXT, TEXT]

    def test_lazy_of_a_bytearray_is_views(self):
        given = bytearray(self.data)
        back = fp.unpack(given)
        assert flags(back) == [False, True]
        memoryview(back[0].data)[0] = 0
        assert content(fp.unpack(given)) == [b"\0" + TEXT[1:], TEXT]
        with pytest.raises(BufferError):
            given.clear()
        del back
        given.clear()

    def test_never_is_views(self):
        assert flags(fp.unpack(self.data, copy="never")) == [True, True]
        assert flags(fp.unpack(bytearray(self.data), copy="never")) == [False, True]

    def test_never_refuses_compressed_buffers(self):
        data = fp.pack(Block(TEXT), policy=fp.Policy(compression="zstd")).to_bytes()
        with pytest.raises(ValueError, match=r"buffer 0 .*copy is 'never'"):
            fp.unpack(data, copy="never")

    def test_always_is_memory_of_its_own(self):
        given = bytearray(self.data)
        back = fp.unpack(given, copy="always")
        given.clear()
        assert flags(back) == [False, True]
        assert content(back) == [TEXT, TEXT]


class TestWritev:
    def through(self, parcel, reader, writer):
        got = []

        def drain():
            while part := os.read(reader, 50_000):
                got.append(part)

        thread = threading.Thread(target=drain)
        thread.start()
        try:
            count = parcel.writev(writer)
        finally:
            os.close(writer)
            thread.join()
            os.close(reader)
        assert count == len(b"".join(got))
        return b"".join(got)

    def test_a_pipe_takes_parts(self, policy):
        blocks = [*sample(), Block(os.urandom(3_000_000)), *(Block(b"x" * n) for n in range(3000))]
        parcel = fp.pack(blocks, policy=policy)
        data = self.through(parcel, *os.pipe())
        assert content(fp.unpack(data)) == content(blocks)

    def test_a_descriptor_that_would_block(self):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        blocks = [Block(os.urandom(1_000_000))]
        data = self.through(fp.pack(blocks), reader, writer)
        assert content(fp.unpack(data)) == content(blocks)

    def test_files_and_sockets(self, tmp_path):
        blocks = sample()
        parcel = fp.pack(blocks)
        with open(tmp_path / "parcel", "wb") as file:
            assert parcel.writev(file) == len(parcel.to_bytes())
        assert content(fp.unpack((tmp_path / "parcel").read_bytes())) == content(blocks)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            count = parcel.writev(ours)
            assert theirs.recv(count, socket.MSG_WAITALL) == parcel.to_bytes()

    def test_errors(self, tmp_path):
        parcel = fp.pack(sample())
        reader, writer = os.pipe()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            parcel.writev(writer)
        os.close(writer)
        with pytest.raises(OSError):
            parcel.writev(writer)
        with pytest.raises(OSError):
            parcel.writev(-1)
        with pytest.raises(TypeError, match="fd must be an int or have fileno"):
            parcel.writev("a name")
        assert os.path.exists(tmp_path)

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
    def test_a_full_disk(self):
        with open("/dev/full", "wb", 0) as full, pytest.raises(OSError) as raised:
            fp.pack(sample()).writev(full)
        assert raised.value.errno == errno.ENOSPC


class TestParts:
    def test_a_parcel_of_parts(self):
        buffers = []
        blocks = sample()
        stream = fp.dumps(blocks, buffer_callback=buffers.append)
        parcel = fp.Parcel(stream, buffers)
        assert parcel.stream is stream
        assert content(fp.unpack(parcel)) == content(blocks)
        assert parcel.to_bytes() == fp.pack(blocks).to_bytes()
        assert fp.Parcel(b"N.").buffers == []

    def test_a_parcel_of_bytes(self, policy):
        blocks = sample()
        parcel = fp.Parcel.from_bytes(fp.pack(blocks, policy=policy).to_bytes())
        assert content(pickle.loads(parcel.stream, buffers=parcel.buffers)) == content(blocks)
        assert [view.readonly for view in parcel.buffers] == [False, True, True]

    @pytest.mark.parametrize("protocol", range(6))
    def test_a_parcel_pickles(self, protocol):
        blocks = sample()
        parcel = pickle.loads(pickle.dumps(fp.pack(blocks), protocol))
        assert content(fp.unpack(parcel)) == content(blocks)
        buffers = []
        stream = pickle.dumps(fp.pack(blocks), 5, buffer_callback=buffers.append)
        assert len(stream) < 500
        again = pickle.loads(stream, buffers=buffers)
        assert content(fp.unpack(again)) == content(blocks)

    def test_arguments(self):
        with pytest.raises(TypeError, match="stream: a bytes-like object"):
            fp.Parcel("text")
        with pytest.raises(TypeError, match="buffers: a bytes-like object"):
            fp.Parcel(b"N.", [3])


class TestBadParcels:
    def test_the_error_is_one_of_unpickling(self):
        assert issubclass(fp.ParcelError, pickle.UnpicklingError)
        with pytest.raises(fp.ParcelError, match="these bytes are no parcel"):
            fp.unpack(b"PK\x03\x04 something else")
        with pytest.raises(TypeError, match="parcel: a bytes-like object"):
            fp.unpack([1])

    def test_cut_anywhere(self, policy):
        data = fp.pack([Block(TEXT[:900]), Block(b"x" * 10)], policy=policy).to_bytes()
        for length in range(len(data)):
            with pytest.raises(fp.ParcelError, match="truncated: "):
                fp.unpack(data[:length])

    def test_what_is_cut_is_named(self):
        data = fp.pack([Block(b"x" * 100), Block(b"y" * 1000)]).to_bytes()
        with pytest.raises(fp.ParcelError, match=r"buffer 1 \(at byte \d+\): truncated: "):
            fp.unpack(data[:-1])

    @pytest.mark.parametrize("checksum", ["xxh3", "crc32"])
    @pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
    def test_what_is_altered_is_named(self, checksum, compression):
        chosen = fp.Policy(checksum=checksum, compression=compression)
        blocks = [Block(b"x" * 1000), Block(TEXT), "at the end"]
        data = bytearray(fp.pack(blocks, policy=chosen).to_bytes())
        data[-20] ^= 1
        with pytest.raises(fp.ParcelError, match=rf"buffer 1 .*altered: {checksum} is [0-9a-f]+,"):
            fp.unpack(bytes(data))
        data[-20] ^= 1
        data[data.index(b"at the end")] ^= 1
        with pytest.raises(fp.ParcelError, match="stream .*altered"):
            fp.unpack(bytes(data))
        data[40] ^= 1
        with pytest.raises(fp.ParcelError, match="header .*altered"):
            fp.unpack(bytes(data))

    def test_faulty_compressed_data_without_checksum(self):
        good = fp.pack(Block(TEXT), policy=fp.Policy(compression="zstd")).to_bytes()
        start = good.index(bytes.fromhex("28b52ffd"))
        seen = set()
        for at in range(start, len(good)):
            data = bytearray(good)
            data[at] ^= 0x41
            try:
                fp.unpack(bytes(data))
            except fp.ParcelError as error:
                seen.add(str(error).split(":")[0])
        assert seen == {f"buffer 0 (at byte {start})"}

    def test_sizes_that_nothing_backs(self):
        # The header's own checksum has to be right for a reader to come so far: the crafted
        # ones of tests/rust/parcels.rs are. Here a head alone promises 4 billion rows.
        head = bytearray(fp.pack(0).to_bytes()[:32])
        head[12:16] = struct.pack("<I", 0xFFFFFFFF)
        with pytest.raises(fp.ParcelError, match="header .*truncated: 206158430192 bytes"):
            fp.unpack(bytes(head))

    def test_too_few_buffers(self):
        parcel = fp.pack([Block(b"x"), Block(b"y")])
        short = fp.Parcel(parcel.stream, parcel.buffers[:1])
        for given in (short, short.to_bytes()):
            with pytest.raises(pickle.UnpicklingError, match="not enough out-of-band buffers"):
                fp.unpack(given)


class TestPolicy:
    def test_choices(self):
        assert fp.Policy().compression is None
        assert fp.Policy().checksum is None
        assert fp.Policy(compression="zstd").compression == ("zstd", 3)
        assert fp.Policy(compression=("zstd", 9)) != fp.Policy(compression="zstd")
        assert hash(fp.Policy(compression=("zstd", 3))) == hash(fp.Policy(compression="zstd"))
        chosen = fp.Policy(compression="lz4", checksum="crc32", fsync=False)
        assert pickle.loads(fp.dumps(chosen)) == chosen
        with fp.policy(chosen), fp.policy(checksum=None) as inner:
            assert (inner.compression, inner.checksum, inner.fsync) == ("lz4", None, False)

    @pytest.mark.parametrize(
        ("choices", "text"),
        [
            ({"checksum": "md5"}, "checksum must be"),
            ({"compression": "gzip"}, "compression must be"),
            ({"compression": ("lz4", 3)}, "compression must be"),
            ({"compression": ("zstd", "3")}, "compression must be"),
            ({"compression": 3}, "compression must be"),
            ({"compression": ("zstd", 99)}, "level of zstd must be from -7 to 22, not 99"),
        ],
    )
    def test_refusals(self, choices, text):
        with pytest.raises(ValueError, match=text):
            fp.Policy(**choices)

    def test_the_policy_of_a_block(self):
        with fp.policy(compression="zstd"):
            small = fp.pack(Block(TEXT))
        assert len(small.to_bytes()) < len(TEXT) / 10
        assert small.nbytes > len(TEXT)

    def test_noise_is_not_compressed(self):
        noise = os.urandom(200_000)
        data = fp.pack(Block(noise), policy=fp.Policy(compression="zstd")).to_bytes()
        assert noise in data


def test_nothing_is_left_behind(policy):
    blocks = [Block(bytearray(TEXT)), Block(TEXT)]
    assert_no_growth(lambda: fp.unpack(fp.pack(blocks, policy=policy).to_bytes()), rounds=50)
    assert_no_growth(lambda: fp.pack(blocks, policy=policy).segments(), rounds=50)
