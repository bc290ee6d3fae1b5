"""What kernels of any library go by: names, text, one object per process. No library is needed."""

import functools
import gc
import inspect
import linecache
import pickle
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

import ferropickle as fp
from ferropickle.reducers._forms import Call
from ferropickle.reducers._kernels import named, stream, with_text
from ferropickle.reducers._once import once
from helpers.subprocs import environment

# A library whose kernels are compiled from the text of a function.
LIBRARY = """
import inspect

class Kernel:
    def __init__(self, function):
        self.function = function
        self.lines, self.first = inspect.getsourcelines(function)
    def __reduce__(self):
        raise TypeError("it is compiled")

def kernel(function):
    return Kernel(function)
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The library, importable here and in other processes."""
    (tmp_path / "fp_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import fp_library

    yield fp_library
    del sys.modules["fp_library"]


def dumps(obj, library):
    """The object, with kernels of the library as those of real ones."""

    def reduce(kernel):
        known = named(kernel, kernel.function, None, ("function",))
        text = with_text(kernel.function, (kernel.lines, kernel.first))
        return known or once(kernel, Call(library.kernel, text))

    policy = fp.Policy(reducers={library.Kernel: reduce}, require_stock=True)
    return fp.dumps(obj, policy=policy)


def elsewhere(data, check):
    """Run code on what plain pickle loads in a process that has the library and nothing else."""
    code = "import pickle, sys\nobj = pickle.loads(sys.stdin.buffer.read())\n"
    code = "import sys\nsys.modules['ferropickle'] = None\n" + code + textwrap.dedent(check)
    env = environment(PYTHONPATH=str(sys.modules["fp_library"].__file__.rpartition("/")[0]))
    done = subprocess.run([sys.executable, "-c", code], input=data, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def user(folder, text):
    """Names of a program that has been run."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    names = {"__name__": "__main__"}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


def gone(folder):
    """The file of the program is not there any more."""
    (folder / "program.py").unlink()
    linecache.clearcache()


PROGRAM = """
    from fp_library import kernel

    FACTOR = 3


    @kernel
    def scale(x, y=2):
        'Scales.'
        return x * y * FACTOR  # with a remark
"""


def test_the_text_goes_along_with_its_lines(library, tmp_path):
    made = user(tmp_path, PROGRAM)["scale"]
    assert made.first == 7
    gone(tmp_path)
    elsewhere(
        dumps(made, library),
        """
        import inspect, linecache, traceback
        assert obj.function(5) == 30 and obj.function.__doc__ == "Scales."
        assert obj.first == 7, obj.first
        assert obj.lines[0] == "@kernel\\n" and "# with a remark" in obj.lines[-1]
        assert obj.function.__code__.co_filename.startswith("<kernel scale ")
        linecache.checkcache()
        assert inspect.getsource(obj.function) == "".join(obj.lines)
        try:
            obj.function(None, None)
        except TypeError as error:
            (*_, frame) = traceback.extract_tb(error.__traceback__)
        assert (frame.lineno, frame.line[:17]) == (10, "return x * y * FA"), frame
        """,
    )


def test_a_file_of_the_same_name_is_not_taken_for_it(library, tmp_path):
    made = user(tmp_path, PROGRAM)["scale"]
    (tmp_path / "program.py").write_text("# another program\n" * 20)
    elsewhere(
        dumps(made, library),
        f"""
        import linecache
        assert "Scales." in "".join(obj.lines)
        path = {str(tmp_path / "program.py")!r}
        assert linecache.getline(path, 7) == "# another program\\n"
        """,
    )


def test_closures_defaults_and_attributes_of_the_function_stay(library, tmp_path):
    names = user(
        tmp_path,
        """
        import fp_library

        def make(n):
            def inner(x: int, *, k: "text" = 7) -> float:
                return x + n + k
            inner.mark = "mark"
            return fp_library.kernel(inner)
        """,
    )
    elsewhere(
        dumps(names["make"](100), library),
        """
        function = obj.function
        assert function(1) == 108 and function(1, k=2) == 103
        assert function.__annotations__ == {"x": int, "k": "text", "return": float}
        assert (function.mark, function.__qualname__) == ("mark", "make.<locals>.inner")
        assert function.__module__ == "__main__"
        """,
    )


def test_a_kernel_is_made_once(library, tmp_path):
    made = user(tmp_path, PROGRAM.replace("Scales", "Once"))["scale"]
    first, second = dumps({"kernel": made}, library), dumps([made, made], library)
    elsewhere(
        pickle.dumps([first, second]),
        """
        import fp_library, gc, weakref
        first, second = obj
        made = []
        init = fp_library.Kernel.__init__
        kernel = pickle.loads(first)["kernel"]
        again = pickle.loads(second)
        assert again[0] is again[1] is kernel
        for _ in range(100):
            assert pickle.loads(first)["kernel"] is kernel
        # It is not kept for its own sake.
        kept = weakref.ref(kernel)
        del kernel, again
        gc.collect()
        assert kept() is None
        assert pickle.loads(first)["kernel"].first == 7
        """,
    )
    assert pickle.loads(first)["kernel"] is made


def test_a_digest_tells_kernels_apart(library):
    one, other = library.Kernel(user), library.Kernel(user)

    def reduce(kernel):
        return once(kernel, Call(library.Kernel, user), key=f"digest of {kernel.first}")

    policy = fp.Policy(reducers={library.Kernel: reduce})
    assert fp.loads(fp.dumps(one, policy=policy)) is one
    assert fp.loads(fp.dumps(other, policy=policy)) is one
    other.first = 0
    assert fp.loads(fp.dumps(other, policy=policy)) is other


def test_the_same_kernel_of_two_processes_is_one(library, tmp_path):
    """The key is a digest of what the kernel is made of."""
    program = f"""
        import sys
        sys.path[:0] = {[str(Path(fp.__file__).parents[1]), str(Path(__file__).parent)]!r}
        import pathlib
        import fp_library, test_kernel_forms as forms
        made = forms.user(pathlib.Path({str(tmp_path)!r}), forms.PROGRAM.replace("3", sys.argv[1]))
        sys.stdout.buffer.write(forms.dumps(made["scale"], fp_library))
        """

    def sent(factor):
        command = [sys.executable, "-c", textwrap.dedent(program), factor]
        done = subprocess.run(command, capture_output=True, env=environment(), check=True)
        return done.stdout

    one, same, other = sent("3"), sent("3"), sent("4")
    assert one == same
    elsewhere(
        pickle.dumps([one, same, other]),
        """
        one, same, other = map(pickle.loads, obj)
        assert one is same and one is not other
        assert (one.function(1), other.function(1)) == (6, 8)
        """,
    )


def recursive(library):
    """A kernel whose function closes over it."""

    def inner(x):
        return (outer, x)

    outer = library.Kernel(inner)
    return outer


def test_a_kernel_that_has_itself_in_it(library):
    def reduce(kernel):
        return once(kernel, Call(library.Kernel, kernel.function))

    kernel = recursive(library)
    data = fp.dumps(kernel, policy=fp.Policy(reducers={library.Kernel: reduce}))
    assert fp.loads(data) is kernel
    del kernel
    gc.collect()
    found = fp.loads(data)
    assert found.function(1) == (found, 1)


def test_what_a_kernel_is_made_of_cannot_be_pickled(library):
    made = library.Kernel(user)

    def reduce(kernel):
        return once(kernel, Call(library.Kernel, sys._getframe()))

    policy = fp.Policy(reducers={library.Kernel: reduce})
    with pytest.raises(fp.PicklingError, match=r"^obj\['key'\]"):
        fp.dumps({"key": made}, policy=policy)


def test_names(library):
    module = types.ModuleType("fp_named")
    sys.modules["fp_named"] = module
    try:
        exec("def f(): pass\nclass K:\n def g(self): pass\n", vars(module))
        f, g = module.f, module.K.g
        module.f = library_kernel = types.SimpleNamespace(function=f)
        outer = types.SimpleNamespace(function=types.SimpleNamespace(function=g))
        module.K.g = outer
        links = ("function",)
        for obj, function in ((library_kernel, f), (outer, g), (outer.function, g)):
            found = named(obj, function, None, links)
            call, args = found
            assert call(*(fp.loads(fp.dumps(arg)) for arg in args)) is obj
        # The name leads elsewhere, or nowhere.
        assert named(types.SimpleNamespace(function=f), f, None, links) is None
        assert named(library_kernel, g, None, links) is None
        f.__qualname__ = "absent"
        assert named(library_kernel, f, None, links) is None
        g.__module__ = None
        assert named(outer, g, None, links) is None
        f.__qualname__ = "f"
        by_value = fp.Policy(by_value="fp_named")
        assert named(library_kernel, f, by_value, links) is None
    finally:
        del sys.modules["fp_named"]


def test_a_function_without_text_is_refused(library, tmp_path):
    names = {"__name__": "__main__"}
    exec("def f(): pass", names)
    with pytest.raises(fp.PicklingError, match="its source is not known here"):
        with_text(names["f"])
    partial = functools.partial(int)
    assert with_text(partial) is partial


def test_the_function_of_the_sender_is_left_alone(library, tmp_path):
    made = user(tmp_path, PROGRAM)["scale"]
    code = made.function.__code__
    dumps(made, library)
    assert made.function.__code__ is code
    assert code.co_filename == str(tmp_path / "program.py")


@pytest.mark.parametrize(("address", "result"), [(0, "legacy"), (1, "legacy"), (2, "own")])
def test_default_streams(address, result):
    assert stream(object(), address, "legacy", "own") == result


def test_other_streams():
    with pytest.raises(fp.PicklingError, match="a stream is a handle of this process"):
        stream(object(), 3, "legacy", "own")


def test_text_that_is_read_when_it_is_dumped(library):
    text = pickle.loads(fp.dumps(with_text(elsewhere)))
    assert text.__code__.co_filename.startswith("<kernel elsewhere ")
    assert inspect.getsource(text) == inspect.getsource(elsewhere)
    # Sent on, it is read from what the first load has entered.
    again = pickle.loads(fp.dumps(with_text(text)))
    assert inspect.getsourcelines(again) == inspect.getsourcelines(elsewhere)
    assert again.__code__.co_filename == text.__code__.co_filename
