"""Errors that come when the rest of an object has been written name the array all the same."""

import io

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import Placed


class Plain:
    def __init__(self, array):
        self.array = array


@on_driver(simulated=True)
def test_an_array_whose_bytes_cannot_be_had_is_named(d):
    d.context()
    memory, stream = Placed(d, np.zeros(100)), d.stream(1)
    good, bad = memory.produce(), Placed(d, np.zeros(100)).produce(stream=stream)
    obj = {"model": Plain([good, bad, good])}
    d.cuStreamBeginCapture_v2(stream, 2)
    path = r"obj\['model'\]\.array\[1\]"
    dumps = {
        "dumps": fp.dumps,
        "pack": fp.pack,
        "memory of the device": lambda obj: fp.pack(obj, policy=fp.Policy(device="device")),
        "file": lambda obj: fp.dump(obj, io.BytesIO()),
        "Pickler": lambda obj: fp.Pickler(io.BytesIO()).dump(obj),
        "callback": lambda obj: fp.dumps(obj, buffer_callback=[].append),
    }
    for name, dump in dumps.items():
        with pytest.raises(fp.DeviceError, match=rf"^{path}: .*captured into a graph") as caught:
            dump(obj)
        if hasattr(caught.value, "__notes__"):
            assert caught.value.__notes__[0].endswith("obj['model'].array[1]"), name
