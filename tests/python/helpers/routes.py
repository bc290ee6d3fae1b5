"""The ways of an object through a stream and back; some have the standard library at one end."""

import io
import pickle

import ferropickle as fp


def _in_band(obj):
    return fp.loads(fp.dumps(obj))


def _read_by_stock(obj):
    return pickle.loads(fp.dumps(obj))


def _written_by_stock(obj):
    return fp.loads(pickle.dumps(obj, 5))


def _out_of_band(obj):
    buffers = []
    stream = fp.dumps(obj, buffer_callback=buffers.append)
    # Buffers that came from elsewhere: memory of their own, as writable as they were.
    return fp.loads(stream, buffers=[_received(buffer) for buffer in buffers])


def _out_of_band_read_by_stock(obj):
    buffers = []
    stream = fp.dumps(obj, buffer_callback=buffers.append)
    return pickle.loads(stream, buffers=[_received(buffer) for buffer in buffers])


def _out_of_band_written_by_stock(obj):
    buffers = []
    stream = pickle.dumps(obj, 5, buffer_callback=buffers.append)
    return fp.loads(stream, buffers=[_received(buffer) for buffer in buffers])


def _by_a_callback(obj):
    """A callback of Python's, which leaves every second buffer in the stream."""
    buffers, count = [], 0

    def callback(buffer):
        nonlocal count
        count += 1
        if count % 2:
            return True
        buffers.append(_received(buffer))
        return False

    return fp.loads(fp.dumps(obj, buffer_callback=callback), buffers=buffers)


def _parcel(obj):
    return fp.unpack(fp.pack(obj).to_bytes())


def _file(obj):
    file = io.BytesIO()
    fp.dump(obj, file)
    file.seek(0)
    return fp.load(file)


def _pickler(obj):
    file = io.BytesIO()
    fp.Pickler(file).dump(obj)
    file.seek(0)
    return fp.Unpickler(file).load()


def _received(buffer):
    with memoryview(buffer) as view:
        return bytes(view) if view.readonly else bytearray(view)


# Ours on both ends.
OURS = {
    "in band": _in_band,
    "out of band": _out_of_band,
    "by a callback": _by_a_callback,
    "parcel": _parcel,
    "file": _file,
    "pickler": _pickler,
}
# Written by us, read by the standard library.
READ_BY_STOCK = {
    "read by stock": _read_by_stock,
    "out of band, read by stock": _out_of_band_read_by_stock,
}
# The other way round.
WRITTEN_BY_STOCK = {
    "written by stock": _written_by_stock,
    "out of band, written by stock": _out_of_band_written_by_stock,
}
WRITTEN_BY_US = {**OURS, **READ_BY_STOCK}
ALL = {**WRITTEN_BY_US, **WRITTEN_BY_STOCK}
