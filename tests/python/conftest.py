"""Fixtures, marks and hypothesis profiles of the Python tests. Nothing is imported from here.

Where a test belongs:

- ``conformance/``  the running CPython's own pickle suite, on our classes
- ``property/``     random object graphs, our streams against the standard library's
- ``unit/``         one file per topic of the drop-in surface
- ``engines/``      through picklers and pools that are not ours
- ``depth/``        graphs a million levels deep
- ``multiprocessing/``  processes, queues, pools, managers of ours
- ``facades/``      the faces of other picklers
- ``peers/``        streams of cloudpickle and dill
- ``hostile/``      streams that are cut short, corrupted or crafted
- ``channel/``      arenas of shared memory, and channels between processes
- ``parcel/``       a stream with its buffers, in memory and as bytes
- ``files/``        parcels as files: written, replaced, opened, read in part
- ``gpu/``        kernels, handles and device memory, on the simulated driver; with the libraries in
  ``peers/``
- ``runtime/``      collector, signals, leaks, threads, forks, policies, memory, import
- ``benches/``    the suite in ``benches/python``: workloads, records, the report
- ``commands/``   ``python -m ferropickle``
- ``examples/``     every program in ``examples/python`` runs
- ``helpers/``      what several of these files need; plain modules, imported by name
"""

import copyreg
import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fast",
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("slow", settings.get_profile("fast"), max_examples=3000)
settings.load_profile(os.environ.get("FERROPICKLE_HYPOTHESIS", "fast"))


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "changes_copyreg: CPython's own tests, which leave entries in copyreg's tables"
    )


@pytest.fixture(params=range(6), ids="protocol{}".format)
def protocol(request):
    """Each of pickle's protocols in turn."""
    return request.param


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`fp_project`, an importable package of the user's, with the module `inner`; gone again
    afterwards."""
    package = tmp_path / "fp_project"
    package.mkdir()
    (package / "__init__.py").write_text("def top(): return 'top'\nclass Klass: value = 1\n")
    (package / "inner.py").write_text("def deep(): return 'deep'\n")
    monkeypatch.syspath_prepend(tmp_path)
    import fp_project.inner  # the fixture has just made it

    yield fp_project
    for name in [name for name in sys.modules if name.partition(".")[0] == "fp_project"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def process_state_is_left_alone(request):
    """No test, and no call of ours in it, changes the collector or ``copyreg`` for the others."""
    enabled = gc.isenabled()
    table = dict(copyreg.dispatch_table)
    extensions = dict(copyreg._extension_registry)
    yield
    now = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    assert now == enabled, "the cyclic collector was left in another state"
    if request.node.get_closest_marker("changes_copyreg"):
        return
    assert dict(copyreg.dispatch_table) == table
    assert dict(copyreg._extension_registry) == extensions
