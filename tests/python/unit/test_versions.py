"""What streams tell of the sender's packages, and what errors make of it."""

import importlib
import io
import pickle
import pickletools
import platform
import sys

import pytest

import ferropickle as fp
from ferropickle.compat import cloudpickle
from ferropickle.compat import pickle as compat
from helpers.crossing import raised

HERE = f"python=={platform.python_version()}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes `fp_versioned` anew, of a given version and with the texts of its modules."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "fp_versioned"
    folder.mkdir()

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
            del sys.modules[name]

    def make(version, **modules):
        forget()
        for old in folder.iterdir():
            old.unlink()
        for name, text in {"__init__": f"__version__ = {version!r}", **modules}.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(folder.name)

    yield make
    forget()


def told(data):
    """What the stream tells: every text that is thrown away at once."""
    found = list(pickletools.genops(data))
    return [
        text
        for (op, text, _), (after, _, _) in zip(found, found[1:])
        if "UNICODE" in op.name and after.name == "POP"
    ]


def stream(package, **options):
    """A stream with a class of the package of version 2.5."""
    package("2.5", a="class Klass: pass")
    module = importlib.import_module("fp_versioned.a")
    return fp.dumps([module.Klass(), module.Klass], **options)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_package_is_told_once_in_a_stream(protocol, package):
    data = stream(package, protocol=protocol)
    assert told(data) == [f"fp_versioned==2.5 {HERE}"]
    back = pickle.loads(data)
    assert type(back[0]) is back[1] is fp.loads(data)[1]
    file = io.BytesIO()
    pickler = fp.Pickler(file, protocol)
    for _ in range(2):
        file.truncate(file.seek(0))
        pickler.clear_memo()
        pickler.dump(back)
        assert told(file.getvalue()) == [f"fp_versioned==2.5 {HERE}"]


def test_pythons_version_is_told_once(package):
    package("2.5", a="class Klass: pass")
    module = importlib.import_module("fp_versioned.a")
    raises = pytest.raises
    for obj in ([raises, module.Klass], lambda: (raises, module.Klass, module)):
        first, second = told(fp.dumps(obj))
        assert first.endswith(f" {HERE}")
        expected = {f"_pytest=={pytest.__version__}", "fp_versioned==2.5"}
        assert {first.removesuffix(f" {HERE}"), second} == expected


@pytest.mark.parametrize(
    "obj",
    [{"a": [1, "b", 2.0]}, len, pickle.Pickler, pickletools, lambda: io, told, sys.path],
    ids=["data", "built-in", "class", "module", "lambda", "no version", "list"],
)
def test_nothing_is_told_of_python_itself(obj):
    assert told(fp.dumps(obj)) == []


@pytest.mark.parametrize("protocol", range(4))
def test_streams_of_first_protocols_are_as_they_were(protocol, package):
    assert told(stream(package, protocol=protocol)) == []


def test_the_face_of_pickle_tells_nothing(package):
    assert told(stream(package, policy=fp.Policy(face="pickle"))) == []
    assert told(compat.dumps(pytest.raises)) == []
    assert told(cloudpickle.dumps(pytest.raises)) != []


