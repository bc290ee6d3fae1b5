"""CPython's own pickle tests, on `ferropickle.compat.pickle`.

What belongs here: classes made from the running interpreter's ``test.test_pickle`` by giving its
tests for the Python pickler our classes, alone and crossed with the standard library's. No test
of our own. Left out: the tests of the C structs' sizes and of tens of gigabytes of memory.
"""

import pickle
import unittest

import pytest

from ferropickle.compat import pickle as ours

REASON = "this Python comes without its own test suite (test.pickletester)"
pickletester = pytest.importorskip("test.pickletester", reason=REASON)
suite = pytest.importorskip("test.test_pickle", reason=REASON)

pytestmark = [
    pytest.mark.changes_copyreg,
    pytest.mark.filterwarnings("default"),  # the suite tests deprecated things
    pytest.mark.timeout(120),
]

# What the suite allows the Python and the C classes to raise, together.
STACK_ERRORS = (pickle.UnpicklingError, IndexError)
TRUNCATED_ERRORS = suite.PyUnpicklerTests.truncated_errors


class TestModule(suite.PyPickleTests):
    dump = staticmethod(ours.dump)
    dumps = staticmethod(ours.dumps)
    load = staticmethod(ours.load)
    loads = staticmethod(ours.loads)
    Pickler = ours.Pickler
    Unpickler = ours.Unpickler


class TestInMemory(suite.InMemoryPickleTests):
    bad_stack_errors = STACK_ERRORS
    truncated_errors = TRUNCATED_ERRORS

    def dumps(self, arg, protocol=None, **kwargs):
        return ours.dumps(arg, protocol, **kwargs)

    def loads(self, buf, **kwds):
        return ours.loads(buf, **kwds)


for _name in vars(pickletester.BigmemPickleTests):
    if _name.startswith("test_"):
        setattr(TestInMemory, _name, None)


class TestUnpickler(suite.PyUnpicklerTests):
    unpickler = ours.Unpickler
    bad_stack_errors = STACK_ERRORS
    truncated_errors = TRUNCATED_ERRORS


class TestPickler(suite.PyPicklerTests):
    pickler = ours.Pickler
    unpickler = ours.Unpickler


class TestOursToStdlib(suite.PyPicklerTests):
    pickler = ours.Pickler
    unpickler = pickle.Unpickler


class TestOursToPythonUnpickler(suite.PyPicklerTests):
    pickler = ours.Pickler
    unpickler = pickle._Unpickler


class TestStdlibToOurs(suite.PyPicklerTests):
    pickler = pickle.Pickler
    unpickler = ours.Unpickler


class TestPythonPicklerToOurs(suite.PyPicklerTests):
    pickler = pickle._Pickler
    unpickler = ours.Unpickler


class TestPersistentId(suite.PyPersPicklerTests):
    pickler = ours.Pickler
    unpickler = ours.Unpickler


class TestIdentityPersistentId(suite.PyIdPersPicklerTests):
    pickler = ours.Pickler
    unpickler = ours.Unpickler


class TestPicklerUnpicklerObjects(suite.PyPicklerUnpicklerObjectTests):
    pickler_class = ours.Pickler
    unpickler_class = ours.Unpickler

    if hasattr(suite, "CPicklerUnpicklerObjectTests"):  # a test that only the C classes have
        test_issue18339 = suite.CPicklerUnpicklerObjectTests.test_issue18339


class TestDispatchTable(suite.PyDispatchTableTests):
    pickler_class = ours.Pickler


class TestChainDispatchTable(suite.PyChainDispatchTableTests):
    pickler_class = ours.Pickler


class TestHooks(suite.PyPicklerHookTests):
    class Hooked(ours.Pickler, pickletester.AbstractCustomPicklerClass):
        pass

    pickler_class = Hooked


if hasattr(suite, "PyPicklingErrorTests"):  # 3.13 and later

    class TestPicklingErrors(suite.PyPicklingErrorTests):
        pickler = ours.Pickler


class TestNothingLeftOut(unittest.TestCase):
    def test_every_python_pickler_class_of_the_suite_is_used(self):
        bases = {base for cls in _classes() for base in cls.__mro__}
        for name, cls in vars(suite).items():
            if name.startswith("Py") and isinstance(cls, type):
                with self.subTest(name):
                    assert cls in bases


def _classes():
    return [c for n, c in globals().items() if n.startswith("Test") and isinstance(c, type)]
