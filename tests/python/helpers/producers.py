"""Arrays on a device without a library: what tests send, on the driver of `helpers.cuda`."""

import ctypes

import numpy as np

LEGACY = 1


class Produced:
    """An array on the device that offers an array interface, and says nothing of pickling."""

    def __init__(self, address, shape, strides, dtype, *, stream=LEGACY, read_only=False):
        self._interface = {
            "shape": tuple(shape),
            "strides": None if strides is None else tuple(strides),
            "typestr": dtype.str,
            "data": (address, read_only),
            "stream": stream,
            "version": 3,
        }
        if dtype.fields:
            self._interface["descr"] = dtype.descr

    @property
    def __cuda_array_interface__(self):
        return self._interface


class Placed:
    """Memory on the device with the bytes of an array of NumPy's, of which views are produced."""

    def __init__(self, driver, base):
        self.driver, self.base = driver, base
        assert base.flags.c_contiguous
        self.address = driver.alloc(max(base.nbytes, 1))
        if base.nbytes:
            driver.put(self.address, base.tobytes())

    def produce(self, view=None, **interface):
        """A device array that lies in this memory as `view` lies in the base."""
        view = self.base if view is None else view
        first = view.__array_interface__["data"][0] - self.base.__array_interface__["data"][0]
        address = self.address + first if view.size else 0
        return Produced(address, view.shape, view.strides, view.dtype, **interface)

    def overwrite(self, stream, value):
        """Fill the memory in a stream; do not wait."""
        self.driver.cuMemsetD8Async(self.address, value, self.base.nbytes, stream)


def host(array):
    """The elements of a device array as an array of NumPy's, read without ferropickle."""
    interface = array.__cuda_array_interface__
    descr = interface.get("descr")
    dtype = np.dtype(interface["typestr"]) if descr is None else np.dtype(descr)
    shape, strides = interface["shape"], interface["strides"]
    if strides is None:
        strides = np.empty(shape, dtype).strides
    size = int(np.prod(shape))
    if not size:
        return np.empty(shape, dtype)
    spans = [(length - 1) * step for length, step in zip(shape, strides)]
    before = sum(-span for span in spans if span < 0)
    length = before + sum(span for span in spans if span > 0) + dtype.itemsize
    data = bytearray(length)
    into = (ctypes.c_char * length).from_buffer(data)
    library = ctypes.CDLL("libcuda.so.1")
    library.cuMemcpyDtoH_v2.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t]
    assert library.cuMemcpyDtoH_v2(into, interface["data"][0] - before, length) == 0
    return np.ndarray(shape, dtype, data, before, strides)


# ---- what other processes do ---------------------------------------------------------------------


def placed_here(array):
    """A device array with these elements, in the first device's context of this process."""
    from helpers.cuda import Driver

    driver = Driver()
    driver.cuInit(0)
    driver.context()
    return Placed(driver, np.ascontiguousarray(array)).produce()


def add_one(array):
    return placed_here(array.get() + 1)


def put_doubled(queue, array):
    queue.put(placed_here(array.get() * 2))
