"""`method` runs a test under every start method that this system has."""

import multiprocessing

import pytest


@pytest.fixture(params=multiprocessing.get_all_start_methods())
def method(request):
    return request.param
