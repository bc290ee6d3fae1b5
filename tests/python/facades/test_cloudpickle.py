"""`ferropickle.compat.cloudpickle`: cloudpickle's names over the one engine."""

import copyreg
import inspect
import io
import logging
import os
import pickle
import sys
import textwrap
import types

import pytest

from ferropickle.compat import cloudpickle
from helpers.subprocs import run_python


class Point:
    def __init__(self, x):
        self.x = x


@pytest.fixture
def clean_dispatch():
    yield cloudpickle.Pickler.dispatch_table
    cloudpickle.Pickler.dispatch_table.maps[0].clear()


def local_function():
    n = 2
    return lambda x: x + n


class TestDumping:
    def test_streams_load_with_pickle_alone(self):
        func = local_function()
        assert pickle.loads(cloudpickle.dumps(func))(1) == 3
        file = io.BytesIO()
        cloudpickle.dump(func, file)
        assert pickle.loads(file.getvalue())(1) == 3
        file = io.BytesIO()
        cloudpickle.CloudPickler(file).dump(func)
        assert pickle.loads(file.getvalue())(1) == 3

    def test_the_default_protocol_is_the_highest(self):
        assert cloudpickle.DEFAULT_PROTOCOL == pickle.HIGHEST_PROTOCOL
        assert cloudpickle.dumps(1)[1] == pickle.HIGHEST_PROTOCOL
        assert cloudpickle.dumps(1, protocol=2)[1] == 2
        assert cloudpickle.Pickler(io.BytesIO()).proto == pickle.HIGHEST_PROTOCOL

    def test_buffers_go_out_of_band(self):
        buffers = []
        data = cloudpickle.dumps(pickle.PickleBuffer(b"abc"), buffer_callback=buffers.append)
        assert bytes(pickle.loads(data, buffers=buffers)) == b"abc"
        file = io.BytesIO()
        cloudpickle.Pickler(file, buffer_callback=buffers.append).dump(pickle.PickleBuffer(b"d"))
        assert bytes(cloudpickle.loads(file.getvalue(), buffers=buffers[1:])) == b"d"

    def test_recursion_without_end_is_a_pickling_error(self):
        class Endless:
            def __reduce__(self):
                return self.__reduce__()

        for dump in (
            cloudpickle.dumps,
            lambda obj: cloudpickle.dump(obj, io.BytesIO()),
            lambda obj: cloudpickle.Pickler(io.BytesIO()).dump(obj),
        ):
            with pytest.raises(pickle.PicklingError, match="deep recursion"):
                dump(Endless())

    def test_depth_is_not_recursion(self):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        assert len(cloudpickle.dumps(deep)) > 100_000


class TestClasses:
    @pytest.mark.parametrize("loads", [pickle.loads, cloudpickle.loads])
    def test_one_that_comes_again_has_its_attributes_set_anew(self, loads):
        class Local:
            x = 1

        data = cloudpickle.dumps(Local)
        Local.x = 99
        assert loads(data) is Local
        assert Local.x == 1

    def test_one_that_has_changed_is_still_the_same(self):
        class Local:
            x = 1

        before = cloudpickle.dumps(Local())
        Local.y = 2
        after = cloudpickle.dumps(Local())
        assert type(pickle.loads(before)) is type(pickle.loads(after)) is Local


class TestTextFiles:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "file.txt"
        path.write_text("h\xe9llo\nworld", encoding="utf-8")
        return path

    def test_what_they_hold_at_their_position(self, path):
        with open(path, encoding="utf-8") as file:
            file.readline()
            loaded = pickle.loads(cloudpickle.dumps([file, local_function()]))[0]
            assert file.read() == "world"
        assert isinstance(loaded, io.StringIO)
        assert loaded.name == str(path)
        assert loaded.read() == "world"
        loaded.seek(0)
        assert loaded.read() == "h\xe9llo\nworld"

    def test_a_position_is_counted_in_characters(self, path):
        with open(path, "r+", encoding="utf-8") as file:
            file.read(3)
            assert pickle.loads(cloudpickle.dumps(file)).read() == "lo\nworld"

    def test_output_and_error_are_the_receivers(self, monkeypatch, path):
        with open(path, "w") as out, open(path, "w") as err:
            monkeypatch.setattr(sys, "stdout", out)
            monkeypatch.setattr(sys, "stderr", err)
            loaded = pickle.loads(cloudpickle.dumps([out, err]))
            monkeypatch.undo()
        assert loaded == [sys.stdout, sys.stderr] or loaded == [out, err]

    def test_what_is_refused(self, path, monkeypatch):
        with open(path) as closed:
            pass
        with open(path) as stdin, open(path, "a") as write_only:
            monkeypatch.setattr(sys, "stdin", stdin)
            for file, text in [
                (closed, "closed"),
                (stdin, "standard input"),
                (write_only, "not opened for reading"),
            ]:
                with pytest.raises(pickle.PicklingError, match=text):
                    cloudpickle.dumps(file)
            monkeypatch.undo()

    def test_a_terminal_is_refused(self):
        controller, terminal = os.openpty()
        with open(terminal) as file, pytest.raises(pickle.PicklingError, match="tty"):
            cloudpickle.dumps(file)
        os.close(controller)


