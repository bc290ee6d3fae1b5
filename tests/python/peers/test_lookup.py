"""When a global is looked up among the names of peers, and when not."""

import io
import pickle

import pytest

import ferropickle as fp
from ferropickle.compat._streams import find
from helpers.subprocs import run_python

START = """
    import io, os, pickle, sys
    from helpers.absent import make_absent
    import ferropickle as fp
    from ferropickle.compat import pickle as face

    CELL = b"ccloudpickle.cloudpickle\\n_make_cell\\n(I5\\ntR."
"""
ABSENT = START + '    make_absent("cloudpickle", "dill")\n'


def run(code, start=ABSENT, *args):
    return run_python(start + code, *args)


def test_functions_files_and_unpicklers():
    run("""
    assert fp.loads(CELL).cell_contents == 5
    assert fp.load(io.BytesIO(CELL)).cell_contents == 5
    assert fp.Unpickler(io.BytesIO(CELL)).load().cell_contents == 5
    found = fp.Unpickler(io.BytesIO()).find_class("cloudpickle.cloudpickle", "_make_cell")
    assert found(6).cell_contents == 6

    asked = []
    class Asking(fp.Unpickler):
        def find_class(self, module, name):
            asked.append((module, name))
            return super().find_class(module, name)

    assert Asking(io.BytesIO(CELL)).load().cell_contents == 5
    assert asked == [("cloudpickle.cloudpickle", "_make_cell")]
    assert not {"cloudpickle", "dill"} & set(sys.modules)
    """)


def test_the_face_of_pickle_refuses_as_pickle_does():
    run("""
    for load in (face.loads, lambda data: face.Unpickler(io.BytesIO(data)).load(), pickle.loads):
        try:
            load(CELL)
        except ModuleNotFoundError as error:
            assert error.name == "cloudpickle"
        else:
            raise AssertionError("loaded")
    try:
        face.Unpickler(io.BytesIO()).find_class("dill._dill", "_create_cell")
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("found")
    """)


def test_an_unknown_name_says_what_to_install():
    run("""
    for module, peer in (("cloudpickle.cloudpickle", "cloudpickle"), ("dill.source", "dill")):
        try:
            fp.loads(f"c{module}\\nno_such\\n.".encode())
        except fp.UnpicklingError as error:
            text = str(error)
            assert f"{module}.no_such" in text and f"install {peer}" in text, text
        else:
            raise AssertionError("loaded")
    """)


def test_other_modules_that_are_missing_stay_missing():
    run("""
    for module in (b"dillinger", b"cloudpickle_x", b"no_such.dill", b"__builtin__"):
        try:
            fp.loads(b"\\x80\\x04c" + module + b"\\n_create_cell\\n.")
        except ModuleNotFoundError:
            continue
        raise AssertionError(module)
    """)


def test_an_installed_package_goes_first(tmp_path):
    package = tmp_path / "cloudpickle"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "cloudpickle.py").write_text(
        "def _make_cell(value):\n    return ['theirs', value]\n"
    )
    code = """
    sys.path.insert(0, sys.argv[1])
    assert fp.loads(CELL) == ["theirs", 5]
    try:
        fp.loads(b"ccloudpickle.cloudpickle\\n_make_empty_cell\\n.")
    except AttributeError:
        pass
    else:
        raise AssertionError("what the installed package lacks was found")
    """
    run(code, START, tmp_path)


def test_an_installed_package_that_is_broken_says_so(tmp_path):
    (tmp_path / "dill.py").write_text("import what_it_needs\n")
    code = """
    sys.path.insert(0, sys.argv[1])
    try:
        fp.loads(b"cdill\\n_dill\\n.")
    except ModuleNotFoundError as error:
        assert error.name == "what_it_needs"
    else:
        raise AssertionError("loaded")
    """
    run(code, START, tmp_path)


def test_audit_events_come_in_stock_order():
    run("""
    events = []
    def audit(event, args):
        if event in ("pickle.find_class", "import"):
            events.append((event, args[:2] if event == "pickle.find_class" else args[0]))
    sys.addaudithook(audit)

    def heard(loads):
        events.clear()
        try:
            loads(CELL)
        except ModuleNotFoundError:
            pass
        return list(events)

    stock, ours = heard(pickle.loads), heard(fp.loads)
    assert stock[0] == ("pickle.find_class", ("cloudpickle.cloudpickle", "_make_cell"))
    assert ours[:len(stock)] == stock, (stock, ours)
    """)


@pytest.mark.parametrize("mapped", [True, False])
def test_names_in_the_builtins_of_python_2(protocol, mapped):
    header = bytes([0x80, protocol]) if protocol > 1 else b""
    stream = header + b"(c__builtin__\n__main__\nc__builtin__\nNoneType\nl."
    import __main__

    main, none = fp.loads(stream, fix_imports=mapped)
    assert main is vars(__main__)
    assert none is type(None)
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        pickle.loads(stream, fix_imports=mapped)
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        fp.loads(header + b"c__builtin__\n__mine__\n.", fix_imports=mapped)


def test_public_names_of_dill_are_those_of_its_face():
    run("""
    from ferropickle.compat import dill
    assert fp.loads(b"cdill._dill\\ndumps\\n.") is dill.dumps
    assert fp.loads(b"cdill\\nPickler\\n.") is dill.Pickler
    """)


def test_only_listed_names_are_found():
    for module, name in [("cloudpickle.cloudpickle", "sys"), ("dill._dill", "importlib")]:
        with pytest.raises(fp.UnpicklingError, match="install"):
            find(module, name)


def test_names_are_looked_up_in_files_too():
    stream = b"(c__builtin__\nNoneType\n(lt."
    assert fp.load(io.BytesIO(stream)) == (type(None), [])
