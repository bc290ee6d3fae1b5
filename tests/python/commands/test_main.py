"""`python -m ferropickle`: what is true of every command."""

import importlib
import sys

import pytest

from ferropickle.__main__ import COMMANDS, main
from helpers.subprocs import run_python


def test_without_a_command_it_says_which_there_are(capsys):
    assert main([]) == 2
    seen = capsys.readouterr().err
    assert all(f"  {name} " in seen and what in seen for name, what in COMMANDS.items())


def test_help_is_no_error(capsys):
    for word in ("--help", "-h", "help"):
        assert main([word]) == 0
        assert "usage: python -m ferropickle COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys):
    assert main(["explode"]) == 2
    assert "no command 'explode'" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_and_help(name, capsys):
    module = importlib.import_module(f"ferropickle._commands.{name}")
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    assert f"usage: python -m ferropickle {name}" in capsys.readouterr().out


def test_no_command_is_imported_before_it_is_called():
    run_python(
        """
        import sys
        import ferropickle.__main__ as front
        assert front.main([]) == 2
        assert not [name for name in sys.modules if name.startswith("ferropickle._commands")]
        assert "argparse" not in sys.modules
        """
    )


def test_the_arguments_and_the_status_are_the_commands(monkeypatch):
    import ferropickle._commands.bench as bench

    seen = []
    monkeypatch.setattr(bench, "main", lambda arguments: seen.append(arguments) or 7)
    assert main(["bench", "a", "--b"]) == 7
    assert seen == [["a", "--b"]]
    assert sys.modules["ferropickle._commands.bench"] is bench
