"""What a policy says of things by value: which modules, whose globals, which files, what else."""

import functools
import json
import pickle
import pickletools
import sys
import textwrap
import types
import warnings

import pytest

import ferropickle as fp
import ferropickle.compat.dill
from helpers.crossing import raised
from helpers.subprocs import run_python


def texts(data):
    return [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]


def by_name(data, name):
    """Whether the stream has the object by its name in the package."""
    found = texts(data)
    return any(a.startswith("fp_project") and b == name for a, b in zip(found, found[1:]))


@pytest.mark.parametrize(
    "choice",
    [
        "module",
        "name",
        "sequence",
        "predicate",
        "project",
    ],
)
def test_by_value(choice, project):
    choices = {
        "module": project,
        "name": "fp_project",
        "sequence": ["json", "fp_project"],
        "predicate": lambda module: module.__name__.startswith("fp_project"),
        "project": "project",
    }
    policy = fp.Policy(by_value=choices[choice])
    for obj, name in [
        (project.top, "top"),
        (project.Klass, "Klass"),
        (project.inner.deep, "deep"),
    ]:
        assert by_name(fp.dumps(obj), name)
        assert not by_name(fp.dumps(obj, policy=policy), name)
    assert pickle.loads(fp.dumps(project.inner.deep, policy=policy))() == "deep"
    data = fp.dumps(textwrap.dedent, policy=policy)
    assert pickle.loads(data) is textwrap.dedent


def test_by_value_of_a_submodule_leaves_the_package(project):
    policy = fp.Policy(by_value="fp_project.inner")
    assert by_name(fp.dumps(project.top, policy=policy), "top")
    assert not by_name(fp.dumps(project.inner.deep, policy=policy), "deep")


def test_a_name_is_no_prefix(project):
    policy = fp.Policy(by_value="fp_proj")
    assert by_name(fp.dumps(project.top, policy=policy), "top")


def test_a_predicate_that_fails(project):
    def predicate(module):
        raise ZeroDivisionError

    policy = fp.Policy(by_value=predicate)
    assert type(raised(fp.dumps, project.top, policy=policy)) is ZeroDivisionError


def test_wrong_by_value():
    with pytest.raises(TypeError, match="by_value"):
        fp.Policy(by_value=5)


def test_main_by_name_or_by_value():
    out = run_python("""
        import ferropickle as fp, pickle
        counter = 0
        def up():
            global counter
            counter += 1
            return counter
        ref = fp.Policy(main="ref")
        assert pickle.loads(fp.dumps(up, policy=ref)) is up
        local = pickle.loads(fp.dumps(lambda: up(), policy=ref))
        assert local() == 1 and counter == 1 and local.__globals__ is globals()
        copy = pickle.loads(fp.dumps(up))
        assert copy() == 2 and counter == 1
        assert pickle.loads(fp.dumps(lambda: up(), 2, policy=ref)).__globals__ is globals()
    """)
    assert out == ""


def test_main_by_the_names_that_the_receiver_has():
    out = run_python("""
        import abc, enum, pickletools
        import ferropickle as fp

        def known(): return 1
        def other(): return known()
        class Known:
            class Inner: pass
            class Kind(enum.Enum): A = 1
            def method(self): return lambda: 1
        class Odd(metaclass=abc.ABCMeta): pass

        def named(obj):
            data = fp.dumps(obj, policy=policy)
            strings = [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
            return "__main__" in strings and "__ferropickle_classes__" not in strings

        policy = fp.Policy(main={n: globals()[n] for n in ("known", "Known", "Odd")})
        assert policy.main == {"known": known, "Known": Known, "Odd": Odd}
        assert policy == fp.Policy(**policy._choices())
        for obj in (known, Known, Known.Inner, Known.Inner(), Known.Kind, Known.Kind.A, Odd, Odd()):
            assert named(obj), obj
        for obj in (other, lambda: known(), Known().method()):
            assert b"CodeType" in fp.dumps(obj, policy=policy), obj
        back = fp.loads(fp.dumps(other, policy=policy))
        assert back is not other and back.__globals__["known"] is known

        # Another object under the name: the receiver has the old one.
        def known(): return 2
        class Odd(metaclass=abc.ABCMeta): pass
        assert b"CodeType" in fp.dumps(known, policy=policy)
        assert b"__ferropickle_classes__" in fp.dumps(Odd, policy=policy)
        assert b"__ferropickle_classes__" in fp.dumps(Odd(), policy=policy)
    """)
    assert out == ""


