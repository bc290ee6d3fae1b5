"""The project's kernels against plain Python: interpreted, or on a real driver compiled."""

import ctypes
import struct
from pathlib import Path

from helpers.cuda import on_driver

KERNELS = Path(__file__).parents[4] / "gpu" / "kernels"
MASK = (1 << 64) - 1


def load(d, name):
    d.context()
    return d.get("cuModuleLoadData", ctypes.c_char_p((KERNELS / name).read_bytes()))


def launch(d, module, name, grid, block, *values, shared=0):
    function = d.get("cuModuleGetFunction", module, name.encode())
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
    d.cuLaunchKernel(function, *grid, 1, block, 1, 1, shared, 0, pointers, None)


def device_bytes(d, data):
    address = d.alloc(max(len(data), 1))
    if data:
        d.put(address, data)
    return address


def pieces_of(d):
    """Pieces of every kind, the memory they are in, and the size of it packed."""
    whole = bytes(i * 7 % 251 for i in range(8192))
    memory = device_bytes(d, whole)
    #        offset, row, rows, stride
    forms = [
        (0, 64, 4, 128),  # wide rows
        (1024, 12, 5, 36),  # words
        (2001, 7, 3, 11),  # bytes
        (4096, 16, 8, -32),  # backwards
        (5000, 9, 4, 0),  # one row again and again
        (6000, 0, 3, 8),  # empty
        (6100, 1000, 1, 1000),  # contiguous, not aligned
    ]
    packed = 0
    pieces = []
    for offset, row, rows, stride in forms:
        packed += -packed % 16
        pieces.append((offset, packed, row, rows, stride))
        packed += row * rows
    return whole, memory, pieces, packed


def table_of(d, memory, packed, pieces):
    rows = [
        struct.pack("<QQQQq", memory + offset, packed + at, row, count, stride)
        for offset, at, row, count, stride in pieces
    ]
    return ctypes.c_uint64(device_bytes(d, b"".join(rows))), ctypes.c_uint(len(rows))


@on_driver()
def test_gather_packs_strided_pieces(d):
    module = load(d, "pack.ptx")
    whole, memory, pieces, size = pieces_of(d)
    packed = device_bytes(d, bytes(size))
    launch(d, module, "ferropickle_gather", (2, 3), 64, *table_of(d, memory, packed, pieces))
    expected = bytearray(size)
    for offset, at, row, rows, stride in pieces:
        for i in range(rows):
            start = offset + i * stride
            expected[at + i * row : at + (i + 1) * row] = whole[start : start + row]
    assert d.read(packed, size) == bytes(expected)


@on_driver()
def test_scatter_puts_them_back(d):
    module = load(d, "pack.ptx")
    whole, memory, pieces, size = pieces_of(d)
    pieces = [piece for piece in pieces if piece[4]]  # rows in one place would race
    data = bytes(255 - i % 256 for i in range(size))
    packed = device_bytes(d, data)
    launch(d, module, "ferropickle_scatter", (1, 2), 32, *table_of(d, memory, packed, pieces))
    expected = bytearray(whole)
    for offset, at, row, rows, stride in pieces:
        for i in range(rows):
            start = offset + i * stride
            expected[start : start + row] = data[at + i * row : at + (i + 1) * row]
    assert d.read(memory, len(whole)) == bytes(expected)


def checksum(data):
    total = 0
    for i in range(0, len(data), 8):
        x = int.from_bytes(data[i : i + 8], "little") ^ (i // 8 + 1) * 0x9E3779B97F4A7C15 & MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        total += x ^ x >> 31
    return total & MASK


@on_driver()
def test_the_checksum_is_of_all_bytes(d):
    module = load(d, "checksum.ptx")
    whole = bytes(i * 131 % 256 for i in range(5003))
    memory = device_bytes(d, whole)
    for start, size in [(0, 5003), (0, 5000), (3, 4000), (8, 7), (0, 0), (1, 1)]:
        total = device_bytes(d, bytes(8))
        values = map(ctypes.c_uint64, (memory + start, size, total))
        launch(d, module, "ferropickle_checksum", (3, 1), 128, *values)
        (found,) = struct.unpack("<Q", d.read(total, 8))
        assert found == checksum(whole[start : start + size]), (start, size)


@on_driver()
def test_bytes_are_shuffled_there_and_back(d):
    module = load(d, "byteshuffle.ptx")
    for count, width in [(300, 8), (64, 4), (1, 2), (65, 3), (128, 1)]:
        data = bytes(i * 31 % 253 for i in range(count * width))
        source = device_bytes(d, data)
        shuffled, back = d.alloc(len(data)), d.alloc(len(data))
        for name, a, b in [("shuffle", source, shuffled), ("unshuffle", shuffled, back)]:
            values = [*map(ctypes.c_uint64, (a, b, count)), ctypes.c_uint(width)]
            grid = (-(-count // 64) + 1, 1)
            launch(d, module, f"ferropickle_{name}", grid, 64, *values, shared=64 * width)
        assert d.read(shuffled, len(data)) == b"".join(data[w::width] for w in range(width))
        assert d.read(back, len(data)) == data
