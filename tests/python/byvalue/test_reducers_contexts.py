"""Context variables keep their identity; threads and what is theirs arrive as new."""

import contextvars
import pickle
import sys
import threading

import pytest

from helpers import contextual
from helpers.stock import arrives, copy, dumps

LOCAL = threading.local()
VARIABLE = contextvars.ContextVar("VARIABLE")


def test_a_variable_of_a_module_goes_by_its_name():
    arrives(
        [contextual.VARIABLE, contextual.LOCAL],
        """
        from helpers import contextual
        assert obj[0] is contextual.VARIABLE and obj[1] is contextual.LOCAL
        """,
    )


def test_a_variable_without_a_name_is_one_per_process():
    variable = contextvars.ContextVar("mine", default=[1])
    without_default = contextvars.ContextVar("mine")
    variable.set("here")
    stream = dumps([variable, without_default])
    assert pickle.loads(stream)[0] is variable
    arrives(
        [stream, variable],
        """
        first, second = pickle.loads(obj[0]), pickle.loads(obj[0])
        assert first == second and first[0] is second[0] is obj[1]
        assert first[0] is not first[1]
        assert first[0].name == "mine" and first[0].get() == [1]
        assert first[1].get(5) == 5
        again = pickle.loads(obj[0])
        assert again[0] is first[0]
        """,
    )


def test_a_context_keeps_what_is_set_in_it():
    one, two = contextvars.ContextVar("one"), contextvars.ContextVar("two", default=2)
    context = contextvars.Context()
    context.run(one.set, [1])
    context.run(contextual.VARIABLE.set, context)
    arrives(
        [context, one, two],
        """
        from helpers import contextual
        context, one, two = obj
        assert context[one] == [1] and two not in context and len(context) == 2
        assert context[contextual.VARIABLE] is context
        assert one.get(None) is None
        """,
    )


def test_tokens():
    assert copy(contextvars.Token.MISSING) is contextvars.Token.MISSING
    with pytest.raises(pickle.PicklingError, match="resets a variable where it was set"):
        dumps(contextvars.ContextVar("v").set(1))


def test_a_local_arrives_empty():
    local = threading.local()
    local.x = 1
    arrives([local, local], "assert vars(obj[0]) == {} and obj[0] is obj[1]; obj[0].x = 2")
    with_arguments = contextual.Local(1, b=2)
    with_arguments.more = 3
    arrives(
        with_arguments,
        """
        import threading
        assert (obj.a, obj.b, hasattr(obj, "more")) == (1, 2, False)
        seen = []
        thread = threading.Thread(target=lambda: seen.append((obj.a, obj.b)))
        thread.start(); thread.join()
        assert seen == [(1, 2)]
        """,
    )


def test_a_local_of_main_is_one_per_process(monkeypatch):
    local = threading.local()
    monkeypatch.setattr(sys.modules["__main__"], "some_local", local, raising=False)
    stream = dumps(local)
    monkeypatch.undo()
    assert pickle.loads(stream) is local
    arrives(stream, "assert pickle.loads(obj) is pickle.loads(obj)")


def test_a_thread_that_has_not_started():
    thread = threading.Thread(target=print, args=("ran",), name="mine", daemon=True)
    out = arrives(
        [thread, thread._started],
        """
        obj, started = obj
        assert obj.name == "mine" and obj.daemon and not obj.is_alive()
        obj.start()
        obj.join()
        """,
    )
    assert out == "ran\n"
    timer = threading.Timer(0.01, print, ["timed"])
    assert arrives(timer, "obj.start(); obj.join()") == "timed\n"


def test_a_thread_that_has_started():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    with pytest.raises(pickle.PicklingError, match="has been started"):
        dumps(thread)
    arrives(threading.main_thread(), "import threading; assert obj is threading.main_thread()")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="thread handles are of 3.13")
def test_a_thread_handle_arrives_fresh():
    thread = threading.Thread()
    handle = thread._handle if hasattr(thread, "_handle") else thread._os_thread_handle
    arrives(handle, "assert obj.ident == 0 or obj.ident is None")
