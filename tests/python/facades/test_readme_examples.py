"""The calls that the readme pages of cloudpickle and dill show, with only the import changed."""

import io
import pickle
import re
import sys

import pytest

from helpers.subprocs import run_python

CLOUDPICKLE = "from ferropickle.compat import cloudpickle\n"
DILL = "from ferropickle.compat import dill\n"


def shell(*inputs):
    """Run the inputs as a Python shell would, each in `__main__`; what it printed."""
    code = "import code, sys\nshell = code.InteractiveConsole(vars(sys.modules['__main__']))\n"
    code += (
        f"for text in {list(inputs)!r}:\n    assert not shell.push(text) or not shell.push('')\n"
    )
    code += "print('done')\n"
    said = run_python(code)
    assert said.endswith("done\n")
    return said


class TestCloudpickle:
    def test_a_lambda(self):
        said = shell(
            "from ferropickle.compat import cloudpickle",
            "squared = lambda x: x ** 2",
            "pickled_lambda = cloudpickle.dumps(squared)",
            "import pickle",
            "new_squared = pickle.loads(pickled_lambda)",
            "print(new_squared(2))",
        )
        assert said == "4\ndone\n"

    def test_a_function_of_the_shell(self):
        said = shell(
            "from ferropickle.compat import cloudpickle",
            "import pickle",
            "CONSTANT = 42",
            "def my_function(data: int) -> int:\n    return data + CONSTANT\n",
            "pickled_function = cloudpickle.dumps(my_function)",
            "depickled_function = pickle.loads(pickled_function)",
            "from inspect import signature",
            "print(depickled_function.__module__, signature(depickled_function))",
            "print(depickled_function(43))",
        )
        assert said == "__main__ (data: int) -> int\n85\ndone\n"

    def test_a_module_by_value(self, project):
        from ferropickle.compat import cloudpickle

        cloudpickle.register_pickle_by_value(project)
        by_value = cloudpickle.dumps(project.top)
        cloudpickle.unregister_pickle_by_value(project)
        by_name = cloudpickle.dumps(project.top)
        load = "import pickle, sys; function = pickle.load(sys.stdin.buffer); print(function())"
        assert run_python(load, stdin=by_value) == "top\n"
        with pytest.raises(AssertionError, match="No module named 'fp_project'"):
            run_python(load, stdin=by_name)

    def test_an_import_in_a_function_by_value(self, project):
        """Which needs the other module in the receiver."""
        from ferropickle.compat import cloudpickle

        exec(
            "def f():\n    from fp_project.inner import deep\n    return deep() + '!'",
            vars(project),
        )
        cloudpickle.register_pickle_by_value(project)
        try:
            data = cloudpickle.dumps(project.f)
        finally:
            cloudpickle.unregister_pickle_by_value(project)
        assert pickle.loads(data)() == "deep!"


class TestDill:
    def test_in_the_place_of_pickle(self):
        from ferropickle.compat import dill as pickle

        data = {"a": [1, 2]}
        assert pickle.loads(pickle.dumps(data)) == data
        file = io.BytesIO()
        pickle.dump(data, file)
        file.seek(0)
        assert pickle.load(file) == data

    def test_dumps_and_loads(self):
        from ferropickle.compat.dill import dumps, loads

        squared = lambda x: x**2
        assert loads(dumps(squared))(3) == 9

    def test_options_of_a_call(self, tmp_path):
        from ferropickle.compat import dill

        function = lambda x: x + 1
        for options in (
            {"protocol": 2},
            {"byref": True},
            {"recurse": True},
            {"fmode": dill.CONTENTS_FMODE},
        ):
            assert dill.loads(dill.dumps(function, **options), ignore=False)(1) == 2
        path = tmp_path / "file"
        path.write_text("contents")
        with open(path) as file:
            data = dill.dumps(file, fmode=dill.FILE_FMODE)
        path.unlink()
        with dill.loads(data) as copied:
            assert copied.read() == "contents"

    def test_settings_for_the_process(self):
        run_python("""
            import ferropickle.compat.dill.settings
            from ferropickle.compat import dill
            from ferropickle.compat.dill import dumps
            FACTOR = 3
            def absolute(x):
                return abs(x) * FACTOR
            assert dumps(absolute) != dumps(absolute, recurse=True)
            dill.settings["recurse"] = True
            assert dumps(absolute) == dumps(absolute, recurse=True)
        """)

    def test_source(self, tmp_path):
        script = tmp_path / "squares.py"
        script.write_text("squared = lambda x:x**2\n")
        code = """
            import sys
            sys.path.insert(0, sys.argv[1])
            import ferropickle.compat.dill.source
            from ferropickle.compat import dill
            from squares import squared
            print(dill.source.getsource(squared))
        """
        assert run_python(code, tmp_path).strip() == "squared = lambda x:x**2"

    def test_trace(self, capsys):
        import ferropickle.compat.dill.detect
        from ferropickle.compat import dill

        squared = eval("lambda x: x**2", {})
        with ferropickle.compat.dill.detect.trace():
            dill.dumps(squared)
        lines = capsys.readouterr().err.splitlines()
        assert re.match(r"┬ F\d?: <function <lambda> at 0x\w+>$", lines[0])
        assert any(re.match(r"│?├┬ \w+: <", line) for line in lines)
        assert re.match(r"└ # F\d? \[\d+ B\]$", lines[-1])

    def test_a_session(self, tmp_path):
        session = tmp_path / "session.pkl"
        save = """
            import sys
            from ferropickle.compat import dill
            import math
            numbers = [1, 2]
            def area(r):
                return math.pi * r**2
            class Shape:
                sides = len(numbers)
            shape = Shape()
            dill.dump_session(sys.argv[1])
        """
        load = """
            import sys
            from ferropickle.compat import dill
            dill.load_session(sys.argv[1])
            print(numbers, round(area(1), 2), shape.sides, type(shape) is Shape)
        """
        run_python(save, session)
        assert run_python(load, session) == "[1, 2] 3.14 2 True\n"
        assert sys.modules["__main__"].__dict__.get("numbers") is None

    def test_the_listed_types(self):
        """What the page lists as taken, and as not: a frame, a generator that has begun."""
        from ferropickle.compat import dill

        class Own(type):
            pass

        taken = [
            None, int, True, 1, 1.5, 2j, b"b", "s", (1,), [1], {1: 2}, bytearray(b"b"), len,
            {1}, frozenset([1]), ValueError("v"), Own("Made", (), {"a": 1}),
            (lambda: 0).__code__, (lambda x: lambda: x)(1).__closure__[0], [].append,
            type("C", (), {"m": lambda self: 1})().m, pickle, int.__add__, (1).__add__,
            str.upper, type.__dict__["__module__"], vars(int), slice(1), NotImplemented, ...,
        ]  # fmt: skip
        for obj in taken:
            assert dill.pickles(obj, exact=False), obj
        generator = iter_once()
        next(generator)
        for obj in (sys._getframe(), generator):
            with pytest.raises((TypeError, dill.PicklingError)):
                dill.dumps(obj)


def iter_once():
    yield 1
