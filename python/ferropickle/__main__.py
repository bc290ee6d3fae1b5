"""`python -m ferropickle COMMAND ...`: the commands, each in a file of its own in `_commands`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name and what `--help` says of it. A command's module is imported when it is called; its
# `main(arguments)` returns the exit status.
COMMANDS = {
    "bench": "compare ferropickle with pickle, cloudpickle and dill on an object of yours",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names; returns the exit status."""
    if arguments and arguments[0] in COMMANDS:
        command = import_module(f"ferropickle._commands.{arguments[0]}")
        status: int = command.main(arguments[1:])
        return status
    asked = bool(arguments) and arguments[0] in ("-h", "--help", "help")
    out = sys.stdout if asked else sys.stderr
    if arguments and not asked:
        print(f"no command {arguments[0]!r}", file=out)
    print("usage: python -m ferropickle COMMAND ...\n", file=out)
    for name, what in COMMANDS.items():
        print(f"  {name:10} {what}", file=out)
    print("\npython -m ferropickle COMMAND --help says more.", file=out)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
