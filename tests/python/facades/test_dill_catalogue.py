"""`compat.dill.objects`: an object of each kind, and that those are pickled which should be."""

from helpers.subprocs import run_python

CATALOGUE = """
import warnings
warnings.simplefilter("ignore")
from ferropickle.compat import dill
import sys
before = set(sys.modules)
assert dill.objects == {} and not [n for n in vars(dill.types) if not n.startswith("_")]
dill.load_types(unpickleable=False)
assert len(dill.objects) > 170
assert dill.types.LockType is type(dill.objects["LockType"])
failed = {}
for name, obj in dill.objects.items():
    try:
        copied = dill.copy(obj)
        if type(copied) is type(iter([])) and "iterator" in type(obj).__name__:
            continue  # of a set or a dict: its items
        if type(copied) is not type(obj) and repr(type(copied)) != repr(type(obj)):
            failed[name] = type(copied)
    except Exception as error:
        failed[name] = repr(error)
print(failed)
known = set(dill.objects)
dill.load_types(pickleable=False)
assert "GeneratorType" in dill.objects and len(dill.objects) > len(known) + 30
"""


def test_the_catalogue_of_objects_can_be_pickled():
    assert run_python(CATALOGUE) == "{}\n"
