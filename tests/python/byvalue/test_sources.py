"""Source that is carried beside bytecode: what other versions run, what tracebacks show."""

import importlib
import linecache
import marshal
import pickle
import sys
import traceback
import types

import pytest

import ferropickle as fp
from ferropickle import _sources
from helpers.subprocs import run_python

SOURCE = '''
import contextlib

# Some comment.
def fails(n):
    """Has a docstring
    of two lines."""
    return (
        n
        + missing_one
    )


class Klass:
    @staticmethod
    @contextlib.contextmanager
    def managed(n):
        """A method's docstring
        of two lines."""
        yield n / 0  # a remark

    def private(self):
        n = self.__n
        return lambda: n.missing_two


def closure(n):
    @contextlib.contextmanager
    def inner():
        yield n.missing_three
    return inner


short = lambda n: n.missing_four
'''
# What is called, and the line that its traceback ends with.
CALLS = {
    "obj.fails(1)": "+ missing_one",
    "obj.Klass.managed(1).__enter__()": "yield n / 0  # a remark",
    "obj.Klass.private(obj)()": "return lambda: n.missing_two",
    "obj.closure(1)().__enter__()": "yield n.missing_three",
    "obj.inner().__enter__()": "yield n.missing_three",
    "obj.short(1)": "short = lambda n: n.missing_four",
}
# Runs the calls and prints what their tracebacks end with.
RUN = """
import pickle, sys, traceback
if {other}:
    sys.implementation.cache_tag = "cpython-399"
obj = pickle.loads(sys.stdin.buffer.read())
assert "ferropickle" not in sys.modules
for call in {calls}:
    try:
        eval(call)
    except (NameError, AttributeError, ZeroDivisionError) as error:
        print(traceback.extract_tb(error.__traceback__)[-1].line)
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes the module `fp_made` with a text, and gives it; the file goes with `remove`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "fp_made.py"

    class Made:
        @staticmethod
        def module(text):
            sys.modules.pop("fp_made", None)
            file.write_text(text)
            linecache.checkcache()
            importlib.invalidate_caches()
            return importlib.import_module("fp_made")

        remove = file.unlink
        path = str(file)

    yield Made
    sys.modules.pop("fp_made", None)
    linecache.cache.pop(str(file), None)


def written(module, **choices):
    """A stream with what is in the module, by value."""
    module.inner = module.closure(1)
    module._Klass__n = 0
    names = ["fails", "Klass", "closure", "inner", "short", "_Klass__n"]
    obj = types.SimpleNamespace(**{name: getattr(module, name) for name in names})
    return fp.dumps(obj, policy=fp.Policy(by_value="fp_made", **choices))


@pytest.mark.parametrize("other", [False, True], ids=["same version", "other version"])
def test_tracebacks_show_the_source(other, made):
    data = written(made.module(SOURCE), sources="always")
    made.remove()
    out = run_python(RUN.format(calls=list(CALLS), other=other), flags=["-S"], stdin=data)
    assert out.split("\n")[:-1] == list(CALLS.values())


def test_no_source_without_the_policy(made):
    data = written(made.module(SOURCE))
    assert b"missing_one\n" not in data
    made.remove()
    out = run_python(RUN.format(calls=["obj.fails(1)"], other=False), stdin=data)
    assert out == "\n"


def test_the_receivers_own_file_goes_before(made):
    data = written(made.module(SOURCE), sources="always")
    with open(made.path, "w") as file:
        file.write(SOURCE.replace("missing_one", "of_this_file"))
    out = run_python(RUN.format(calls=["obj.fails(1)"], other=False), stdin=data)
    assert out == "+ of_this_file\n"


@pytest.mark.parametrize(
    ("paths", "file"),
    [("drop", "<pickled "), ("relative", "fp_made.py"), ("keep", None)],
)
@pytest.mark.parametrize("other", [False, True], ids=["same version", "other version"])
def test_with_each_choice_of_paths(paths, file, other, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = written(made.module(SOURCE), sources="always", paths=paths)
    assert (made.path.encode() in data) is (paths == "keep")
    made.remove()
    monkeypatch.chdir("/")
    run = RUN.format(calls=list(CALLS), other=other) + "print(obj.fails.__code__.co_filename)"
    *lines, name = run_python(run, flags=["-S"], stdin=data).split("\n")[:-1]
    assert lines == list(CALLS.values())
    assert name.startswith(file or made.path)


def one(text, made):
    return made.module(text).fails


def last_line(function):
    try:
        function()
    except NameError as error:
        return traceback.extract_tb(error.__traceback__)[-1].line


def test_functions_of_one_file_in_several_streams(made, monkeypatch):
    """Each gets its lines, also after some were shown; a newer one goes before an older one."""
    monkeypatch.delitem(sys.modules["copyreg"].__dict__, "__ferropickle_sources__", raising=False)
    policy = fp.Policy(by_value="fp_made", sources="always")
    module = made.module("def low():\n    return a_low\n\ndef high():\n    return a_high\n")
    low, high = (fp.dumps(function, policy=policy) for function in (module.low, module.high))
    module = made.module("def low():\n    return b_low\n")
    newer = fp.dumps(module.low, policy=policy)
    made.remove()
    linecache.checkcache()
    assert last_line(pickle.loads(high)) == "return a_high"
    loaded = pickle.loads(low)
    assert last_line(loaded) == "return a_low"
    assert last_line(pickle.loads(newer)) == "return b_low"
    assert last_line(pickle.loads(high)) == "return a_high"


@pytest.mark.parametrize("entry", [(5, None, ["own\n"] * 9, "x"), (lambda: "own\n" * 9,)])
def test_entries_of_others_in_linecache_stay(entry, made):
    data = fp.dumps(
        made.module("def fails():\n    return missing\n").fails,
        policy=fp.Policy(by_value="fp_made", sources="always"),
    )
    made.remove()
    linecache.cache[made.path] = entry
    loaded = pickle.loads(data)
    assert linecache.cache[made.path] is entry
    assert last_line(loaded) == "own"


def test_lines_with_odd_characters(made):
    module = made.module("def fails():\n    '\x0c \\u2028 \x1c\x85'\n    return missing\n")
    data = fp.dumps(module.fails, policy=fp.Policy(by_value="fp_made", sources="always"))
    made.remove()
    assert last_line(pickle.loads(data)) == "return missing"


def test_inspect_finds_the_source(made):
    data = written(made.module(SOURCE), sources="always")
    made.remove()
    check = """
