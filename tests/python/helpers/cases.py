"""Cases of the battery: what scripts write in one process, and test_fresh.py loads in another.

A case is an object and an expression over `x`, what comes back. The expression is evaluated on
the object itself once it is written, and in a fresh interpreter on each copy; all must say the
same. A third entry is what the copies must say where the object itself says something else.
"""

import pickle
import sys

import ferropickle as fp
from ferropickle.compat import cloudpickle, dill

# The ways of writing an object whose streams plain pickle loads.
WRITERS = {
    "protocol 2": lambda obj: fp.dumps(obj, 2),
    "protocol 5": fp.dumps,
    "cloudpickle": cloudpickle.dumps,
    # By default functions of dill's face see the receiver's own `__main__`.
    "dill": lambda obj: dill.dumps(obj, recurse=True),
}


def write(cases):
    """Write the cases to the file that the command line names.

    It holds a dict: by name the streams by writer, the expression, and what it said. In the
    place of a stream that could not be made is the error.
    """
    made = {}
    for name, (obj, expression, *other) in cases.items():
        streams = {writer: attempt(dump, obj) for writer, dump in WRITERS.items()}
        expected = said(expression, obj)
        made[name] = streams, expression, *(other or [expected])
    with open(sys.argv[1], "wb") as file:
        pickle.dump(made, file)


def said(expression, x):
    """What an expression says of an object: the repr of its value, or the exception."""
    return attempt(lambda x: repr(eval(expression, {"x": x})), x)


def attempt(function, obj):
    """The result, or the exception as text."""
    try:
        return function(obj)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
