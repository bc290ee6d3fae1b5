"""Every test of the reducers runs with their streams written by either pickler."""

import pytest

import ferropickle
from helpers import stock

WRITERS = {"stock": stock.write_by_stock, "ferropickle": ferropickle.dumps}


def pytest_generate_tests(metafunc):
    name = metafunc.module.__name__.rpartition(".")[2]
    if name.startswith("test_reducers_"):
        # The standard library's pickler cannot write functions by value.
        writers = ["ferropickle"] if name == "test_reducers_by_value" else list(WRITERS)
        metafunc.parametrize("writer", writers, indirect=True)


@pytest.fixture(autouse=True)
def writer(request, monkeypatch):
    """What `helpers.stock.dumps` writes with, in tests of the reducers."""
    if hasattr(request, "param"):
        monkeypatch.setattr(stock, "write", WRITERS[request.param])