@pytest.mark.parametrize("nested", [False, True])
def test_paths(nested, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "sub" / "code.py")
    source = "def outer():\n def inner(): pass\n return inner\ndef plain(): pass"
    namespace = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), namespace)
    function = namespace["outer" if nested else "plain"]
    for choice, expected in [
        ("keep", file),
        ("relative", "sub/code.py"),
        ("drop", "<pickled>"),
    ]:
        data = fp.dumps(function, policy=fp.Policy(paths=choice))
        assert pickle.loads(data).__code__.co_filename == expected
        assert (file.encode() in data) == (choice == "keep")
    other = fp.dumps(eval("lambda: 0"), policy=fp.Policy(paths="relative"))
    assert pickle.loads(other).__code__.co_filename == "<string>"


def test_max_captured():
    large = list(range(1000))
    policy = fp.Policy(max_captured=500)
    with pytest.warns(UserWarning, match=r"__closure__\['large'\].* captures \d+ bytes.*=500"):
        data = fp.dumps(lambda: large, policy=policy)
    assert pickle.loads(data)() == large
    refuse = fp.Policy(max_captured=500, captured="refuse")
    error = raised(fp.dumps, {"f": lambda: large}, policy=refuse)
    assert type(error) is pickle.PicklingError
    assert str(error).startswith("obj['f'].__closure__['large']")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fp.dumps(lambda: large, policy=fp.Policy(max_captured=100_000))


def test_max_captured_of_a_global():
    function = types.FunctionType(
        eval("lambda: LARGE").__code__, {"LARGE": b"x" * 1000, "__name__": "m"}
    )
    with pytest.warns(UserWarning, match=r"__globals__\['LARGE'\]"):
        fp.dumps(function, policy=fp.Policy(max_captured=500))


@pytest.mark.parametrize("sources", ["auto", "always"])
def test_another_version_runs_the_source(sources, monkeypatch):
    k = 3

    def function(a, b=2):
        return [a + b + k for _ in range(2)]

    made = [function, lambda x: x * k]
    data = fp.dumps(made, policy=fp.Policy(sources=sources))
    for tag in [sys.implementation.cache_tag, "cpython-399"]:
        monkeypatch.setattr(sys.implementation, "cache_tag", tag)
        copy, short = pickle.loads(data)
        assert copy(1) == [6, 6]
        assert short(2) == 6
        assert copy.__closure__[0] is short.__closure__[0]


def uses_imports(path):
    return json.dumps(path) + pickle.__name__ + textwrap.dedent(path.strip()) + str(calls.get(0))


calls = {0: "!"}


def test_the_source_of_a_function_that_uses_imported_modules(monkeypatch):
    data = fp.dumps(uses_imports, policy=fp.Policy(sources="always", by_value=__name__))
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    assert pickle.loads(data)("a") == '"a"picklea!'


def test_the_bytecode_is_the_senders_where_the_version_is(monkeypatch):
    """The source is not even looked at: it may have changed."""

    def function():
        return 1

    data = fp.dumps(function, policy=fp.Policy(sources="auto"))
    assert b"return 1" in data
    assert pickle.loads(data.replace(b"return 1", b"return 2"))() == 1
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    assert pickle.loads(data.replace(b"return 1", b"return 2"))() == 2


def test_sources_always_refuses_what_has_none():
    function = eval("lambda: 0")
    assert fp.loads(fp.dumps(function, policy=fp.Policy(sources="auto")))() == 0
    error = raised(fp.dumps, [function], policy=fp.Policy(sources="always"))
    assert type(error) is pickle.PicklingError
    assert "source" in str(error)


def test_another_version_without_source_names_both(monkeypatch):
    data = fp.dumps(lambda: 0)
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    for loads in (pickle.loads, fp.loads):
        with pytest.raises(KeyError, match=r"CPython 3\.\d+ run on that.*cpython-399"):
            loads(data)


def test_the_path_to_an_attribute_of_an_instance_by_value():
    class Holder:
        pass

    class Slotted:
        __slots__ = ("inner",)

    holder, slotted = Holder(), Slotted()
    holder.cfg = {"slotted": slotted}
    slotted.inner = iter(memoryview(b""))  # of a type that is never pickled
    assert str(raised(fp.dumps, [holder])).startswith("obj[0].cfg['slotted'].inner: ")
    assert str(raised(fp.dumps, [Holder, Slotted, holder])).startswith(
        "obj[2].cfg['slotted'].inner"
    )


class Reduced:
    pass


def test_reducers_of_a_policy_go_first(monkeypatch):
    import copyreg

    monkeypatch.setitem(copyreg.dispatch_table, Reduced, lambda obj: (str, ("copyreg",)))
    policy = fp.Policy(reducers={Reduced: lambda obj: (str, ("policy",))})
    assert fp.loads(fp.dumps([Reduced()], policy=policy)) == ["policy"]
    assert fp.loads(fp.dumps([Reduced()])) == ["copyreg"]
    with pytest.raises(TypeError, match="reducers"):
        fp.Policy(reducers=5)


