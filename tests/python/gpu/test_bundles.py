"""Bundles of kernels: which code is taken for which device, the hash, what an error says."""

import pickle
import random

import pytest

import ferropickle as fp
from ferropickle.kernels import Bundle, KernelError, Target, _bundle, _files, _load, bundle
from ferropickle.kernels._choose import order, ptx_version

H100 = Target((9, 0), (12, 4))


def ptx(version="8.0", target="sm_80"):
    return f"//\n// made by hand\n.version {version}\n.target {target}\n".encode()


def chosen(archs=(), code=None, source=False, target=H100):
    return order(archs, code, source, target)[0]


def reason(form, archs=(), code=None, source=False, target=H100):
    forms, reasons = order(archs, code, source, target)
    assert form not in forms
    return reasons[form]


def test_machine_code_for_the_device_comes_first():
    archs = ["sm_80", "sm_86", "sm_89", "sm_90"]
    assert chosen(archs, ptx(), True) == ["sm_90", "ptx", "source"]
    assert chosen(archs, ptx(), True, Target((8, 9), (12, 4)))[0] == "sm_89"


def test_then_lower_minor_versions_of_the_same_major_one():
    archs = ["sm_80", "sm_87", "sm_89", "sm_90", "sm_75", "sm_86"]
    target = Target((8, 7), (12, 4))
    assert chosen(archs, target=target) == ["sm_87", "sm_86", "sm_80"]
    assert reason("sm_89", archs, target=target) == "the device is sm_87, which is older"
    assert reason("sm_90", archs, target=target) == "the device is sm_87, of another major version"
    assert reason("sm_75", archs, target=target) == "the device is sm_87, of another major version"


def test_the_order_given_does_not_matter():
    archs = ["sm_80", "sm_86", "sm_87", "sm_89"]
    for seed in range(20):
        random.Random(seed).shuffle(archs)
        assert chosen(archs, target=Target((8, 9), (12, 0))) == sorted(archs, reverse=True)


def test_code_for_one_architecture_alone():
    assert chosen(["sm_90", "sm_90a"]) == ["sm_90a", "sm_90"]
    assert chosen(["sm_100a"], target=Target((10, 0), (12, 8))) == ["sm_100a"]
    text = reason("sm_100a", ["sm_100a"], target=Target((10, 3), (12, 9)))
    assert text == "the device is sm_103, and code for sm_100a runs on no other"


def test_code_for_a_family():
    assert chosen(["sm_100f", "sm_100"], target=Target((10, 3), (12, 9))) == ["sm_100f", "sm_100"]
    text = reason("sm_103f", ["sm_103f"], target=Target((10, 0), (12, 9)))
    assert text == "the device is sm_100, which is older"
    text = reason("sm_100f", ["sm_100f"], target=Target((12, 0), (12, 9)))
    assert text == "the device is sm_120, of another major version"


@pytest.mark.parametrize(
    ("driver", "version"),
    [
        ((11, 8), (7, 8)),
        ((12, 0), (8, 0)),
        ((12, 4), (8, 4)),
        ((12, 6), (8, 5)),
        ((12, 7), (8, 6)),
        ((12, 9), (8, 8)),
        ((13, 0), (9, 0)),
        ((13, 5), (9, 5)),
    ],
)
def test_the_driver_has_to_know_the_version_of_ptx(driver, version):
    assert ptx_version(driver) == version
    target = Target((9, 0), driver)
    assert chosen(code=ptx("{}.{}".format(*version)), target=target) == ["ptx"]
    newer = ptx(f"{version[0]}.{version[1] + 1}")
    assert "reads {}.{}".format(*version) in reason("ptx", code=newer, target=target)


def test_the_device_has_to_be_new_enough_for_ptx():
    assert chosen(code=ptx(target="sm_75")) == ["ptx"]
    assert reason("ptx", code=ptx(target="sm_100")) == "the device is sm_90, and it needs sm_100"


def test_ptx_for_one_architecture_or_family():
    assert chosen(code=ptx(target="sm_90a")) == ["ptx"]
    newer = Target((10, 0), (13, 0))
    text = reason("ptx", code=ptx(target="sm_90a"), target=newer)
    assert text == "the device is sm_100, and PTX for sm_90a runs on no other"
    assert chosen(code=ptx(target="sm_100f"), target=newer) == ["ptx"]
    text = reason("ptx", code=ptx(target="sm_100f"), target=Target((12, 0), (13, 0)))
    assert text == "the device is sm_120, which is not of the family of sm_100f"
    text = reason("ptx", code=ptx(target="sm_103f"), target=newer)
    assert text == "the device is sm_100, and it needs sm_103f"


