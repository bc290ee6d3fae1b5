"""Our dump to the standard library's load and back, and how two engines fare on one task."""

import pickle

import ferropickle as fp
from ferropickle.compat import pickle as compat

from .graph import assert_same_graph
from .streams import check_stream

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def cross(obj, protocol, same=assert_same_graph):
    """Every way between the two engines gives what was put in; return our own round trip."""
    ours = fp.dumps(obj, protocol)
    check_stream(ours, protocol)
    back = fp.loads(ours)
    same(obj, back)
    same(obj, pickle.loads(ours))
    same(obj, fp.loads(pickle.dumps(obj, protocol)))
    return back


def cross_as_stdlib(obj, protocol, same=assert_same_graph):
    """As `cross`, for objects that come back changed: the standard library's result decides."""
    theirs = pickle.dumps(obj, protocol)
    expected = pickle.loads(theirs)
    ours = fp.dumps(obj, protocol)
    check_stream(
        ours, protocol if protocol >= 2 else None
    )  # state setters: TUPLE2 in all protocols
    back = fp.loads(ours)
    same(expected, back)
    same(expected, pickle.loads(ours))
    same(expected, fp.loads(theirs))
    return back


def both_ways(obj, protocol=5):
    """Our dump, loaded by us and by the standard library, both alike; return our result."""
    data = fp.dumps(obj, protocol)
    check_stream(data, protocol)
    ours, theirs = fp.loads(data), pickle.loads(data)
    assert_same_graph(theirs, ours)
    return ours


def raised(call, *args, **kwargs):
    """The exception that the call raises; AssertionError if it raises none."""
    try:
        result = call(*args, **kwargs)
    except Exception as exc:
        return exc
    raise AssertionError(f"nothing raised; got {result!r:.200}")


def assert_fails_alike(make, *args, **kwargs):
    """Our dumps raises what the standard library's raises. `make` builds the object anew.

    With the face of pickle: the other faces take much of what pickle refuses.
    """
    theirs = raised(pickle.dumps, make(), *args, **kwargs)
    ours = raised(compat.dumps, make(), *args, **kwargs)
    assert type(ours) is type(theirs), f"{ours!r}, but the standard library: {theirs!r}"
    return ours


def assert_loads_fail_alike(data, **kwargs):
    """Our loads raises what the standard library's raises, or UnpicklingError."""
    theirs = raised(pickle.loads, data, **kwargs)
    ours = raised(fp.loads, data, **kwargs)
    allowed = (type(theirs), pickle.UnpicklingError)
    assert type(ours) in allowed, f"{ours!r}, but the standard library: {theirs!r}"
    return ours
