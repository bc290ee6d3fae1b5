"""`compat.dill.source` and `.temp`: source code of living objects, and code that makes them.

What belongs here: lines, names, imports, standing code, temporary files of both. Code that
contains pickles is run here too; what pickles can hold is tested elsewhere.
"""

import collections
import dataclasses
import datetime
import math

import pytest

from ferropickle.compat.dill import source, temp
from helpers.subprocs import run_python

try:
    import numpy as np
except ImportError:
    np = None

power = 2
squared = lambda x: x**power
pair = (lambda a: a, lambda b: b + 1)
spread = [
    lambda a: a,
]


def add(x, y):
    return x + y


def uses(x):
    return add(squared(x), len(LIMITS)) + math.floor(x)


LIMITS = [1, 2]


def countdown(n):
    return 0 if n == 0 else countdown(n - 1)


class Shape:
    sides = 4

    def area(self, x):
        return x * self.sides


class Bare:
    pass


class Renamed:
    pass


def factory(start):
    steps = [start]

    def step(y):
        """Add."""
        return steps[0] + y

    return step


made = factory(3)


def times(factor):
    def decorate(func):
        def wrapper(*args):
            return factor * func(*args)

        return wrapper

    return decorate


@times(3)
def tripled(x):
    return x + 1


Point = collections.namedtuple("Point", "x y")


def run(code, name):
    space = {}
    exec(code, space)
    return space[name]


# ---- lines -------------------------------------------------------------------------------


def test_findsource_gives_the_file_and_the_index():
    for obj, line in [
        (add, "def add(x, y):\n"),
        (squared, "squared = lambda x: x**power\n"),
        (Shape, "class Shape:\n"),
        (Shape(), "class Shape:\n"),
        (Shape().area, "    def area(self, x):\n"),
        (made, "    def step(y):\n"),
    ]:
        lines, index = source.findsource(obj)
        assert lines[index] == line


def test_what_is_built_in_has_no_source():
    for obj in (1, [2], None, len, int):
        with pytest.raises(TypeError):
            source.findsource(obj)
    with pytest.raises(OSError, match="."):
        source.findsource(math)


def test_getsourcelines():
    assert source.getsourcelines(add)[0] == ["def add(x, y):\n", "    return x + y\n"]
    own = ["    def area(self, x):\n", "        return x * self.sides\n"]
    assert source.getsourcelines(Shape.area)[0] == own
    lines, index = source.getsourcelines(Shape.area, lstrip=True)
    assert lines == ["def area(self, x):\n", "    return x * self.sides\n"]
    assert source.findsource(Shape)[0][index] == own[0]


def test_enclosing_is_the_outermost_function():
    lines, _ = source.getsourcelines(made, enclosing=True)
    assert lines[0] == "def factory(start):\n"
    assert lines[-1] == "    return step\n"


def test_a_decorated_function_s_wrapper_is_itself():
    assert source.getsourcelines(tripled)[0][0] == "        def wrapper(*args):\n"


def test_lambda_in_a_statement_of_several_lines():
    assert source.getsource(spread[0]) == "spread = [\n    lambda a: a,\n]\n"


def test_a_module_is_its_whole_file():
    import helpers.shapes as module

    with open(module.__file__) as file:
        assert source.getsource(module) == file.read()


def test_getblocks_is_the_old_name():
    assert source.getblocks(add) == source.getsourcelines(add)[0]
    assert source.getblocks(add, locate=True) == source.getsourcelines(add)


def test_indent_and_outdent():
    assert source.indent("a\n  b\n\nc", 2) == "  a\n    b\n\n  c"
    assert source.indent("a") == "    a"
    assert source.outdent("    a\n      b\n\n    c") == "a\n  b\n\nc"
    assert source.outdent("    a\n  b", spaces=3) == " a\nb"
    assert source.outdent("    a\n    b", all=False) == "a\n    b"