def test_the_version_that_the_installer_noted(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    for name in ("fp_noted", "fp_unnoted"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("class Klass: pass")
    (site / "fp.noted_more-9.dist-info").mkdir()
    (site / "FP_Noted-1.4.dist-info").mkdir()
    (site / "fp_single.py").write_text("class Klass: pass")
    (site / "fp_single-0.1.dist-info").mkdir()
    monkeypatch.syspath_prepend(site)
    for name, expected in [
        ("fp_noted", [f"fp_noted==1.4 {HERE}"]),
        ("fp_single", [f"fp_single==0.1 {HERE}"]),
        ("fp_unnoted", []),
    ]:
        try:
            assert told(fp.dumps(importlib.import_module(name).Klass)) == expected
        finally:
            del sys.modules[name]


@pytest.mark.parametrize("version", [7, None, "", "1 0", "1" * 65, "é"])
def test_what_is_no_version_is_not_told(version, tmp_path, monkeypatch):
    name = f"fp_odd_{hash(version)}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(f"__version__ = {version!r}\nclass Klass: pass")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        data = fp.dumps(importlib.import_module(name).Klass)
    finally:
        del sys.modules[name]
    assert told(data) == []


LOADS = {
    "loads": fp.loads,
    "load": lambda data: fp.load(io.BytesIO(data)),
    "Unpickler": lambda data: fp.Unpickler(io.BytesIO(data)).load(),
}
SENT = rf"pickled with fp_versioned 2\.5 on Python {platform.python_version()}"


@pytest.mark.parametrize("loads", LOADS.values(), ids=LOADS)
def test_a_missing_class(loads, package):
    data = stream(package)
    package("1.0", a="class Other: pass")
    with pytest.raises(
        AttributeError, match=rf"Klass.*fp_versioned\.a.*\({SENT}; here fp_versioned is 1\.0\)"
    ):
        loads(data)


@pytest.mark.parametrize("loads", LOADS.values(), ids=LOADS)
def test_a_missing_module(loads, package):
    data = stream(package)
    package("1.0")
    text = r"No module named 'fp_versioned\.a' \(to load fp_versioned\.a\.Klass, "
    with pytest.raises(ModuleNotFoundError, match=f"{text}{SENT}; here fp_versioned is 1.0"):
        loads(data)
    del sys.modules["fp_versioned"]
    sys.path.pop(0)
    importlib.invalidate_caches()
    text = r"No module named 'fp_versioned' \(to load fp_versioned\.a\.Klass, "
    rest = r"; here fp_versioned is not installed: pip install 'fp_versioned==2\.5'\)"
    with pytest.raises(ModuleNotFoundError, match=f"{text}{SENT}{rest}") as caught:
        loads(data)
    assert caught.value.name == "fp_versioned"


@pytest.mark.parametrize(
    ("module", "version", "command"),
    [
        ("fp_absent", "1.0rc1", "pip install 'fp_absent==1.0rc1'"),
        ("fp_absent.inner", "2!1.0", "pip install 'fp_absent==2!1.0'"),
        ("fp_absent", "2.5.0+cu121", "pip install 'fp_absent==2.5.0'"),
        ("Bio.Absent", "1.85", "pip install 'biopython==1.85'"),
        ("fp_absent", "1';reboot;'", None),
        ("fp_absent", "--pre", None),
        ("-r", "1.0", None),
        ("fp;reboot", "1.0", None),
    ],
)
def test_the_line_that_installs_what_is_missing(module, version, command):
    """Names and versions come from the stream, the line goes to a shell: nothing but them."""
    text = f"{module.partition('.')[0]}=={version} {HERE}".encode()
    head = b"\x80\x04\x8c" + bytes([len(text)]) + text + b"0"
    with pytest.raises(ModuleNotFoundError) as caught:
        fp.loads(head + f"c{module}\nKlass\n.".encode())
    package = module.partition(".")[0]
    said = f"here {package} is not installed" + (f": {command}" if command else "")
    assert str(caught.value).endswith(f"; {said})")


def test_a_missing_module_that_a_function_uses(package):
    module = package("2.5", a="")
    importlib.import_module("fp_versioned.a")
    data = fp.dumps(lambda: module.a)
    package("1.0")
    with pytest.raises(ModuleNotFoundError, match=rf"fp_versioned\.a' \({SENT}"):
        fp.loads(data)


def test_a_module_of_no_version_is_named_with_what_it_has(tmp_path):
    with pytest.raises(ModuleNotFoundError) as caught:
        fp.loads(b"\x80\x04\x8c\x09fp_absent\x8c\x05Klass\x93.")
    assert str(caught.value) == "No module named 'fp_absent' (to load fp_absent.Klass)"


def test_the_texts_of_pickle_stay_in_its_face(package):
    data = stream(package)
    package("1.0")
    ours, theirs = raised(compat.loads, data), raised(pickle.loads, data)
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))
    assert "fp_versioned 2.5" in ours.__notes__[0]


def test_an_unpicklers_own_error_stays(package):
    class Unpickler(fp.Unpickler):
        def find_class(self, module, name):
            raise AttributeError("no")

    data = stream(package)
    assert str(raised(Unpickler(io.BytesIO(data)).load)) == "no"


@pytest.mark.parametrize(
    "body", ["import fp_nowhere", "raise AttributeError('its own')"], ids=["import", "attribute"]
)
def test_an_error_of_the_modules_own_code_stays(body, package):
    data = stream(package)
    package("1.0", a=body)
    ours, theirs = raised(fp.loads, data), raised(pickle.loads, data)
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))


@pytest.mark.parametrize("text", ["==", "a==b==c", "a== ", "==1", "é==1", "a==1 b==2", "a==1" * 99])
def test_texts_that_mean_something_else(text, package):
    """What a stream throws away may be anything."""
    encoded = text.encode()
    head = b"X" + len(encoded).to_bytes(4, "little") + encoded + b"0"
    assert fp.loads(b"\x80\x04" + head * 300 + b"N.") is None
    with pytest.raises(ModuleNotFoundError):
        fp.loads(b"\x80\x04" + head * 300 + b"cfp_absent\nKlass\n.")