class TestLoading:
    def test_files_and_bytes(self):
        data = cloudpickle.dumps([1])
        assert cloudpickle.loads(data) == [1]
        assert cloudpickle.load(io.BytesIO(data)) == [1]
        assert cloudpickle.loads(b"\x80\x02U\x01\xe9.", encoding="latin-1") == "\xe9"

    def test_functions_of_the_face_travel_by_name(self):
        for name in cloudpickle.__all__:
            found = getattr(cloudpickle, name)
            assert cloudpickle.loads(cloudpickle.dumps(found)) is found or name == "__version__"


class TestRegistry:
    def test_a_module_and_its_submodules(self, project):
        low, top = project.inner.deep, project.top
        before = cloudpickle.dumps([top, low])
        assert pickle.loads(before) == [top, low]
        cloudpickle.register_pickle_by_value(project)
        try:
            assert cloudpickle.list_registry_pickle_by_value() == {"fp_project"}
            for loaded, own in zip(pickle.loads(cloudpickle.dumps([top, low])), [top, low]):
                assert loaded is not own
                assert loaded() == own()
            file = io.BytesIO()
            cloudpickle.Pickler(file).dump(top)
            assert pickle.loads(file.getvalue()) is not top
        finally:
            cloudpickle.unregister_pickle_by_value(project)
        assert cloudpickle.list_registry_pickle_by_value() == set()
        assert cloudpickle.dumps([top, low]) == before

    def test_what_is_refused(self, project):
        for function in (
            cloudpickle.register_pickle_by_value,
            cloudpickle.unregister_pickle_by_value,
        ):
            with pytest.raises(ValueError, match="should be a module"):
                function("fp_project")
        with pytest.raises(ValueError, match="not registered"):
            cloudpickle.unregister_pickle_by_value(project)
        with pytest.raises(ValueError, match="was not imported correctly"):
            cloudpickle.register_pickle_by_value(types.ModuleType("peers_dynamic"))

    def test_the_list_is_a_copy(self):
        cloudpickle.list_registry_pickle_by_value().add("x")
        assert cloudpickle.list_registry_pickle_by_value() == set()


class TestSubclasses:
    def test_reducer_override_goes_first_and_may_defer(self):
        class Own(cloudpickle.CloudPickler):
            def reducer_override(self, obj):
                if type(obj) is Point:
                    return Point, (obj.x * 10,)
                return super().reducer_override(obj)

        file = io.BytesIO()
        Own(file).dump([Point(1), local_function()])
        point, func = pickle.loads(file.getvalue())
        assert (point.x, func(1)) == (10, 3)

    def test_reducer_override_of_an_instance(self):
        pickler = cloudpickle.Pickler(file := io.BytesIO())
        pickler.reducer_override = lambda obj: (
            (Point, (7,))
            if type(obj) is Point
            else (cloudpickle.Pickler.reducer_override(pickler, obj))
        )
        pickler.dump([Point(1), {}])
        assert pickle.loads(file.getvalue())[0].x == 7

    def test_a_pickler_that_does_not_override_has_none(self):
        assert not hasattr(cloudpickle.Pickler(io.BytesIO()), "reducer_override")

    def test_dispatch_table_of_a_class_and_of_an_instance(self):
        class Own(cloudpickle.Pickler):
            dispatch_table = cloudpickle.Pickler.dispatch_table.new_child(
                {Point: lambda point: (Point, (point.x + 100,))}
            )

        file = io.BytesIO()
        Own(file).dump([Point(1), local_function()])
        point, func = pickle.loads(file.getvalue())
        assert (point.x, func(1)) == (101, 3)

        pickler = cloudpickle.Pickler(file := io.BytesIO())
        pickler.dispatch_table = dict(pickler.dispatch_table)
        pickler.dispatch_table[Point] = lambda point: (Point, (5,))
        pickler.dump(Point(1))
        assert pickle.loads(file.getvalue()).x == 5

    def test_reducers_put_into_the_shared_table(self, clean_dispatch):
        assert cloudpickle.Pickler.dispatch is clean_dispatch
        clean_dispatch[Point] = lambda point: (Point, (point.x + 1,))
        assert pickle.loads(cloudpickle.dumps(Point(1))).x == 2
        file = io.BytesIO()
        cloudpickle.dump(Point(1), file)
        assert pickle.loads(file.getvalue()).x == 2
        assert Point not in copyreg.dispatch_table

    def test_copyreg_is_asked(self, monkeypatch):
        monkeypatch.setitem(copyreg.dispatch_table, Point, lambda point: (Point, (3,)))
        file = io.BytesIO()
        cloudpickle.Pickler(file).dump(Point(1))
        assert pickle.loads(file.getvalue()).x == 3
        monkeypatch.undo()

    def test_persistent_ids(self):
        class Own(cloudpickle.Pickler):
            def persistent_id(self, obj):
                return "the point" if type(obj) is Point else None

        file = io.BytesIO()
        Own(file).dump([Point(1)])
        assert b"the point" in file.getvalue()


