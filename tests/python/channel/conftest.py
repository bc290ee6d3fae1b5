"""Fixtures of the channel tests: pairs, addresses, and a look at what is left behind."""

import gc
import os

import pytest

import ferropickle as fp


def descriptors():
    """The open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def segments():
    """The names of our segments in shared memory."""
    return sorted(name for name in os.listdir("/dev/shm") if name.startswith("ferropickle-"))


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No test leaves a descriptor, or a name in shared memory."""
    gc.collect()
    before = descriptors(), segments()
    yield
    gc.collect()
    assert (descriptors(), segments()) == before


@pytest.fixture(params=["shared memory", "socket alone"])
def pair(request):
    """Both ends of a channel, with shared memory and without."""
    ends = fp.Channel.pair(capacity=64 << 20 if request.param == "shared memory" else 0)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path):
    """An address to listen at."""
    return str(tmp_path / "socket") if request.param == "unix" else ("127.0.0.1", 0)
