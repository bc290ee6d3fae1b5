"""Packages made unimportable, for programs that must do without them."""

import sys


class _Absent:
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def make_absent(*packages):
    """From here on, importing any of the packages fails as if it were not installed."""
    assert not set(packages) & set(sys.modules)
    sys.meta_path.insert(0, _Absent(packages))