def test_ptx_without_a_head():
    assert reason("ptx", code=b"nothing") == "it does not say its version and target"
    assert reason("ptx", code=b".version 8.0\n") == "it does not say its version and target"


def test_source_needs_a_compiler():
    assert chosen(source=True) == ["source"]
    target = Target((9, 0), (12, 4), "NVRTC is not installed")
    assert reason("source", source=True, target=target) == "NVRTC is not installed"


def test_without_a_device_there_is_only_the_source():
    forms, reasons = order(["sm_90"], ptx(), True, Target())
    assert forms == ["source"]
    assert reasons == {"sm_90": "no device is known", "ptx": "no device is known"}


@pytest.mark.parametrize("name", ["sm_9", "90", "sm_90b", "compute_90", "sm_90 ", ""])
def test_images_have_names_of_architectures(name):
    with pytest.raises(ValueError, match="architecture"):
        Bundle("cupy.RawKernel", "f", images={name: b""})


def made(**changes):
    given = {
        "kind": "cupy.RawKernel",
        "entry": "f",
        "source": "source",
        "options": {"options": ("-O3",)},
        "name_expressions": ("f<int>",),
        "images": {"sm_90": b"code"},
        "ptx": ptx(),
        "symbols": {"f<int>": "_Z1f"},
        "attributes": {"preferred_shared_memory_carveout": 50},
        "versions": {"cupy": "14"},
    }
    return Bundle(**{**given, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "cupy.RawModule"},
        {"entry": "g"},
        {"entry": None},
        {"source": "other"},
        {"source": None},
        {"options": {"options": ("-O2",)}},
        {"options": {"options": ("-", "O3")}},
        {"name_expressions": ()},
        {"images": {}},
        {"images": {"sm_80": b"code"}},
        {"images": {"sm_90": b"cod", "sm_80": b"e"}},
        {"ptx": None},
        {"ptx": b"source"},
        {"symbols": {}},
        {"attributes": {"preferred_shared_memory_carveout": 51}},
    ],
)
def test_the_hash_is_over_all_that_the_kernel_is_made_of(change):
    assert made(**change).sha256 != made().sha256


def test_the_hash_is_not_over_versions_or_order():
    assert made(versions={}).sha256 == made().sha256
    images = {"sm_80": b"a", "sm_90": b"b"}
    turned = dict(reversed(images.items()))
    assert made(images=images).sha256 == made(images=turned).sha256


def test_the_hash_stays_the_same():
    """It is part of streams."""
    expected = "be29d5b198a87ae6b6f4c64011f9a810da41ae56c8fec08d6438cabddb720419"
    assert made().sha256 == expected


def test_a_damaged_bundle_is_not_given_to_the_library(monkeypatch):
    monkeypatch.setattr(_load, "library_of", lambda kind: pytest.fail("was asked for"))
    function, (content, versions, digest) = made().__reduce__()
    for name, value in (("source", "x"), ("ptx", None), ("images", {"sm_90": b"codf"})):
        with pytest.raises(KernelError, match="SHA-256 is not the one that came with it"):
            function({**content, name: value}, versions, digest)
    for content in ({}, {**content, "images": {"x": b""}}, {**content, "more": 1}):
        with pytest.raises(KernelError, match="damaged"):
            function(content, versions, digest)


def test_a_bundle_needs_ferropickle_to_load():
    with pytest.raises(pickle.PicklingError, match="ferropickle"):
        fp.dumps(made(), policy=fp.Policy(require_stock=True))


def test_no_such_kind():
    with pytest.raises(KernelError, match="not a kind of kernel"):
        pickle.loads(fp.dumps(made(kind="opencl.Kernel")))


def test_what_a_bundle_is_made_of():
    with pytest.raises(ValueError, match="no code"):
        Bundle("cupy.RawKernel", "f")
    with pytest.raises(ValueError, match="'num_regs' is not an attribute that can be set"):
        made(attributes={"num_regs": 1})
    with pytest.raises(TypeError, match="not of 'function'"):
        bundle(lambda: None)


