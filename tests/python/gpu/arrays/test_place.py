"""On which device arrays land."""

import pickle

import numpy as np
import pytest

import ferropickle as fp
from helpers.cuda import on_driver
from helpers.producers import Placed

UUIDS = [f"GPU-{digit * 8}-0000-0000-0000-000000000000" for digit in "1234"]
NOWHERE = "GPU-99999999-0000-0000-0000-000000000000"


def stream_of(d, ordinal):
    d.context(ordinal)
    return fp.dumps({"array": Placed(d, np.arange(10)).produce()})


def landed(data, **choices):
    return fp.loads(data, policy=fp.Policy(**choices))["array"].device


@on_driver(uuids=",".join(UUIDS), simulated=True)
def test_arrays_land_where_they_were_or_where_the_policy_says(d):
    data = stream_of(d, 2)
    assert fp.loads(data)["array"].device == UUIDS[2]
    assert landed(data, place="sender") == UUIDS[2]
    assert landed(data, place=1) == UUIDS[1]
    assert landed(data, place=UUIDS[3]) == UUIDS[3]
    assert landed(data, place=UUIDS[3].upper().replace("GPU", "MIG")) == UUIDS[3]
    assert landed(data, place={UUIDS[2]: 0}) == UUIDS[0]
    assert landed(data, place={UUIDS[1]: 0}) == UUIDS[2]
    assert landed(data, place=lambda sender: UUIDS.index(sender) + 1) == UUIDS[3]
    with fp.policy(place=1):
        assert fp.loads(data)["array"].device == UUIDS[1]
    assert pickle.loads(data)["array"].device == UUIDS[0]


@on_driver(uuids=",".join(UUIDS), simulated=True)
def test_each_array_of_a_stream_has_its_own_device(d):
    arrays = []
    for ordinal in (3, 0, 3, 1):
        d.context(ordinal)
        arrays.append(Placed(d, np.full(5, ordinal)).produce())
    found = fp.loads(fp.dumps(arrays))
    assert [array.device for array in found] == [UUIDS[i] for i in (3, 0, 3, 1)]
    assert [array.get()[0] for array in found] == [3, 0, 3, 1]


@on_driver(uuids=",".join(UUIDS), simulated=True)
def test_places_that_are_not_here_are_errors(d):
    data = stream_of(d, 0)
    for place, text in [(4, "no device 4"), (NOWHERE, "does not see"), ({UUIDS[0]: -1}, "-1")]:
        with pytest.raises(fp.DeviceError, match=text):
            landed(data, place=place)
    with pytest.raises(TypeError, match="place must be"):
        landed(data, place=1.5)


@on_driver(uuids=",".join(UUIDS[:2]), simulated=True)
def test_a_device_that_is_not_here_is_the_current_one(d):
    data = stream_of(d, 0).replace(UUIDS[0].encode(), NOWHERE.encode())
    assert fp.loads(data)["array"].device == UUIDS[0]


@on_driver(uuids=",".join(UUIDS[:2]), simulated=True)
def test_the_callers_device_stays_current(d):
    d.context(1)
    before = d.get("cuCtxGetCurrent")
    data = fp.dumps(Placed(d, np.arange(10)).produce())
    fp.loads(data, policy=fp.Policy(place=0))
    assert d.get("cuCtxGetCurrent") == before


def test_a_policy_has_its_choices_of_devices():
    chosen = fp.Policy(device="device", place={"GPU-1": 2}, on_missing="host")
    assert (chosen.device, chosen.place, chosen.on_missing) == ("device", {"GPU-1": 2}, "host")
    assert pickle.loads(pickle.dumps(chosen)) == chosen != fp.Policy()
    assert "on_missing='host'" in repr(chosen)
    for wrong in ({"device": "gpu"}, {"on_missing": "ignore"}):
        with pytest.raises(ValueError, match="must be one of"):
            fp.Policy(**wrong)