class TestSmallNames:
    def test_modules(self):
        assert cloudpickle.subimport("logging.handlers") is logging.handlers
        made = cloudpickle.dynamic_subimport("peers_made", {"x": 1})
        assert (made.__name__, made.x) == ("peers_made", 1)

    def test_instance(self):
        assert cloudpickle.instance(list) == []

    def test_tornado(self, monkeypatch):
        monkeypatch.delitem(sys.modules, "tornado.gen", raising=False)
        with pytest.warns(DeprecationWarning, match="is_coroutine_function"):
            assert not cloudpickle.is_tornado_coroutine(print)
        gen = types.SimpleNamespace(is_coroutine_function=lambda func: func is print)
        monkeypatch.setitem(sys.modules, "tornado.gen", gen)
        with pytest.warns(DeprecationWarning, match="deprecated"):
            assert cloudpickle.is_tornado_coroutine(print)


def test_public_names_of_cloudpickle_in_streams():
    run_python(
        textwrap.dedent("""
        from helpers.absent import make_absent
        make_absent("cloudpickle")
        import ferropickle as fp
        from ferropickle.compat import cloudpickle

        assert fp.loads(b"ccloudpickle.cloudpickle\\ndumps\\n.") is cloudpickle.dumps
        assert fp.loads(b"ccloudpickle\\nPickler\\n.") is cloudpickle.Pickler
        module = b"ccloudpickle.cloudpickle\\nsubimport\\n(Vcloudpickle\\ntR."
        assert fp.loads(module) is cloudpickle
        try:
            fp.loads(b"ccloudpickle.cloudpickle\\nsubimport\\n(Vno_such\\ntR.")
        except ModuleNotFoundError as error:
            assert error.name == "no_such"
        else:
            raise AssertionError("found")
        """)
    )


def test_the_modules_that_names_are_imported_from():
    """By code written for any release from 1.5 on."""
    from ferropickle.compat.cloudpickle import CloudPickler, compat
    from ferropickle.compat.cloudpickle import cloudpickle as inner
    from ferropickle.compat.cloudpickle import cloudpickle_fast as fast

    assert inner.CloudPickler is fast.CloudPickler is inner.Pickler is CloudPickler
    assert (inner.dumps, fast.dumps) == (cloudpickle.dumps, cloudpickle.dumps)
    assert inner.register_pickle_by_value is cloudpickle.register_pickle_by_value
    assert compat.pickle is pickle
    cell = types.CellType()
    inner.cell_set(cell, 5)
    assert cell.cell_contents == 5


@pytest.mark.parametrize(
    ("name", "parameters"),
    {
        "dump": ["obj", "file", "protocol", "buffer_callback"],
        "dumps": ["obj", "protocol", "buffer_callback"],
        "CloudPickler": ["file", "protocol", "buffer_callback"],
        "register_pickle_by_value": ["module"],
        "unregister_pickle_by_value": ["module"],
        "list_registry_pickle_by_value": [],
        "subimport": ["name"],
        "dynamic_subimport": ["name", "vars"],
        "instance": ["cls"],
        "is_tornado_coroutine": ["func"],
    }.items(),
)
def test_signatures(name, parameters):
    assert list(inspect.signature(getattr(cloudpickle, name)).parameters) == parameters


def test_every_public_name_is_there():
    for name in cloudpickle.__all__:
        assert hasattr(cloudpickle, name)
    assert cloudpickle.cloudpickle.__all__