class Library:
    """In the place of a library: what it can load, what it was asked for."""

    def __init__(self, *loads, target=H100):
        self.loads, self.asked, self.at = loads, [], target

    def target(self):
        return self.at, 0

    def make(self, bundle, form, on_device):
        self.asked.append((form, on_device))
        if form not in self.loads:
            raise OSError(f"no {form} today")
        return type("Kernel", (), {"form": form})()


def loaded(library, monkeypatch, **changes):
    monkeypatch.setattr(_load, "library_of", lambda kind: library)
    return pickle.loads(fp.dumps(made(**changes)))


@pytest.mark.parametrize("form", ["sm_90", "ptx", "source"])
def test_the_first_form_that_loads_is_taken(form, monkeypatch):
    library = Library(form)
    images = {"sm_90": b"a", "sm_80": b"b"}
    assert loaded(library, monkeypatch, images=images, entry=form).form == form
    order = ["sm_90", "ptx", "source"]
    assert library.asked == [(name, True) for name in order[: order.index(form) + 1]]


def test_without_a_device_the_library_is_told(monkeypatch):
    library = Library("source", target=Target())
    assert loaded(library, monkeypatch).form == "source"
    assert library.asked == [("source", False)]


def test_the_error_says_why_each_form_was_not_taken(monkeypatch):
    images = {"sm_90": b"a", "sm_80": b"b"}
    newer = Target((9, 0), (12, 4), "there is no compiler")
    with pytest.raises(KernelError) as caught:
        loaded(Library(target=newer), monkeypatch, images=images, ptx=ptx("8.8"))
    lines = str(caught.value).splitlines()
    assert lines[:6] == [
        "no code of the kernel 'f' can be loaded here:",
        "  sm_80: the device is sm_90, of another major version",
        "  ptx: it is PTX 8.8, and the driver, of CUDA 12.4, reads 8.4",
        "  source: there is no compiler",
        "  sm_90: OSError: no sm_90 today",
        "It was made with cupy 14.",
    ]


def test_a_kernel_is_loaded_once_while_it_is_used(monkeypatch):
    library = Library("sm_90")
    first = loaded(library, monkeypatch, entry="once")
    assert all(loaded(library, monkeypatch, entry="once") is first for _ in range(10))
    assert len(library.asked) == 1
    del first
    loaded(library, monkeypatch, entry="once")
    assert len(library.asked) == 2


def test_files_of_code():
    code, digest = b"code of a kernel", _bundle.hashlib.sha256(b"code of a kernel").hexdigest()
    path = _files.file_with(code, digest)
    assert _files.file_with(code, digest) == path
    with open(path, "rb") as file:
        assert file.read() == code
    assert _files.contents(path) == (code, digest)
    with pytest.raises(KernelError, match="SHA-256"):
        _files.file_with(code + b" ", digest)


def test_files_of_code_without_memory_files(monkeypatch, tmp_path):
    monkeypatch.delattr(_files.os, "memfd_create")
    monkeypatch.setattr(_files.tempfile, "tempdir", str(tmp_path))
    registered = []
    monkeypatch.setattr(_files.atexit, "register", lambda *call: registered.append(call))
    code = b"code of another kernel"
    path = _files.file_with(code, _bundle.hashlib.sha256(code).hexdigest())
    with open(path, "rb") as file:
        assert file.read() == code
    (remove, pid, folder), *_ = registered
    remove(pid + 1, folder)
    assert list(tmp_path.iterdir())
    remove(pid, folder)
    assert not list(tmp_path.iterdir())


def test_the_architecture_of_machine_code():
    from ferropickle.kernels._cuda_core import arch_of_cubin

    def elf(abi, flags):
        head = bytearray(64)
        head[:6] = b"\x7fELF\x02\x01"
        head[8] = abi
        head[48:52] = flags.to_bytes(4, "little")
        return bytes(head)

    assert arch_of_cubin(elf(8, 0x06005A04)) == "sm_90"
    assert arch_of_cubin(elf(8, 0x06007802)) == "sm_120"
    assert arch_of_cubin(elf(7, 0x0050055A)) == "sm_90"
    assert arch_of_cubin(elf(7, 0)) is None
    assert arch_of_cubin(b"\x7fELF") is None
    assert arch_of_cubin(ptx()) is None
