"""Views of mappings and of memory show what they showed, and stay linked to it."""

import array
import collections
import collections.abc
import pickle
import types

import pytest

from helpers.stock import arrives, copy, dumps


@pytest.mark.parametrize("make", [dict, collections.OrderedDict])
@pytest.mark.parametrize("view", ["keys", "values", "items"])
def test_dict_views_are_linked(make, view):
    mapping = make(a=1)
    shown = getattr(mapping, view)()
    arrives(
        [shown, mapping, view],
        """
        shown, mapping, view = obj
        mapping["b"] = 2
        assert list(shown) == list(getattr(mapping, view)())
        assert type(shown) is type(getattr(mapping, view)())
        """,
    )


def test_a_mapping_that_holds_its_view():
    mapping = {}
    mapping["keys"] = mapping.keys()
    arrives(mapping["keys"], "assert list(obj) == ['keys'] and obj.mapping['keys'] is obj")


def test_mapping_proxies_are_linked():
    mapping = {"__doc__": 1}
    proxy = types.MappingProxyType(mapping)
    arrives([proxy, mapping], "obj[1]['b'] = 2; assert obj[0]['b'] == 2 and len(obj[0]) == 2")


def test_the_namespace_of_a_class_is_that_of_the_class():
    arrives(
        [vars(collections.UserList), vars(int), vars(collections.abc.Sized)],
        """
        import collections.abc
        assert obj == [vars(collections.UserList), vars(int), vars(collections.abc.Sized)]
        assert gc.get_referents(obj[0]) == gc.get_referents(vars(collections.UserList))
        """,
    )


@pytest.mark.parametrize(
    "exporter", [b"abcdefgh", bytearray(b"abcdefgh"), array.array("i", range(9))]
)
def test_a_view_of_an_object_is_linked_to_it(exporter):
    view = memoryview(exporter)
    got, behind = copy([view, exporter])
    assert (got.obj, got.format, got.shape) == (behind, view.format, view.shape)
    assert got.obj is behind
    assert (got.readonly, got.tobytes()) == (view.readonly, view.tobytes())


def views():
    content = bytearray(range(48))
    return {
        "part": memoryview(content)[3:11],
        "steps": memoryview(content)[::3],
        "backwards": memoryview(content)[::-1],
        "read-only": memoryview(content).toreadonly(),
        "read-only part": memoryview(bytes(content))[1:5],
        "format": memoryview(content).cast("i"),
        "shape": memoryview(content).cast("i", [3, 4]),
        "part with format": memoryview(content)[8:24].cast("d"),
        "rows": memoryview(content).cast("h", [4, 6])[1:3],
        "of an array": memoryview(array.array("d", [1, 2, 3]))[1:],
        "array as bytes": memoryview(array.array("d", [1, 2, 3])).cast("B"),
        "empty": memoryview(content)[:0],
        "empty with format": memoryview(array.array("q")),
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", views())
def test_views_keep_format_shape_and_contents(name, protocol):
    view = views()[name]
    got = copy(view, protocol=protocol)
    for attribute in ("format", "itemsize", "ndim", "shape", "readonly", "nbytes"):
        assert getattr(got, attribute) == getattr(view, attribute), attribute
    assert got.tolist() == view.tolist()


def test_views_go_out_of_band():
    content = bytearray(1000)
    view = memoryview(content)[100:900]
    buffers = []
    stream = dumps(view, buffer_callback=buffers.append)
    assert len(stream) < 200
    got = pickle.loads(stream, buffers=buffers)
    got[0] = 7
    assert content[100] == 7, "the same memory, where no copy was made"


def test_a_view_loads_in_a_fresh_interpreter():
    view = memoryview(bytearray(range(48)))[8:].cast("i", [2, 5])
    arrives([view, view.tolist()], "assert obj[0].tolist() == obj[1] and not obj[0].readonly")


def test_a_released_view_arrives_released():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released"):
        len(copy(view))
