"""Objects that offer their memory by DLPack alone."""

import ctypes

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import Placed

CPU, CUDA = 1, 2
INT, FLOAT, BFLOAT, COMPLEX = 0, 2, 4, 5
HELD = 1_000_000
NON_BLOCKING = 1


class Tensor(ctypes.Structure):
    """`DLManagedTensor` of dlpack.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


class Offered:
    """An array over memory on the device, and what was asked of it."""

    __slots__ = ("asked", "kind", "order", "tensor")

    def __init__(self, address, shape, strides, code, bits, *, offset=0, kind=CUDA, order=None):
        self.kind, self.order, self.asked = kind, order, []
        numbers, pointer = ctypes.c_int64 * max(len(shape), 1), ctypes.POINTER(ctypes.c_int64)
        lengths = ctypes.cast(numbers(*shape), pointer)
        steps = None if strides is None else ctypes.cast(numbers(*strides), pointer)
        self.tensor = Tensor(address, kind, 0, len(shape), code, bits, 1, lengths, steps, offset)

    def __dlpack_device__(self):
        return self.kind, 0

    def __dlpack__(self, *, stream=None):
        self.asked.append(stream)
        if self.order is not None:
            self.order(stream)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.tensor), b"dltensor", None)


def sent(offered):
    return fp.loads(fp.dumps([offered]))[0]


@on_driver()
def test_elements_shape_strides_and_offset(d):
    d.context()
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    address = Placed(d, base).address
    cases = [
        (Offered(address, (4, 6), None, FLOAT, 32), base),
        (Offered(address, (4, 3), (6, 2), FLOAT, 32), base[:, ::2]),
        (Offered(address, (2, 6), (6, 1), FLOAT, 32, offset=48), base[2:]),
        (Offered(address, (12,), None, COMPLEX, 64), base.reshape(-1).view("<c8")),
        (Offered(address, (), None, INT, 64), base.reshape(-1).view("<i8")[0]),
    ]
    for offered, expected in cases:
        found = sent(offered)
        assert type(found) is fp.DeviceArray
        assert found.shape == np.shape(expected)
        np.testing.assert_array_equal(found.get(), expected)
        assert offered.asked == [1], "the legacy stream, by its number"


@on_driver(hold_us=HELD)
def test_the_producer_orders_its_work_before_ours(d):
    d.context()
    placed, stream = Placed(d, np.full(1000, 1, np.uint8)), d.stream(NON_BLOCKING)
    placed.overwrite(stream, 2)

    def order(consumer):
        event = d.event()
        d.cuEventRecord(event, stream)
        d.cuStreamWaitEvent(consumer, event, 0)

    found = sent(Offered(placed.address, (1000,), None, 1, 8, order=order))
    assert set(found.get().tolist()) == {2}


@on_driver(hold_us=HELD, simulated=True)
def test_a_producer_that_does_not_is_read_too_early(d):
    d.context()
    placed, stream = Placed(d, np.full(1000, 1, np.uint8)), d.stream(NON_BLOCKING)
    placed.overwrite(stream, 2)
    found = sent(Offered(placed.address, (1000,), None, 1, 8))
    assert set(found.get().tolist()) == {1}


@on_driver()
def test_elements_that_no_array_interface_has_are_refused(d):
    d.context()
    address = Placed(d, np.zeros(100)).address
    with pytest.raises(fp.PicklingError, match="kind that no array interface has"):
        fp.dumps(Offered(address, (10,), None, BFLOAT, 16))


@on_driver()
def test_memory_of_the_host_is_left_to_the_class(d):
    d.context()
    kept = np.arange(4.0)
    offered = Offered(kept.ctypes.data, (4,), None, FLOAT, 64, kind=CPU)
    with pytest.raises(ValueError, match="pointers cannot be pickled"):
        fp.dumps(offered)
    assert offered.asked == []
