"""What the functions that peers' streams call do, where the streams alone do not show it."""

import collections
import enum
import sys
import threading
import types

import pytest

import ferropickle as fp
from ferropickle.compat._streams import find


def cloud(name):
    return find("cloudpickle.cloudpickle", name)


def dill(name):
    return find("dill._dill", name)


class TestClassesKnownById:
    def make(self, tracker_id, **attributes):
        cls = cloud("_make_skeleton_class")(type, "C", (), {"__module__": "m"}, tracker_id, None)
        return cloud("_class_setstate")(cls, (attributes, {}))

    def test_one_id_is_one_class_and_a_live_one_is_left_alone(self):
        first = self.make("id-1", count=1)
        first.count = 99
        assert self.make("id-1", count=1) is first
        assert first.count == 99
        assert self.make("id-2", count=1) is not first
        assert self.make(None) is not self.make(None)

    def test_a_load_that_failed_does_not_leave_a_bare_class(self):
        cls = cloud("_make_skeleton_class")(type, "C", (), {}, "id-3", None)
        with pytest.raises(TypeError):
            cloud("_class_setstate")(cls, ({1: 2}, {}))
        assert self.make("id-3", count=1) is cls
        assert cls.count == 1

    def test_classes_that_cannot_be_hashed(self):
        class Meta(type):
            def __eq__(self, other):
                return self is other

            __hash__ = None

        make = cloud("_make_skeleton_class")
        cls = make(Meta, "C", (), {}, "id-4", None)
        cloud("_class_setstate")(cls, ({"x": 1}, {}))
        assert make(Meta, "C", (), {}, "id-4", None) is cls

    def test_an_id_dies_with_its_class(self):
        import gc

        self.make("id-5", count=1)
        gc.collect()
        assert self.make("id-5", count=2).count == 2

    def test_type_variables_and_enums(self):
        make = cloud("_make_typevar")
        item = make("Item", int, (), False, False, "id-6")
        assert make("Item", int, (), False, False, "id-6") is item
        assert item.__bound__ is int
        make = cloud("_make_skeleton_enum")
        args = ((enum.Enum,), "E", "Out.E", {"A": 1}, "m", "id-7", None)
        made = make(*args)
        assert made is make(*args)
        assert (made.A.value, made.__qualname__, made.__module__) == (1, "Out.E", "m")

    @pytest.mark.skipif(sys.version_info < (3, 13), reason="classes have no __firstlineno__")
    def test_the_line_of_a_class_is_kept(self):
        state = {"__firstlineno__": 7, "__module__": "m"}
        assert self.make(None, **state).__firstlineno__ == 7


def two_cells():
    a, b = 1, 2
    return lambda x: (a, b, x)


class TestFunctionsOfOldCloudpickle:
    def test_filled_from_a_dict(self):
        func = cloud("_make_skel_func")(two_cells().__code__, 2, {"kept": 1})
        state = {
            "globals": {"g": 2},
            "defaults": (9,),
            "dict": {"mark": 1},
            "closure_values": [5, cloud("_empty_cell_value")],
            "module": "m",
            "name": "n",
            "qualname": "q.n",
            "doc": "d",
            "annotations": {"x": int},
            "kwdefaults": None,
            "_cloudpickle_submodules": [],
        }
        assert cloud("_fill_function")(func, state) is func
        assert (func.__module__, func.__name__, func.__qualname__) == ("m", "n", "q.n")
        assert (func.__doc__, func.__annotations__, func.mark) == ("d", {"x": int}, 1)
        assert (func.__globals__["kept"], func.__globals__["g"]) == (1, 2)
        assert func.__closure__[0].cell_contents == 5
        assert func.__closure__[1] == types.CellType()

    @pytest.mark.parametrize("module", [(), ("m",)])
    def test_filled_part_by_part(self, module):
        func = cloud("_make_skel_func")((lambda: len).__code__, -1, "some.module")
        cloud("_fill_function")(func, {}, None, {"mark": 1}, *module, None)
        assert func() is len
        assert func.mark == 1
        assert func.__closure__ is None
        if module:
            assert func.__module__ == "m"

    def test_any_other_count_is_an_error(self):
        with pytest.raises(fp.UnpicklingError, match="4 arguments"):
            cloud("_fill_function")(None, 1, 2, 3)


