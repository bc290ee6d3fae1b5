"""An exception loads whatever its making takes, with what it knows of others."""

import pickle
import pickletools
import sys
import traceback
import types

import pytest

from ferropickle import Policy
from helpers import raised
from helpers.stock import arrives, copy, dumps

needs_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="ExceptionGroup is of 3.11")
needs_notes = pytest.mark.skipif(sys.version_info < (3, 11), reason="add_note is of 3.11")
TRACEBACKS = Policy(tracebacks="keep")


def made():
    slotted = raised.Slotted([1], "p")
    return {
        "signature": raised.Signature(5, detail=[1]),
        "keyword only": raised.KeywordOnly(need=3),
        "own new": raised.Explosive("a", "b"),
        "slots": slotted,
        "frozen": raised.Frozen(1, [2]),
        "property": raised.Property("n"),
        "own reduce": raised.OwnReduce(1, 2),
        "own setstate": raised.OwnState(1, 2),
        "system": raised.FromSystem("/nowhere"),
        "unicode": raised.Decoding(b"a\xff"),
        "two bases": raised.TwoBases("k"),
        "plain": ValueError("x", 1),
        "file": FileNotFoundError(2, "no", "f"),
        "two files": OSError(18, "link", "a", None, "b"),
        "import": ImportError("m", name="n", path="p"),
        "syntax": SyntaxError("s", ("f", 1, 2, "text")),
        "stop": StopIteration(4),
        "exit": SystemExit(3),
        "decode": UnicodeDecodeError("ascii", b"\xff", 0, 1, "r"),
        "key": KeyError("k"),
        "bare": BaseException(),
    }


FIELDS = """
args code detail need b obj a name path errno strerror filename filename2 encoding object start end
reason msg lineno offset text value
""".split()


def described(error):
    found = {name: getattr(error, name) for name in FIELDS if hasattr(error, name)}
    return {"type": type(error).__qualname__, "str": str(error), **found}


@pytest.mark.parametrize("name", made())
@pytest.mark.parametrize("related", [False, True])
def test_every_kind_arrives_whole(name, related):
    error = made()[name]
    before = raised.Explosive.calls
    if related:
        BaseException.__setattr__(error, "__cause__", KeyError("cause"))
        error.__dict__["more"] = {"x": 1}
    arrives(
        [error, described(error), related],
        f"""
        from helpers import raised
        FIELDS = {FIELDS!r}
        error, expected, related = obj
        found = {{name: getattr(error, name) for name in FIELDS if hasattr(error, name)}}
        found = {{"type": type(error).__qualname__, "str": str(error), **found}}
        assert found == expected, found
        assert repr(error.__cause__) == ("KeyError('cause')" if related else "None")
        if {name!r} != "own reduce":
            assert getattr(error, "more", None) == ({{"x": 1}} if related else None)
        if {name!r} == "slots":
            assert error.private() == "p"
        assert raised.Explosive.calls == 0
        """,
    )
    assert raised.Explosive.calls == before


def test_plain_exceptions_are_written_as_stock_writes_them():
    for error in (ValueError("x"), FileNotFoundError(2, "no", "f"), KeyError("k")):
        assert pickletools.optimize(dumps(error)) == pickletools.optimize(pickle.dumps(error, 5))


def failing():
    def inner():
        try:
            raise KeyError("first")
        except KeyError as first:
            try:
                raise raised.Signature(1) from first
            except raised.Signature:
                raise ValueError("last")

    try:
        inner()
    except ValueError as error:
        return error


def test_causes_and_contexts():
    error = failing()
    arrives(
        error,
        """
        middle = obj.__context__
        assert (type(middle).__name__, middle.code, str(middle)) == ("Signature", 1, "code 1")
        assert obj.__cause__ is None and not obj.__suppress_context__
        assert middle.__cause__ is middle.__context__ and middle.__suppress_context__
        assert repr(middle.__cause__) == "KeyError('first')"
        assert obj.__traceback__ is None
        """,
    )


