"""What the package offers, and that it leaves the standard library's as it is.

What belongs here: names, contexts, start methods; nothing that needs more than one child.
"""

import importlib
import multiprocessing

import pytest

import ferropickle.multiprocessing as mp
from helpers.programs import run_program
from helpers.subprocs import run_python


def test_all_the_names_of_the_standard_library():
    assert set(multiprocessing.__all__) <= set(mp.__all__)
    for name in mp.__all__:
        assert getattr(mp, name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "context",
        "dummy",
        "managers",
        "pool",
        "process",
        "queues",
        "reduction",
        "shared_memory",
        "sharedctypes",
        "synchronize",
        "util",
    ],
)
def test_the_public_names_of_submodules(name):
    ours = importlib.import_module(f"ferropickle.multiprocessing.{name}")
    theirs = importlib.import_module(f"multiprocessing.{name}")
    for public in getattr(theirs, "__all__", ()):
        # Some lists are longer than what is there, and some name what passes descriptors about.
        if hasattr(theirs, public) and public not in {"DupFd", "recvfds", "sendfds"}:
            assert hasattr(ours, public), public


def test_contexts():
    for method in multiprocessing.get_all_start_methods():
        context = mp.get_context(method)
        assert context.get_start_method() == method
        assert isinstance(context, type(multiprocessing.get_context(method)))
        assert context.get_context() is context
        assert context.get_context(method) is context
    assert mp.get_all_start_methods() == multiprocessing.get_all_start_methods()
    with pytest.raises(ValueError, match="cannot find context for 'teleport'"):
        mp.get_context("teleport")


def test_the_default_method_is_the_platforms_and_can_be_set_once():
    run_python(
        """
        import multiprocessing
        import ferropickle.multiprocessing as mp
        theirs = multiprocessing.get_context().get_start_method()
        assert mp.get_start_method() == theirs
        mp.set_start_method("spawn", force=True)
        assert mp.get_start_method() == "spawn" and mp.get_context().get_start_method() == "spawn"
        assert multiprocessing.get_start_method() == theirs
        try:
            mp.set_start_method("spawn")
        except RuntimeError:
            pass
        else:
            raise AssertionError("set twice")
        """
    )


def test_nothing_of_the_standard_library_changes():
    """But for entries in its registries: of reducers, and of the managers' serializers."""
    run_python(
        """
        import importlib, pickle, sys
        names = ["", ".connection", ".context", ".managers", ".pool", ".process", ".queues"]
        names += [".reduction", ".spawn", ".synchronize", ".util"]
        modules = [importlib.import_module("multiprocessing" + name) for name in names]
        import concurrent.futures.process as futures
        modules += [futures, pickle]

        def state():
            found = {}
            for module in modules:
                for name, value in vars(module).items():
                    found[module.__name__, name] = id(value)
                    if isinstance(value, type):
                        for key, part in vars(value).items():
                            found[module.__name__, name, key] = id(part)
            return found

        before = state()
        reducers = dict(modules[7].ForkingPickler._extra_reducers)
        import ferropickle.multiprocessing as mp
        for name in ["connection", "executor", "managers", "pool", "process", "queues"]:
            importlib.import_module("ferropickle.multiprocessing." + name)
        after = state()
        changed = {key for key in before if before[key] != after[key] and "__warn" not in key[-1]}
        assert not changed, changed
        now = modules[7].ForkingPickler._extra_reducers
        added = {kind.__module__ for kind in now.keys() - reducers}
        assert added == {"ferropickle.multiprocessing.connection"}, added
        """
    )


def test_importing_ferropickle_does_not_import_it():
    run_python(
        """
        import sys
        import ferropickle as fp
        fp.dumps(lambda: 1)
        assert "multiprocessing" not in sys.modules
        """
    )


def test_a_child_goes_on_with_the_method_that_made_it(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        def report(connection):
            answer = [package.get_start_method(), package.parent_process().pid]
            child = package.Process(target=lambda: connection.send(package.get_start_method()))
            child.start()
            child.join()
            connection.send(answer)

        if __name__ == "__main__":
            here, there = mp.Pipe()
            child = mp.Process(target=report, args=(there,))
            child.start()
            print(here.recv(), here.recv() == [sys.argv[1], os.getpid()])
            child.join()
            assert child.exitcode == 0
        """,
        method,
    )
    assert out == f"{method} True\n"


def test_the_default_process_class(method, tmp_path):
    out = run_program(
        tmp_path,
        """
        class Greeter(package.Process):
            def __init__(self, greet, queue):
                super().__init__(name="greeter")
                self.greet = greet
                self.queue = queue

            def run(self):
                self.queue.put((self.greet("you"), self.name, package.get_start_method()))

        if __name__ == "__main__":
            package.set_start_method(sys.argv[1])
            queue = package.SimpleQueue()
            greeter = Greeter(lambda name: f"hello {name}", queue)
            greeter.start()
            print(*queue.get())
            greeter.join()
            assert greeter.exitcode == 0
        """,
        method,
    )
    assert out == f"hello you greeter {method}\n"