class TestLocksOfDill:
    def test_arrive_free(self):
        lock = dill("_create_lock")(True)
        assert lock.acquire(blocking=False)
        lock = dill("_create_rlock")(2, 12345)
        assert lock.acquire(blocking=False)
        assert isinstance(lock, type(threading.RLock()))


class TestTextOfDill:
    @pytest.mark.parametrize("value", [..., NotImplemented, range(3), range(1, 9, -2)])
    def test_constants_and_ranges(self, value):
        assert dill("_eval_repr")(repr(value)) == value

    @pytest.mark.parametrize(
        "text", ["__import__('os')", "range(open('x'))", "range(stop=1)", "1+"]
    )
    def test_nothing_else_is_evaluated(self, text):
        with pytest.raises(fp.UnpicklingError, match="stands for no"):
            dill("_eval_repr")(text)


class TestCapsulesOfDill:
    def test_by_name_or_not_at_all(self):
        import datetime

        create = dill("_create_capsule")
        assert create(1, b"datetime.datetime_CAPI", None, None) is datetime.datetime_CAPI
        for name in (b"no.such", b"datetime.date", b"", None):
            with pytest.raises(fp.UnpicklingError, match="capsule"):
                create(1, name, None, None)


class TestTypesOfDill:
    @pytest.mark.parametrize("name", ["int", "FunctionType", "PartialType", "DictKeysType"])
    def test_by_name(self, name):
        assert isinstance(dill("_load_type")(name), type)

    def test_files_written_in_python(self):
        import _pyio

        assert dill("_load_type")("PyTextWrapperType") is _pyio.TextIOWrapper

    def test_capsules_and_exit(self):
        import _socket

        assert dill("_load_type")("PyCapsuleType") is type(_socket.CAPI)
        assert dill("_load_type")("ExitType").__name__ == "Quitter"

    def test_unknown(self):
        for name in ("NoSuchType", "PyIntType"):
            with pytest.raises(fp.UnpicklingError, match=name):
                dill("_load_type")(name)


class TestCodeOfDill:
    """Lists of arguments from other releases of Python, with bytecode of this one."""

    HEAD = ("argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags")
    NAMED = ("consts", "names", "varnames", "filename", "name")

    def parts(self, func, *leave_out):
        code = func.__code__
        head = [getattr(code, f"co_{name}") for name in self.HEAD if name not in leave_out]
        named = [getattr(code, f"co_{name}") for name in self.NAMED]
        return code, head, named

    @pytest.mark.parametrize("text", [False, True])
    def test_of_38_and_310(self, text):
        code, head, named = self.parts(lambda x: x + 1)
        compiled = code.co_code.decode("latin-1") if text else code.co_code
        args = [*head, compiled, *named, 1, "" if text else b"", (), ()]
        made = dill("_create_code")(*args)
        assert types.FunctionType(made, {})(4) == 5
        assert made == dill("_create_code")(b"", *args)

    def test_of_37_and_27(self):
        for left_out in (("posonlyargcount",), ("posonlyargcount", "kwonlyargcount")):
            code, head, named = self.parts(lambda x: x + 1, *left_out)
            made = dill("_create_code")(*head, code.co_code, *named, 1, b"", (), ())
            assert types.FunctionType(made, {})(4) == 5

    @pytest.mark.parametrize("tables", [1, 2, 4])
    def test_of_311_and_its_forerunners(self, tables):
        code, head, named = self.parts(lambda x: x + 1)
        args = [*head, code.co_code, *named, "qual.name", 1, *[b""] * tables, (), ()]
        made = dill("_create_code")(*args)
        assert types.FunctionType(made, {})(4) == 5
        if sys.version_info >= (3, 11):
            assert made.co_qualname == "qual.name"

    def test_any_other_count_is_an_error(self):
        with pytest.raises(fp.UnpicklingError, match="3 arguments"):
            dill("_create_code")(1, 2, 3)