def uses_the_library():
    return fp.loads


@pytest.mark.parametrize(
    "obj",
    [fp.Policy(), fp.Policy, fp.dumps, fp.compat.dill.dumps, functools.partial(fp.loads)],
    ids=repr,
)
@pytest.mark.parametrize("face", ["ferropickle", "pickle"])
def test_require_stock_refuses_names_of_the_library(obj, face):
    policy = fp.Policy(require_stock=True, face=face)
    error = raised(fp.dumps, {"a": [obj]}, policy=policy)
    assert isinstance(error, pickle.PicklingError)
    assert "takes ferropickle (require_stock)" in str(error)
    where = error.__notes__[0] if face == "pickle" else str(error)
    assert "obj['a'][0]" in where


def test_require_stock_refuses_functions_that_use_the_library():
    policy = fp.Policy(require_stock=True, by_value=__name__)
    error = raised(fp.dumps, (fp,), policy=policy)
    assert str(error).startswith("obj[0]: Can't pickle <module 'ferropickle'")
    error = raised(fp.dumps, uses_the_library, policy=policy)
    assert str(error).startswith("obj.__globals__['fp']: Can't pickle <module 'ferropickle'")
    fp.dumps(uses_the_library, policy=fp.Policy(by_value=__name__))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_require_stock_takes_what_needs_no_library(protocol):
    obj = [int, len, types, lambda x: x + 1, pickle.PickleBuffer, {"ferropickle": fp.__version__}]
    data = fp.dumps(obj, protocol, policy=fp.Policy(require_stock=True))
    assert pickle.loads(data)[3](1) == 2


def test_a_policy_with_rules_is_a_value(project):
    policy = fp.Policy(by_value="fp_project", max_captured=5, sources="auto")
    assert policy == fp.Policy(by_value="fp_project", max_captured=5, sources="auto")
    assert policy != fp.Policy(by_value="fp_project")
    assert hash(policy) == hash(fp.Policy(by_value="fp_project", max_captured=5, sources="auto"))
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert eval(repr(policy), {"Policy": fp.Policy}) == policy
    with fp.policy(policy, identity="new") as inner:
        assert (inner.by_value, inner.identity) == ("fp_project", "new")
        assert not by_name(fp.dumps(project.top), "top")
    assert by_name(fp.dumps(project.top), "top")


PARTS = """
import contextvars, ctypes, enum, functools, threading, typing

@functools.lru_cache(maxsize=4)
def cached(n):
    return n + BASE
BASE = 10

@functools.singledispatch
def describe(x):
    return "object"

@describe.register
def _(x: int):
    return "int"

MISSING = object()
def is_missing(x):
    return x is MISSING

VARIABLE = contextvars.ContextVar("variable", default=3)
LOCAL = threading.local()
def same(variable, local):
    return variable is VARIABLE and local is LOCAL

UserId = typing.NewType("UserId", int)
class Color(enum.Enum):
    RED = 1

class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int)]

def count(end):
    yield from range(end)
"""


def test_by_value_of_all_that_a_module_may_hold(project):
    exec(PARTS, vars(project))
    p = project
    held = [p.cached, p.describe, (p.is_missing, p.MISSING), (p.same, p.VARIABLE, p.LOCAL)]
    held += [p.UserId, p.Color.RED, p.Point(4), p.count(3)]
    data = fp.dumps(held, policy=fp.Policy(by_value="fp_project"))
    code = """
        import pickle, sys
        made = pickle.load(sys.stdin.buffer)
        cached, describe, (is_missing, missing), (same, *kept), user, red, point, count = made
        assert cached(1) == 11 and cached.cache_info()[:3] == (0, 1, 4)
        assert (describe(""), describe(1)) == ("object", "int")
        assert is_missing(missing) and not is_missing(object())
        assert same(*kept) and kept[0].get() == 3
        assert user(5) == 5 and user.__supertype__ is int
        assert red is type(red).RED and point.x == 4 and list(count) == [0, 1, 2]
        assert "fp_project" not in sys.modules
    """
    run_python(code, stdin=data)
    by_name = pickle.loads(fp.dumps(held[:-2]))
    assert by_name == held[:-2]


def test_parts_of_a_main_by_reference():
    code = (
        PARTS
        + """
import pickle, sys
import ferropickle as fp

held = [cached, MISSING, VARIABLE, LOCAL]
loaded = pickle.loads(fp.dumps(held, policy=fp.Policy(main="ref")))
assert all(a is b for a, b in zip(held, loaded))
"""
    )
    run_python(code)
