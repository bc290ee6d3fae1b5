"""The CUDA driver by ctypes, and tests that run on it, each in a process of its own.

The driver is the simulated one in `tests/cudasim`, or with FERROPICKLE_DRIVER=real the machine's.
"""

import ctypes
import functools
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from helpers.subprocs import environment

ROOT = Path(__file__).resolve().parents[3]
REAL = os.environ.get("FERROPICKLE_DRIVER") == "real"
NEWEST = "13.2"


@functools.cache
def installed():
    """Build and install the simulated driver; its folder, or skip where there is no way to."""
    import pytest  # not in the processes that tests start: it takes longer than they do

    folder = ROOT / "target" / "cudasim"
    if not sys.platform.startswith("linux"):
        pytest.skip("the simulated driver needs Linux")
    if shutil.which("cargo"):
        command = ["cargo", "run", "--locked", "--quiet", "-p", "ferropickle-cudasim", "--", folder]
        subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    elif not (folder / NEWEST).exists():
        pytest.skip("there is no cargo to build the simulated driver with")
    return folder


def on_driver(*, simulated=False, profile=NEWEST, **settings):
    """Make a test of a function that takes a `Driver`: it runs in a process of its own.

    `simulated` says that no real driver shows what is tested. Settings are the simulator's
    variables: `devices=2` sets CUDASIM_DEVICES.
    """

    def decorate(body):
        def test():
            if REAL and simulated:
                import pytest

                pytest.skip("shows what only the simulated driver does")
            run_child(body, profile, settings)

        test.body = body
        test.__name__, test.__doc__ = body.__name__, body.__doc__
        test.__module__ = body.__module__
        return test

    return decorate


def child_environment(profile=NEWEST, **settings):
    """The environment of a process that is to find the driver."""
    env = environment()
    if not REAL:
        env["LD_LIBRARY_PATH"] = str(installed() / profile)
        env.update({f"CUDASIM_{name.upper()}": str(value) for name, value in settings.items()})
    return env


def run_child(body, profile, settings, timeout=100):
    """Run the function of a test in a new process."""
    code = "import sys; from helpers.cuda import child; child(*sys.argv[1:])"
    command = [sys.executable, "-c", code, body.__code__.co_filename, body.__name__]
    env = child_environment(profile, **settings)
    done = subprocess.run(command, capture_output=True, timeout=timeout, env=env)
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"exit status {done.returncode}\n{text[-4000:]}")


def child(path, name):
    """In the new process: run the function `name` of the test file at `path`."""
    body = getattr(load(path), name)
    body = getattr(body, "body", body)
    if body.__code__.co_argcount:
        driver = Driver()
        driver.cuInit(0)
        body(driver)
    else:
        body()


class Failed(Exception):
    """A driver function gave a status other than success."""

    def __init__(self, call, status):
        super().__init__(f"{call} gave {status}")
        self.status = status


class Peer:
    """A function of a test file, run in a second process with the driver started.

    The function takes the driver and one end of a pipe. As a context manager it gives the other
    end, and fails if the process does.
    """

    def __init__(self, function, **settings):
        self.function, self.settings = function, settings

    def __enter__(self):
        self.here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = "import sys; from helpers.cuda import peer; peer(*sys.argv[1:])"
        path, name = self.function.__code__.co_filename, self.function.__name__
        command = [sys.executable, "-c", code, path, name, str(there.fileno())]
        env = {**os.environ}
        env.update({f"CUDASIM_{key.upper()}": str(value) for key, value in self.settings.items()})
        self.process = subprocess.Popen(command, pass_fds=[there.fileno()], env=env)
        there.close()
        return self

    def send(self, data, descriptors=()):
        """Send bytes, with open files."""
        socket.send_fds(self.here, [data], descriptors)

    def receive(self, descriptors=0):
        """Receive bytes, and open files where some are asked for."""
        data, received, _, _ = socket.recv_fds(self.here, 4096, descriptors)
        return (data, *received) if descriptors else data

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def __exit__(self, kind, value, traceback):
        self.here.close()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if kind is None:
            assert status in (0, -9), f"the other process gave {status}"


def load(path):
    """The test file at `path`, as a module."""
    spec = importlib.util.spec_from_file_location("child_of_test", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["child_of_test"] = module
    spec.loader.exec_module(module)
    return module


def peer(path, name, descriptor):
    """In the second process: run the function `name` of the test file at `path`."""
    other = Peer.__new__(Peer)
    other.here = socket.socket(fileno=int(descriptor))
    driver = Driver()
    driver.cuInit(0)
    getattr(load(path), name)(driver, other)


class Driver:
    """Driver functions as methods: `d.cuMemAlloc_v2(out, 64)`. A status but 0 is a `Failed`."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def call(*args):
            # A number as 64 bits does for narrower parameters too.
            wide = [ctypes.c_uint64(a & (1 << 64) - 1) if isinstance(a, int) else a for a in args]
            status = function(*wide)
            if status:
                raise Failed(name, status)

        return call

    def status(self, name, *args):
        """The status that a call gives."""
        try:
            getattr(self, name)(*args)
        except Failed as failed:
            return failed.status
        return 0

    def get(self, name, *args, kind=ctypes.c_uint64):
        """Call a function whose first parameter is where the result goes; the result."""
        value = kind()
        getattr(self, name)(ctypes.byref(value), *args)
        return value.value if hasattr(value, "value") else value

    # ---- what most tests need ------------------------------------------------------------------

    def context(self, device=0):
        """Make the primary context of a device current, and give it."""
        context = self.get("cuDevicePrimaryCtxRetain", device)
        self.cuCtxSetCurrent(context)
        return context

    def alloc(self, size):
        return self.get("cuMemAlloc_v2", size)

    def put(self, address, data):
        """Copy bytes to the device, and wait."""
        self.cuMemcpyHtoD_v2(address, ctypes.c_char_p(bytes(data)), len(data))
        self.cuCtxSynchronize()

    def read(self, address, size):
        """Copy bytes from the device."""
        into = ctypes.create_string_buffer(size)
        self.cuMemcpyDtoH_v2(into, address, size)
        return into.raw

    def stream(self, flags=0):
        return self.get("cuStreamCreate", flags)

    def event(self, flags=2):
        return self.get("cuEventCreate", flags)

    def pinned(self, size):
        """Locked host memory, as a ctypes array."""
        return (ctypes.c_char * size).from_address(self.get("cuMemHostAlloc", size, 0))

    def attribute(self, address, number, kind=ctypes.c_uint64):
        value = kind()
        self.cuPointerGetAttribute(ctypes.byref(value), number, address)
        return value.value

    # ---- of the simulated driver alone ---------------------------------------------------------

    def control(self, command):
        """Tell the simulated driver something; see tests/cudasim/README.md."""
        assert self.library.cudasim_control(command.encode()) == 0

    def report(self):
        """What the simulated driver has seen: calls, copies, live objects, violations."""
        room = self.library.cudasim_report(None, 0) + (1 << 16)
        text = ctypes.create_string_buffer(room)
        self.library.cudasim_report.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        assert self.library.cudasim_report(text, room) <= room
        return json.loads(text.value)

    def violations(self):
        return self.report()["violations"]