class TestNamedTuplesOfDill:
    def test_by_name_where_it_can_be_found(self):
        create = dill("_create_namedtuple")
        found = create("Match", ["a"], "difflib")
        import difflib

        assert found is difflib.Match
        made = create("Outer.Pair", ("a", "b"), "no_such_module", (2,))
        assert (made.__name__, made.__qualname__) == ("Pair", "Outer.Pair")
        assert made.__module__ == "no_such_module"
        assert made(1) == (1, 2)


class TestNamesOfDill:
    def test_modules_and_classes(self):
        load = dill("_import_module")
        assert load("collections.abc") is collections.abc
        assert load("collections.OrderedDict") is collections.OrderedDict
        assert load("sys") is sys
        assert load("no.such", True) is None
        with pytest.raises(ModuleNotFoundError):
            load("no.such")

    def test_what_builtins_names(self):
        get = dill("_get_attr")
        assert get("builtins", "len") is len
        assert get("builtins", "format") is format
        assert get([1], "count")(1) == 1


class TestFilesOfDill:
    """The three ways in which dill stores a file, on a file that holds 'hello'."""

    HANDLE, CONTENTS, FILE = range(3)

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("hello")
        return path

    def create(self, path, mode, position, fmode, text="", closed=False, strict=False):
        args = (str(path), mode, position, closed, open, strict, fmode, text)
        return dill("_create_filehandle")(*args)

    def test_a_handle_is_a_new_one(self, path):
        with self.create(path, "r", 3, self.HANDLE) as file:
            assert (file.tell(), file.mode, file.read()) == (0, "r", "hello")
        with self.create(path, "w", 3, self.HANDLE) as file:
            assert file.tell() == 0
        assert path.read_text() == ""

    @pytest.mark.parametrize("mode", ["w", "w+", "x", "wb"])
    def test_contents_are_not_cut_off(self, path, mode):
        with self.create(path, mode, 9, self.CONTENTS) as file:
            assert file.tell() == 5
            assert file.name == str(path)
            file.write(b"!" if "b" in mode else "!")
        assert path.read_text() == "hello!"

    @pytest.mark.parametrize("mode", ["r", "w", "wb", "a"])
    def test_a_file_is_made_again(self, tmp_path, mode):
        path = tmp_path / "new"
        with self.create(path, mode, 2, self.FILE, "text") as file:
            assert file.tell() == 2
            assert file.mode == mode
        assert path.read_text() == "text"

    def test_closed_and_standard_ones(self, path):
        assert self.create(path, "r", 0, self.HANDLE, closed=True).closed
        assert self.create("<stderr>", "w", -1, self.HANDLE) is sys.__stderr__
        with self.create("<fdopen>", "w+", 0, self.HANDLE) as file:
            assert file.write("x") == 1

    def test_one_that_is_not_there(self, tmp_path):
        with self.create(tmp_path / "none", "r", 4, self.HANDLE) as file:
            assert file.read() == ""
        with pytest.raises(FileNotFoundError):
            self.create(tmp_path / "none", "r", 4, self.HANDLE, strict=True)
        with pytest.raises(fp.UnpicklingError, match="cannot open"):
            self.create(tmp_path / "no" / "folder", "w", 0, self.HANDLE)

    def test_one_that_has_shrunk(self, path):
        with pytest.raises(ValueError, match="5 bytes"):
            self.create(path, "r", 6, self.CONTENTS, strict=True)

    def test_text_in_memory(self):
        file = dill("_create_stringi")("text", 2, False)
        assert file.read() == "xt"
        assert dill("_create_stringo")(b"text", 0, True).closed