import inspect
for one in (obj.fails, obj.Klass.private, obj.closure):
    print(inspect.getsource(one))
"""
    out = run_python(RUN.format(calls=[], other=False) + check, stdin=data)
    parts = SOURCE.split("\n\n")
    functions = [parts[1].partition("# Some comment.\n")[2], parts[3], parts[4]]
    assert out.split() == " ".join(functions).split()


@pytest.mark.parametrize("protocol", [1, 2, 5])
def test_protocols(protocol):
    def function(a):
        return [a for _ in "ab"]

    data = fp.dumps([function, lambda: 1], protocol, policy=fp.Policy(sources="always"))
    first, second = pickle.loads(data)
    assert first(2) == [2, 2]
    assert second() == 1
    assert first.__code__.co_filename == __file__
    assert (data.count(_sources.RECEIVER.encode()) == 1) is (protocol > 0)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n\treturn 1\n",
        "class A:\n def f(self):\n  return self.__x\n",
        "class A:\n\tdef f(self):\n\t\treturn [self.__x for _ in 'a']\n",
        "def g(a, b):\n def f():\n  return a, b\n return f\n",
        "class A:\n def g(self):\n  def f():\n   return self.__x\n  return f\n",
        "class A:\n def f(self):\n  '''One\n two\n'''\n  return super().f()\n",
        "class A:\n x = 1\n def f(self):\n  return __class__, f(self)\n",
        "f = lambda: 1\n",
        "def g(a): f = lambda: a; return f\n",
        "class A: f = lambda self: self.__x\n",
        "if 1:\n    def f(a=(1,\n  2)): return a\n",
    ],
)
def test_shapes_of_source(source, tmp_path):
    """The lines that the source compiles to are those of the file."""
    file = tmp_path / "shape.py"
    file.write_text(source)
    code = compile(source, str(file), "exec")
    for name in ("A", "g", "f", "<lambda>"):
        code = next(
            (c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == name), code
        )
    arguments = _sources.carried(code)
    assert arguments is not None
    receiver = {}
    exec(_sources.RECEIVER, receiver)
    for tag in (sys.implementation.cache_tag, "other"):
        made = receiver["code"](tag, *arguments[1:])
        assert made.co_code == code.co_code
        assert made.co_filename == code.co_filename
        assert made.co_firstlineno - code.co_firstlineno in (0, source.startswith("class A: f"))
    assert marshal.loads(arguments[1]) == code


def test_the_receiver_is_told_nothing_of_a_source_that_has_changed(made):
    function = one("def fails():\n    return 1\n", made)
    with open(made.path, "w") as file:
        file.write("def fails():\n    return 2\n")
    linecache.checkcache()
    policy = fp.Policy(by_value="fp_made", sources="auto")
    assert b"return" not in fp.dumps(function, policy=policy)
