"""What several streams, or a stream and what the receiver has, make of one another.

Each is written in one process, whose program is the sender's `__main__`, and loaded in another
by plain pickle, with nothing but the standard library there.
"""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers.subprocs import environment

SEND = """
import pickle, sys
sys.path.insert(0, {folder!r})
import ferropickle as fp
streams = []
def send(obj, **choices):
    policy = fp.Policy(**choices) if choices else None
    streams.append(fp.dumps(obj, policy=policy))
{code}
sys.stdout.buffer.write(pickle.dumps(streams))
"""

RECEIVE = """
import pickle, sys
streams = pickle.load(sys.stdin.buffer)
def load():
    return pickle.loads(streams.pop(0))
{code}
assert "ferropickle" not in sys.modules
"""


def run(command, code, **options):
    done = subprocess.run([*command, "-c", code], capture_output=True, timeout=120, **options)
    out, err = done.stdout, done.stderr.decode(errors="replace")
    assert not done.returncode, f"exit status {done.returncode}\n{out[-2000:]!r}\n{err[-4000:]}"
    return out


def exchange(sender, receiver, python=sys.executable, folder=""):
    """Run the sender's program, which may import from the folder, then the receiver's."""
    code = SEND.format(code=textwrap.dedent(sender), folder=str(folder))
    sent = run([sys.executable], code, env=environment())
    run([python, "-I", "-S"], RECEIVE.format(code=textwrap.dedent(receiver)), input=sent)


CLASS = """
class Account:
    count = 1
    def total(self):
        return self.count
"""


def test_a_class_is_the_same_in_every_stream_and_keeps_its_state():
    exchange(
        CLASS
        + """
send(Account)
send([Account()])
send(Account)
""",
        """
        Account = load()
        Account.count = 99
        assert isinstance(load()[0], Account)
        assert load() is Account
        assert Account.count == 99
        """,
    )


@pytest.mark.parametrize(("identity", "same", "count"), [("refresh", True, 1), ("new", False, 99)])
def test_other_identities(identity, same, count):
    exchange(
        CLASS
        + f"""
send(Account, identity={identity!r})
send(Account, identity={identity!r})
""",
        f"""
        Account = load()
        Account.count = 99
        assert (load() is Account) == {same}
        assert Account.count == {count}
        """,
    )


def test_an_instance_of_a_class_that_was_defined_again_keeps_its_own():
    exchange(
        CLASS
        + "old = Account()\n"
        + CLASS.replace("1", "2")
        + """
new = Account()
send({"deep": [old, (new, old)]})
send(new)
""",
        """
        old, (new, again) = load()["deep"]
        assert old is again and type(old) is not type(new)
        assert (old.total(), new.total()) == (1, 2)
        assert type(load()) is type(new)
        """,
    )


def test_functions_of_one_dump_share_their_globals_and_those_of_two_do_not():
    exchange(
        """
        counter = 0
        def up():
            global counter
            counter += 1
            return counter
        def get():
            return counter
        send([up, get])
        send(get)
        """,
        """
        up, get = load()
        assert (up(), up(), get()) == (1, 2, 2)
        assert load()() == 0
        assert "counter" not in globals()
        """,
    )


def test_globals_of_the_receiver_s_main_if_it_is_asked_for():
    exchange(
        """
        value = "sender"
        def get():
            return value
        send(lambda: get() + value, main="ref")
        send(get, main="ref")
        """,
        """
        value = "receiver"
        def get():
            return "own "
        function = load()
        assert function() == "own receiver" and function.__globals__ is globals()
        assert load() is get
        """,
    )


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "sent_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import inner\nRATE = 3\n")
    (folder / "inner.py").write_text(
        "import sent_package\n"
        "state = {'n': 0}\n"
        "class Rated:\n"
        "    def rate(self, x):\n"
        "        state['n'] += 1\n"
        "        return x * sent_package.RATE\n"
        "def make():\n"
        "    return Rated()\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    "by_value", ["'sent_package'", "'project'", "lambda module: 'sent' in module.__name__"]
)
def test_modules_by_value_where_the_receiver_does_not_have_them(package, by_value):
    exchange(
        f"""
        import sent_package.inner, os.path
        send([sent_package.inner.make, os.path.join], by_value={by_value})
        send(sent_package, by_value={by_value})
        """,
        """
        make, join = load()
        assert join.__module__ == "posixpath" and join is __import__("os").path.join
        assert make().rate(2) == 6
        assert load().inner.make().rate(3) == 9
        assert not any(name.startswith("sent_package") for name in sys.modules)
        """,
        folder=package,
    )


def test_a_module_and_the_state_that_the_receiver_has(package):
    """By name it goes alone: what the receiver has set stays."""
    exchange(
        """
        import string
        string.ours = "sender"
        send([string, lambda: string.ours])
        """,
        """
        import string
        string.ours = "receiver"
        module, get = load()
        assert module is string and get() == "receiver"
        """,
    )


def other_versions():
    """Interpreters of other minor versions that are at hand."""
    for minor in range(10, 15):
        if minor != sys.version_info[1]:
            installed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
            for candidate in filter(None, [shutil.which(f"python3.{minor}"), *map(str, installed)]):
                code = "import sys; print(*sys.version_info[:2])"
                said = subprocess.run([candidate, "-c", code], capture_output=True, check=False)
                if said.stdout.split() == [b"3", str(minor).encode()]:
                    yield pytest.param(candidate, id=f"3.{minor}")
                    break


VERSIONS = list(other_versions())


@pytest.mark.skipif(not VERSIONS, reason="no CPython of another minor version is at hand")
@pytest.mark.parametrize("python", VERSIONS or [None])
class TestOtherVersions:
    def test_functions_and_classes_with_their_source(self, python, tmp_path):
        (tmp_path / "sourced.py").write_text(
            textwrap.dedent(
                """
                import math
                RATE = 2
                def scale(x, *, by=RATE):
                    try:
                        return [math.floor(n * by) for n in x]
                    except TypeError as error:
                        return str(error)
                def closed(n):
                    def inner(x):
                        nonlocal n
                        n += x
                        return n
                    return inner
                class Scaled:
                    def __init__(self, by):
                        self.by = by
                    def scale(self, x):
                        return scale(x, by=self.by) + [__class__.__name__]
                """
            )
        )
        exchange(
            """
            import sourced
            choices = {"by_value": "sourced", "sources": "auto"}
            send([sourced.scale, sourced.closed(3)], **choices)
            send(sourced.Scaled(4), **choices)
            """,
            """
            scale, inner = load()
            assert scale([1.5]) == [3] and scale("a") and (inner(1), inner(1)) == (4, 5)
            scaled = load()
            assert scaled.scale([1]) == [4, "Scaled"]
            assert scaled.scale.__qualname__ == "Scaled.scale"
            """,
            python=python,
            folder=tmp_path,
        )

    def test_without_it_the_error_names_both(self, python):
        exchange(
            "send(lambda: 1)",
            f"""
            try:
                load()
            except KeyError as error:
                text = str(error)
                assert "CPython {sys.version_info[0]}.{sys.version_info[1]}" in text, text
                assert sys.implementation.cache_tag in text, text
            else:
                raise AssertionError("loaded")
            """,
            python=python,
        )