def test_a_suppressed_context_and_an_unsuppressed_cause():
    suppressed = ValueError("a")
    suppressed.__context__ = KeyError("c")
    suppressed.__suppress_context__ = True
    open_cause = ValueError("b")
    open_cause.__cause__ = KeyError("d")
    open_cause.__suppress_context__ = False
    arrives(
        [suppressed, open_cause],
        """
        assert repr(obj[0].__context__) == "KeyError('c')" and obj[0].__suppress_context__
        assert repr(obj[1].__cause__) == "KeyError('d')" and not obj[1].__suppress_context__
        """,
    )


@pytest.mark.parametrize("make", [lambda: ValueError("x"), lambda: raised.Signature(1)])
def test_exceptions_that_lead_back_to_themselves(make):
    error, other = make(), make()
    error.__cause__, other.__context__ = other, error
    arrives(error, "assert obj.__cause__.__context__ is obj")
    error = make()
    error.args = (error, 1)
    arrives(error, "assert obj.args[0] is obj and obj.args[1] == 1")
    error = make()
    error.holder = [error]
    arrives(error, "assert obj.holder[0] is obj")


@needs_notes
def test_notes():
    error = raised.Signature(1)
    error.add_note("look here")
    plain = ValueError("x")
    plain.add_note("and here")
    arrives(
        [error, plain],
        "assert obj[0].__notes__ == ['look here'] and obj[1].__notes__ == ['and here']",
    )


@needs_groups
def test_groups():
    inner = raised.Signature(1)
    inner.__cause__ = KeyError("c")
    group = ExceptionGroup("g", [inner, ExceptionGroup("h", [ValueError("v")])])  # noqa: F821
    inner.__context__ = group
    group.more = 1
    arrives(
        [group, inner],
        """
        group, inner = obj
        assert (group.message, group.more) == ("g", 1)
        assert group.exceptions[0] is inner and inner.__context__ is group
        assert repr(inner.__cause__) == "KeyError('c')"
        assert group.exceptions[1].message == "h"
        assert repr(group.exceptions[1].exceptions) == "(ValueError('v'),)"
        assert group.args[0] == "g" and group.args[1][0] is inner
        matched, rest = group.split(ValueError)
        assert matched.exceptions[0].message == "h"
        """,
    )
    arrives(inner, "assert obj.__context__.exceptions[0] is obj")


def test_the_traceback_of_an_exception_by_policy():
    error = failing()
    expected = [(x.filename, x.name, x.lineno) for x in traceback.extract_tb(error.__traceback__)]
    out = arrives(
        [error, expected],
        """
        import traceback
        error, expected = obj
        found = [(x.filename, x.name, x.lineno) for x in traceback.extract_tb(error.__traceback__)]
        assert found == expected, found
        assert error.__context__.__traceback__ is not None
        module = error.__traceback__.tb_frame.f_globals["__name__"]
        assert module.endswith("test_reducers_exceptions"), module
        gc.collect()
        print("".join(traceback.format_exception(error)))
        """,
        policy=TRACEBACKS,
    )
    assert 'raise ValueError("last")' in out
    assert "The above exception was the direct cause" in out


def test_an_exception_that_brings_its_traceback_can_be_raised():
    error = failing()
    with pytest.raises(AssertionError) as caught:
        arrives(error, "raise obj", policy=TRACEBACKS)
    printed = str(caught.value)
    assert "in failing" in printed
    assert "in inner" in printed
    assert "ValueError: last" in printed


def test_tracebacks():
    error = failing()
    tb = error.__traceback__
    got = copy(tb)
    assert isinstance(got, types.TracebackType)
    assert [(x.filename, x.name, x.lineno) for x in traceback.extract_tb(got)] == [
        (x.filename, x.name, x.lineno) for x in traceback.extract_tb(tb)
    ]
    with pytest.raises(pickle.PicklingError, match="pickle a traceback"):
        dumps(tb.tb_frame)
