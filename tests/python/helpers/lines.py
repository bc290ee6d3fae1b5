"""Channels that keep arrays on their device, to a function of a test file in another process."""

import ctypes
import gc
import os

import numpy as np

import ferropickle as fp
from helpers.cuda import REAL, Driver, Peer

AUTO = fp.Policy(device="auto")


def base(n=1 << 16):
    return np.arange(n, dtype="<f4")


class Line:
    """A channel to a function of this file in another process, as a context manager."""

    def __init__(self, function, *, address=None, capacity=None, **settings):
        self.address = address or f"/tmp/fp-test-{os.getpid()}"
        self.listener = fp.Channel.listen(self.address, authkey=b"key", capacity=capacity)
        self.peer = Peer(function, **settings)

    def __enter__(self):
        self.peer.__enter__()
        self.peer.send(repr(self.listener.address).encode())
        self.channel = self.listener.accept(timeout=60)
        return self

    def send(self, obj, policy=AUTO):
        self.channel.send(obj, timeout=60, policy=policy)

    def recv(self):
        return self.channel.recv(timeout=60)

    def ask(self, obj, policy=AUTO):
        """Send an object; the answer to it."""
        self.send(obj, policy)
        return self.recv()

    def __exit__(self, *raised):
        self.channel.close()
        self.listener.close()
        self.peer.__exit__(*raised)


def connected(other):
    address = eval(other.receive().decode())
    return fp.Channel.connect(address, authkey=b"key")


def how(array):
    """How an array came: as memory of the sender's, or as bytes."""
    address = array.__cuda_array_interface__["data"][0]
    # Plain allocations alone have such a handle: mapped memory has none.
    status = Driver().status("cuIpcGetMemHandle", (ctypes.c_char * 64)(), address)
    return "arena" if status else "host"


def shared(d):
    """How much memory of other processes, or for them, this one has; a real driver does not say."""
    gc.collect()
    if REAL:
        return [0, 0, 0]
    live = d.report()["live"]
    return [live.get(kind, 0) for kind in ("mapped", "handles", "reservations")]


def left(d):
    """Descriptors, and bytes in use on the device; a real driver has descriptors of its own."""
    gc.collect()
    return None if REAL else (len(os.listdir("/proc/self/fd")), d.report()["bytes"])


def careful(d):
    """Whether no mistake was made that the simulated driver has seen."""
    return REAL or d.violations() == []