HISTORY = """
import code, readline, sys
from ferropickle.compat.dill import source

typed = ["def f(x):", "    return x", "", "def f(x):", "    return x + 1", "",
         "g = lambda x: x * 7", "def other(): pass", "class C:", "    z = 1", ""]
for line in typed:
    readline.add_history(line)
space = sys.modules["__main__"].__dict__
parts = ("def f(x):\\n    return x + 1\\n", "g = lambda x: x * 7\\n", "class C:\\n    z = 1\\n")
for part in parts:
    exec(compile(part, "<stdin>", "exec"), space)
assert source.isdynamic(f) and source.isdynamic(g)
assert source.getsource(f) == "def f(x):\\n    return x + 1\\n", source.getsource(f)
assert source.getsource(g) == "g = lambda x: x * 7\\n"
assert source.getsource(C) == "class C:\\n    z = 1\\n", source.getsource(C)
exec(compile("h = lambda x: x * 8", "<stdin>", "exec"), space)
try:
    source.getsource(h)
except OSError as error:
    assert "history" in str(error)
else:
    raise AssertionError("found something else for what was never typed")
"""


def test_what_was_typed_is_found_in_the_history():
    pytest.importorskip("readline")
    run_python(HISTORY)


# ---- names and imports -----------------------------------------------------------------


def test_getname():
    assert source.getname(add) == "add"
    assert source.getname(squared) == "squared"
    assert source.getname(Shape) == "Shape"
    assert source.getname(Shape.area) == "area"
    assert source.getname(math) == "math"
    assert source.getname(made) == "step"
    assert source.getname(Shape()) is None
    assert source.getname([1], force=True) == "[1]"
    assert source.getname(add, fqn=True) == f"{__name__}.add"
    assert source.getname(Shape(), fqn=True) == f"{__name__}.Shape"


def test_getimport_of_what_is_built_in():
    assert source.getimport(pow) == "pow\n"
    assert source.getimport(pow, alias="p") == "p = pow\n"
    assert source.getimport(pow, builtin=True) == "from builtins import pow\n"
    assert source.getimport(100) == "100\n"
    assert source.getimport(None, alias="n", builtin=True) == "n = None\n"
    assert source.getimport(..., builtin=True) == "from builtins import Ellipsis\n"
    assert source.getimport({"a": [1, (2,)]}) == "{'a': [1, (2,)]}\n"


def test_getimport():
    assert source.getimport(math.sin) == "from math import sin\n"
    assert source.getimport(math.sin, alias="s") == "from math import sin as s\n"
    assert source.getimport(math) == "import math\n"
    assert source.getimport(math, alias="m") == "import math as m\n"
    assert source.getimport(Shape()) == f"from {__name__} import Shape\n"
    assert source.getimport(squared) == f"from {__name__} import squared\n"


def test_getimport_takes_the_name_that_the_module_has():
    assert source.getimport(made) == f"from {__name__} import made\n"
    assert source.getimport(made, verify=False) == f"from {__name__} import step\n"
    assert source.getimport(made, enclosing=True) == f"from {__name__} import factory\n"
    assert source.getimport(tripled) == f"from {__name__} import tripled\n"
    assert source.likely_import(made, passive=True) == f"from {__name__} import step\n"


def test_isfrommain_and_isdynamic():
    code = """
        from ferropickle.compat.dill import source
        import math

        def f(): pass
        class C: pass
        assert source.isfrommain(f) and source.isfrommain(C) and source.isfrommain(C())
        assert not source.isfrommain(math.sin) and not source.isfrommain(1)
        assert not source.isdynamic(f)
    """
    run_python(code)
    assert not source.isfrommain(add)


def test_a_name_cannot_become_other_code():
    evil = type("a; raise SystemExit #", (), {})
    with pytest.raises(SyntaxError):
        source.getimport(evil)
    Renamed.__name__ = "(x' + print('run')) # "
    with pytest.raises(SyntaxError):
        source.getsource(Renamed(), force=True)


# ---- source, and code that stands alone ------------------------------------------------


def test_getsource():
    assert source.getsource(add) == "def add(x, y):\n    return x + y\n"
    assert source.getsource(Bare) == "class Bare:\n    pass\n"
    assert source.getsource(squared) == "squared = lambda x: x**power\n"
    assert source.getsource(squared, alias="s") == "s = squared = lambda x: x**power\n"
    assert source.getsource(add, alias="a") == "def add(x, y):\n    return x + y\n\na = add\n"
    aliased = "def area(self, x):\n    return x * self.sides\n\nf = area\n"
    assert source.getsource(Shape.area, alias="f") == aliased


def test_getsource_forced_is_an_import():
    with pytest.raises(TypeError):
        source.getsource(1)
    assert source.getsource(1, force=True) == "1\n"
    assert source.getsource(len, force=True, builtin=True) == "from builtins import len\n"
    assert source.getsource(Point, force=True) == f"from {__name__} import Point\n"


