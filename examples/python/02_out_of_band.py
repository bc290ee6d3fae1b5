"""Large buffers beside the stream, not in it: no copy on the way out, none on the way in."""

import array

import ferropickle as fp

Buffer = bytearray | memoryview | fp.PickleBuffer


class Image:
    """A class with a large buffer of its own: `PickleBuffer` is all it takes."""

    def __init__(self, pixels: Buffer, width: int) -> None:
        self.pixels = memoryview(pixels)  # a view: whoever owns the memory keeps it
        self.width = width

    def __reduce_ex__(self, protocol: int) -> tuple:
        if protocol >= 5:
            return Image, (fp.PickleBuffer(self.pixels), self.width)
        return Image, (bytearray(self.pixels), self.width)


def main() -> None:
    image = Image(bytearray(640 * 480), 640)

    # In band: the pixels are in the stream.
    stream = fp.dumps(image)
    assert len(stream) > 640 * 480

    # Out of band: the pixels come as they are. The stream has the class, which is of `__main__`,
    # and where the other side has it too (`main="ref"`) no more than a few bytes.
    buffers: list[fp.PickleBuffer] = []
    stream = fp.dumps(image, 5, buffer_callback=buffers.append)
    assert len(stream) < 4000
    assert len(fp.dumps(image, 5, buffer_callback=print, policy=fp.Policy(main="ref"))) < 200
    assert [b.raw().nbytes for b in buffers] == [640 * 480]

    # Load with the same buffers: the copy looks at the same memory.
    copy = fp.loads(stream, buffers=buffers)
    image.pixels[0] = 255
    assert copy.pixels[0] == 255

    # Or with buffers that travelled: anything with the buffer protocol will do.
    travelled = [bytearray(b.raw()) for b in buffers]
    copy = fp.loads(stream, buffers=travelled)
    image.pixels[1] = 255
    assert copy.pixels[0] == 255
    assert copy.pixels[1] == 0

    # A buffer_callback that returns something true keeps that buffer in the stream.
    large: list[fp.PickleBuffer] = []

    def only_large(buffer: fp.PickleBuffer) -> bool:
        if buffer.raw().nbytes < 1024:
            return True
        large.append(buffer)
        return False

    both = [fp.PickleBuffer(bytearray(16)), fp.PickleBuffer(array.array("d", [0.0] * 1000))]
    stream = fp.dumps(both, 5, buffer_callback=only_large)
    assert len(large) == 1
    small, _ = fp.loads(stream, buffers=large)
    assert small == bytearray(16)

    # NumPy arrays do all this by themselves.
    try:
        import numpy as np
    except ImportError:
        print("out of band without a copy (NumPy is not installed: arrays left out)")
        return
    table = {"x": np.arange(100_000.0), "y": np.ones((300, 200), order="F")}
    buffers = []
    stream = fp.dumps(table, 5, buffer_callback=buffers.append)
    copy = fp.loads(stream, buffers=buffers)
    assert all(np.array_equal(copy[k], table[k]) for k in table)
    assert np.shares_memory(copy["x"], table["x"])
    out = sum(b.raw().nbytes for b in buffers)
    print(f"{len(stream)} bytes in the stream, {out:,} bytes out of band, none of them copied")


if __name__ == "__main__":
    main()
