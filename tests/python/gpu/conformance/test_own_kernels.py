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


UNIT = 4096


def forms_of(d):
    """Arrays of every kind: the bytes of their memory, its address, their forms."""
    whole = bytes(i * 7 % 251 for i in range(16384))
    memory = device_bytes(d, whole)
    #        offset, block, shape and strides of blocks, width of an access
    forms = [
        (0, 64, [(4, 128)], 16),
        (1024, 12, [(5, 36)], 4),
        (2001, 7, [(3, 11)], 1),
        (4096, 16, [(8, -32)], 16),
        (5000, 9, [(4, 0)], 1),  # one block again and again
        (6101, 1003, [], 1),  # contiguous, not aligned
        (6112, 9013, [], 16),  # aligned, but for its end; of several units
        (200, 2, [(3, 2000), (4, -14), (5, 400)], 2),
        (8, 8, [(2, 8000), (3, 2560), (2, 800), (2, 80), (12, 8)], 8),
    ]
    return whole, memory, forms


def offsets(form):
    """Where the blocks of an array begin, the last axis fastest."""
    places = [form[0]]
    for length, stride in form[2]:
        places = [at + i * stride for at in places for i in range(length)]
    return places


def tables_of(d, memory, packed, forms):
    """The tables of a launch, in device memory, and its grid; where each array is when packed."""
    pieces, axes, units, places = [], [], [], []
    end = 0
    for offset, block, dims, width in forms:
        at = end + -end % 64
        size = block
        for length, _ in dims:
            size *= length
        row = memory + offset, packed + at, 0, size, block, len(units), len(axes), len(dims), width
        pieces.append(struct.pack("<QQQQQQIIII", *row, 0))
        axes += [struct.pack("<Qq", *dim) for dim in dims]
        units += [len(pieces) - 1] * -(-size // UNIT)
        places.append(at)
        end = at + size
    tables = [device_bytes(d, b"".join(rows)) for rows in (pieces, axes)]
    tables.append(device_bytes(d, struct.pack(f"<{len(units)}I", *units)))
    return [*map(ctypes.c_uint64, (*tables, UNIT))], (len(units), 1), places, end


@on_driver()
def test_gather_packs_strided_arrays(d):
    module = load(d, "pack.ptx")
    whole, memory, forms = forms_of(d)
    packed = d.alloc(32768)
    values, grid, places, size = tables_of(d, memory, packed, forms)
    launch(d, module, "ferropickle_gather", grid, 64, *values)
    found = d.read(packed, size)
    for form, at in zip(forms, places, strict=True):
        expected = b"".join(whole[start : start + form[1]] for start in offsets(form))
        assert found[at : at + len(expected)] == expected, form


@on_driver()
def test_scatter_puts_them_back(d):
    module = load(d, "pack.ptx")
    whole, memory, forms = forms_of(d)
    data = bytes(255 - i % 256 for i in range(32768))
    packed = device_bytes(d, data)
    for form in forms[:4] + forms[5:8]:  # blocks in one place would race
        values, grid, (at,), size = tables_of(d, memory, packed, [form])
        expected = bytearray(whole := d.read(memory, len(whole)))
        for i, start in enumerate(offsets(form)):
            expected[start : start + form[1]] = data[at + i * form[1] :][: form[1]]
        launch(d, module, "ferropickle_scatter", grid, 128, *values)
        assert d.read(memory, len(whole)) == bytes(expected), form


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