def test_importable_by_name():
    assert source.importable(add) == source.getimport(add)
    assert source.importable(add, source=False) == source.getimport(add)
    assert source.importable(Shape.area, source=False) == f"from {__name__} import area\n"
    assert source.importable(100, alias="n") == "n = 100\n"
    assert source.importable(len) == "from builtins import len\n"
    assert source.importable(math.sin, source=True) == "from math import sin\n"


def test_importable_brings_what_a_function_refers_to():
    assert run(source.importable(squared, source=True), "squared")(3) == 9
    assert run(source.importable(uses, source=True), "uses")(3.5) == uses(3.5)
    assert run(source.importable(uses, source=True, alias="u"), "u")(3) == uses(3)
    assert run(source.importable(countdown, source=True), "countdown")(3) == 0


def test_importable_brings_closures():
    text = source.importable(made, source=True)
    assert text == ('steps = [3]\n\ndef step(y):\n    """Add."""\n    return steps[0] + y\n')
    assert run(text, "step")(4) == 7


def test_importable_of_a_decorated_function_decorates_it_again():
    text = source.importable(tripled, source=True)
    assert text.startswith("factor = 3\n\ndef times(factor):\n")
    assert run(text, "tripled")(1) == 6


def test_importable_of_values_that_say_how_they_are_made():
    text = source.importable(datetime.date(2020, 1, 2), alias="d")
    assert text == "import datetime\nd = datetime.date(2020, 1, 2)\n"
    assert source.importable(Point(1, 2)) == f"from {__name__} import Point\nPoint(x=1, y=2)\n"


@pytest.mark.skipif(np is None, reason="NumPy is not installed")
def test_importable_of_numpy():
    array = source.importable(np.array([1, 2]), alias="a")
    assert array == "from numpy import array\na = array([1, 2])\n"
    assert source.importable(np.int64(5)) == "from numpy import int64\nint64(5)\n"
    long = np.arange(5000)
    assert (run(source.importable(long, alias="a"), "a") == long).all()


@dataclasses.dataclass
class Opaque:
    part: object


def test_importable_of_what_only_a_pickle_can_make():
    text = source.importable(Opaque(add), alias="o")
    assert run(text, "o") == Opaque(add)


def test_dumpsource_leaves_only_the_name_behind():
    space = {}
    exec(source.dumpsource([1, 2], alias="x"), space)
    del space["__builtins__"]
    assert space == {"x": [1, 2]}


def test_dumpsource_with_a_class_of_its_own():
    shape = Shape()
    shape.sides = 6
    text = source.dumpsource(shape, alias="s", new=True, enclose=False)
    assert "class Shape:" in text
    space = {"__name__": "elsewhere"}
    exec(text, space)
    assert type(space["s"]) is space["Shape"] is not Shape
    assert space["s"].area(2) == 12


# ---- temporary files -----------------------------------------------------------------------


def test_objects_in_temporary_files():
    file = temp.dump([1, 2], prefix="own_", suffix=".pkl")
    with file:
        assert "own_" in file.name
        assert file.name.endswith(".pkl")
        assert temp.load(file) == temp.load(file.name) == [1, 2]
    buffer = temp.dumpIO([3])
    assert temp.loadIO(buffer) == temp.loadIO(buffer.getvalue()) == [3]


def test_source_in_temporary_files():
    with temp.dump_source(add, alias="plus") as file:
        assert file.name.endswith(".py")
        assert temp.load_source(file)(1, 2) == 3
        assert temp.load_source(file, alias="plus")(1, 2) == 3
    buffer = temp.dumpIO_source(squared, alias="s")
    assert temp.loadIO_source(buffer)(4) == 16
    named = temp.dumpIO_source(Shape)
    assert temp.loadIO_source(named).__name__ == "Shape"


def test_source_without_a_name_wants_one():
    with pytest.raises(KeyError, match="no name"):
        temp.loadIO_source(b"x = 1\n")
    assert temp.loadIO_source(b"x = 1\n", alias="x") == 1


def test_capture(capsys):
    with temp.capture() as out:
        print("inside")
    print("outside")
    assert out.getvalue() == "inside\n"
    assert capsys.readouterr().out == "outside\n"
