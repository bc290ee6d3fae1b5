"""Objects of other libraries that go from one process to another; each has a time limit."""

import functools
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.subprocs import environment

LIMIT = 100


def travels(*needs, stock=True, driver=None, simulated=False, sender=None, receiver=None):
    """Make a test of a generator function that yields an object once.

    One process runs it as far as that, and dumps what is yielded. A second one runs it again and
    goes on with what it has loaded. The first one's file is gone by then, so nothing is found in
    it. The names of the file are those of `__main__` in both.

    needs: packages, without which the test is skipped.
    stock: the second process loads with plain `pickle`, and cannot import ferropickle.
    driver: a version of the simulated driver that both are to find; with FERROPICKLE_DRIVER=real
        they find the machine's.
    simulated: the test shows what only the simulated driver does.
    sender, receiver: what their environment has besides.
    """

    def decorate(body):
        @functools.wraps(body)
        def test():
            if simulated and os.environ.get("FERROPICKLE_DRIVER") == "real":
                import pytest

                pytest.skip("shows what only the simulated driver does")
            need(*needs)
            run(body, stock, driver, sender or {}, receiver or {})

        del test.__wrapped__
        test.body = body
        return test

    return decorate


def need(*packages):
    """Skip the test where a package is not installed."""
    import pytest

    for package in packages:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{package} is not installed: make test-gpu-peers")


def run(body, stock, driver, sender, receiver):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stream.pickle")
        copy = Path(folder, Path(body.__code__.co_filename).name)
        shutil.copy(body.__code__.co_filename, copy)
        form = "stock" if stock else "library"
        child(copy, body.__name__, "send", form, path, driver, sender)
        copy.unlink()
        child(body.__code__.co_filename, body.__name__, "receive", form, path, driver, receiver)


def child(file, name, side, form, path, driver, settings):
    """Run one side of a test in a process of its own."""
    env = environment()
    if driver is not None:
        from helpers.cuda import child_environment

        env = child_environment(driver)
    env.update(settings)
    code = (
        "import sys\n"
        "with open(sys.argv[1]) as file: text = file.read()\n"
        "exec(compile(text, sys.argv[1], 'exec'))\n"
        "from helpers.travel import side\n"
        "side(globals(), *sys.argv[2:])\n"
    )
    command = [sys.executable, "-c", code, str(file), name, side, form, str(path)]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, env=env)
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"{side}: exit status {done.returncode}\n{text[-4000:]}")


def side(names, name, which, form, path):
    """What a process does."""
    if which == "send" or form == "library":
        import ferropickle as fp
    steps = names[name].body()
    made = next(steps)
    if which == "send":
        policy = fp.Policy(require_stock=form == "stock")
        Path(path).write_bytes(fp.dumps(made, policy=policy))
    else:
        data = Path(path).read_bytes()
        if form == "stock":
            sys.modules["ferropickle"] = None
            loaded = pickle.loads(data)
        else:
            loaded = fp.loads(data)
        try:
            steps.send(loaded)
        except StopIteration:
            pass
        else:
            raise AssertionError("the test yields more than once")
    sys.stdout.flush()
    sys.stderr.flush()
    # Drivers and libraries may not end well where there is no device.
    os._exit(0)
