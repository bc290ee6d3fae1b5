"""What streams ask of CuPy and PyTorch, by stand-ins for these: they run on no simulated driver."""

import pickle
import sys

import numpy as np
import pytest

import ferropickle as fp
from helpers import stand_ins
from helpers.cuda import on_driver
from helpers.producers import host

NON_BLOCKING = 1
ROUTES = [
    lambda obj: fp.loads(fp.dumps(obj)),
    lambda obj: pickle.loads(fp.dumps(obj)),
    lambda obj: fp.loads(fp.dumps(obj, 2)),
    lambda obj: fp.unpack(fp.pack(obj).to_bytes()),
]
PROTOCOL_2 = 2


def layouts(base):
    """Views of a C-contiguous array, each of which must be as it was."""
    return {
        "whole": base,
        "rows": base[1:3],
        "columns": base[:, ::2],
        "turned": base.T,
        "backwards": base[::-1, ::-2],
        "repeated": np.broadcast_to(base[0], (3, *base[0].shape)),
        "point": base[2, 3, ...],
        "empty": base[:0],
        "fortran": np.asfortranarray(base),
    }


def arrays(make, views, base):
    """Arrays of a library over one memory, as the views lie in the base."""
    whole = make(base)
    start = base.__array_interface__["data"][0]
    found = {}
    for name, view in views.items():
        first = view.__array_interface__["data"][0] - start
        if name == "fortran":
            found[name] = make(view)
        else:
            memory = whole.memory.placed.base
            first = first if view.size else 0
            twin = np.ndarray(view.shape, view.dtype, memory, first, view.strides)
            found[name] = whole._with(twin)
    return found


def check(found, views, same_strides):
    for name, view in views.items():
        array = found[name]
        np.testing.assert_array_equal(host(array.produced()), view, err_msg=name)
        if name in same_strides:
            assert array.twin.strides == view.strides, name
    start = found["whole"].address
    assert (
        found["rows"].address - start
        == views["rows"].__array_interface__["data"][0]
        - (views["whole"].__array_interface__["data"][0])
    )


@on_driver()
def test_cupy_arrays(d):
    d.context()
    module = stand_ins.cupy(d)
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    views = layouts(base)
    sent = arrays(module.array, views, base)
    for route in ROUTES:
        found = route(sent)
        assert all(type(array) is module.ndarray for array in found.values())
        check(found, views, ["whole", "rows", "columns", "turned", "fortran", "repeated"])


@on_driver()
def test_views_of_a_library_may_come_before_what_they_are_views_of(d):
    d.context()
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    for library in ("cupy", "torch"):
        module = getattr(stand_ins, library)(d)
        make = module.array if library == "cupy" else lambda array: module.Tensor.of(d, array)
        views = {k: v for k, v in layouts(base).items() if k in ("rows", "columns", "whole")}
        found = arrays(make, views, base)
        sent = {name: found[name] for name in ("columns", "rows", "whole")}
        for number, route in enumerate(ROUTES):
            if number != PROTOCOL_2:
                check(route(sent), views, ["whole", "rows", "columns"])


@on_driver(hold_us=1_000_000)
def test_the_current_stream_of_cupy_is_waited_for(d):
    d.context()
    module = stand_ins.cupy(d)
    array = module.array(np.zeros(1000, np.uint8))
    module.stream = d.stream(NON_BLOCKING)
    array.memory.placed.overwrite(module.stream, 7)
    assert set(host(fp.loads(fp.dumps(array)).produced()).tolist()) == {7}


@on_driver(simulated=True)
def test_streams_of_cupy_load_as_numpy_where_it_is_not(d):
    d.context()
    module = stand_ins.cupy(d)
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    views = layouts(base)
    data = fp.dumps(arrays(module.array, views, base))
    del sys.modules["cupy"], sys.modules["cupy.lib.stride_tricks"]
    with pytest.raises(ModuleNotFoundError, match="cupy"):
        fp.loads(data)
    found = fp.loads(data, policy=fp.Policy(on_missing="host"))
    for name, view in views.items():
        assert type(found[name]) is np.ndarray
        np.testing.assert_array_equal(found[name], view, err_msg=name)
    assert np.shares_memory(found["whole"], found["columns"])


@on_driver()
def test_tensors(d):
    d.context()
    module = stand_ins.torch(d)
    base = np.arange(24, dtype="<f8").reshape(4, 6)
    views = {k: v for k, v in layouts(base).items() if k not in ("backwards", "empty")}
    sent = arrays(lambda array: module.Tensor.of(d, array), views, base)
    for route in ROUTES:
        found = route(sent)
        assert all(type(tensor) is module.Tensor for tensor in found.values())
        assert all(tensor.is_cuda for tensor in found.values())
        check(found, views, ["whole", "rows", "columns", "turned", "fortran", "repeated"])


@on_driver(simulated=True)
def test_tensors_stay_tensors_on_the_host_where_there_is_no_device(d):
    d.context()
    module = stand_ins.torch(d)
    base = np.arange(24, dtype="<f8").reshape(4, 6)
    views = {k: v for k, v in layouts(base).items() if k in ("whole", "rows", "turned")}
    data = fp.dumps(arrays(lambda array: module.Tensor.of(d, array), views, base))
    from ferropickle import _landing

    def no_devices():
        raise fp.DeviceError("none")

    _landing.device_ids = no_devices
    found = fp.loads(data, policy=fp.Policy(on_missing="host"))
    for name, view in views.items():
        assert not found[name].is_cuda
        np.testing.assert_array_equal(found[name].twin, view, err_msg=name)


@on_driver()
def test_what_tensors_have_besides_elements(d):
    d.context()
    module = stand_ins.torch(d)
    plain = module.Tensor.of(d, np.arange(4, dtype="<f4"))
    wants = module.Tensor.of(d, np.arange(4, dtype="<f4")).requires_grad_()
    frozen = module.nn.Parameter(module.Tensor.of(d, np.arange(3, dtype="<f4")), False)
    named = type("Named", (module.Tensor,), {})(plain.memory, plain.twin)
    named.name, named.again = "weights", plain
    sent = (plain, wants, frozen, module.nn.Parameter(plain, True), named)
    plain, wants, frozen, trained, named = fp.loads(fp.dumps(sent))
    assert (type(named).__name__, named.name) == ("Named", "weights")
    assert named.again is plain
    assert named.address == trained.address == plain.address
    assert [t.requires_grad for t in (plain, wants, frozen, trained)] == [False, True, False, True]
    assert type(frozen) is type(trained) is module.nn.Parameter
    np.testing.assert_array_equal(host(frozen.produced()), np.arange(3))
