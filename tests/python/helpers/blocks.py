"""A class that holds bytes and sends them out of band, as arrays do, with no NumPy."""

from pickle import PickleBuffer


class Block:
    """Holds a bytes-like object; rebuilt over whatever buffer is given."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Block, (PickleBuffer(self.data),)


def content(value):
    """The value, with the bytes of a Block in its place."""
    if isinstance(value, Block):
        return bytes(value.data)
    if isinstance(value, dict):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(content, value))
    return value


def read_only(block):
    """Whether a Block's memory must not be written to."""
    return memoryview(block.data).readonly
