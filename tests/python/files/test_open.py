"""Files as they are read: lazily, in parts, whole; cut short, altered, crafted."""

import gc
import os
import pickle
import random
import threading
import zipfile
from collections import OrderedDict

import pytest

import ferropickle as fp
from helpers.archives import data_at
from helpers.blocks import Block, content, read_only
from helpers.graph import assert_same_graph
from helpers.leaks import assert_no_growth

TEXT = b"some text that compresses well, " * 4000
FAST = fp.Policy(fsync=False)
POLICIES = [FAST, *(fp.Policy(fsync=False, compression=name) for name in ("zstd", "lz4"))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.fp"


@pytest.fixture(params=POLICIES, ids=lambda policy: str(policy.compression))
def policy(request):
    return request.param


def sample():
    return {"a": Block(bytearray(TEXT)), "b": Block(TEXT[::-1]), "c": [1, {"d": Block(b"xyz")}]}


@pytest.mark.parametrize("copy", ["lazy", "always"])
@pytest.mark.parametrize("verify", [False, True, "lazy"])
def test_objects_come_back(path, policy, copy, verify):
    fp.save(sample(), path, policy=policy)
    back = fp.open(path, verify=verify).load(copy=copy)
    assert content(back) == content(sample())
    assert [read_only(back[key]) for key in "ab"] == [False, True]
    assert content(fp.load_file(path)) == content(sample())
    assert [read_only(fp.load_file(path)[key]) for key in "ab"] == [False, True]


def test_large_objects_come_back(path, policy):
    noise = os.urandom(1 << 20)
    value = [Block(b"".join(noise[n:] + noise[:n] for n in range(9))), Block(TEXT * 100)]
    fp.save(value, path, policy=policy)
    assert content(fp.load_file(path)) == content(value)
    with fp.open(path, verify=True) as file:
        assert content(file.load()) == content(value)


class TestWhoseMemory:
    def test_writing_changes_no_file(self, path):
        fp.save(sample(), path)
        before = path.read_bytes()
        with fp.open(path) as file:
            first, second = file.load(), file.load()
            memoryview(first["a"].data)[0] = 0
            # Views of one file see one another, as those of one parcel do.
            assert memoryview(second["a"].data)[0] == 0
            own = file.load(copy="always")
            memoryview(own["a"].data)[1] = 0
            assert memoryview(second["a"].data)[1] != 0
        assert path.read_bytes() == before

    def test_arrays_outlive_the_file(self, path):
        fp.save(sample(), path)
        with fp.open(path) as file:
            back = file.load()
        fp.save("another", path)
        os.remove(path)
        gc.collect()
        assert content(back) == content(sample())

    def test_never_refuses_compressed_arrays(self, path):
        fp.save(sample(), path, policy=POLICIES[1])
        with fp.open(path) as file, pytest.raises(ValueError, match="buffers/0000.zst"):
            file.load(copy="never")
        fp.save(sample(), path)
        assert content(fp.open(path).load(copy="never")) == content(sample())

    def test_a_closed_file(self, path):
        fp.save(sample(), path)
        file = fp.open(path)
        assert list(file) == ["a", "b", "c"]
        assert not file.closed
        file.close()
        file.close()
        assert file.closed
        for call in (file.load, file.keys, file.verify, file.entries, lambda: file["a"]):
            with pytest.raises(ValueError, match="the file is closed"):
                list(call())

    def test_nothing_is_left_behind(self, path, policy):
        fp.save(sample(), path, policy=policy)
        assert_no_growth(lambda: fp.open(path).load(), rounds=50)
        assert_no_growth(lambda: fp.open(path)["c"], rounds=50)
        assert_no_growth(lambda: fp.load_file(path), rounds=50)
        files = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        for _ in range(20):
            fp.open(path).load()
        if files:
            assert len(os.listdir("/proc/self/fd")) == files

    def test_threads_share_an_open_file(self, path, policy):
        fp.save(sample(), path, policy=policy)
        file, failed = fp.open(path, verify="lazy"), []

        def work():
            try:
                for _ in range(20):
                    assert content(file["b"]) == content(sample()["b"])
                    assert content(file.load()) == content(sample())
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed


class TestParts:
    def test_a_dict_is_a_mapping(self, path, policy):
        fp.save(sample(), path, policy=policy)
        with fp.open(path) as file:
            assert list(file.keys()) == ["a", "b", "c"]
            assert len(file) == 3
            assert "b" in file
            assert "z" not in file
            assert file.get("z", 7) == 7
            assert content(dict(file)) == content(sample())
            assert content(list(file.values())) == content(list(sample().values()))
            with pytest.raises(KeyError, match="z"):
                file["z"]

    def test_keys_of_all_kinds(self, path):
        point = (1, ("two", 3.0), None, frozenset({4}))
        value = {1: "int", "s" * 300: 2, b"b": 3, point: 4, None: 5, True and 1.5: 6, Block: 7}
        fp.save(value, path)
        with fp.open(path) as file:
            assert list(file) == list(value)
            assert all(file[key] == value[key] for key in value)

    def test_only_what_is_asked_for_is_read(self, path):
        value = {name: Block(name.encode() * 50_000) for name in "abc"}
        fp.save(value, path)
        spoil(path, "buffers/0001")
        with fp.open(path, verify="lazy") as file:
            assert content(file["a"]) == b"a" * 50_000
            assert content(file["c"]) == b"c" * 50_000
            with pytest.raises(fp.ParcelError, match=r"buffers/0001 .*altered: crc32"):
                file["b"]
            with pytest.raises(fp.ParcelError, match="buffers/0001"):
                file.load()

    def test_only_what_is_asked_for_is_made(self, path):
        made = []
        Noted.made = made
        fp.save({"a": Noted(1), "b": [Noted(2), Noted(3)], Noted(4): "c"}, path)
        with fp.open(path) as file:
            assert file["a"].n == 1
            keys = list(file)
            assert file["b"][1].n == 3
        # Keys, the first value, the second.
        assert made == [4, 1, 2, 3]
        assert keys[2].n == 4

    def test_what_is_shared_by_values(self, path):
        shared = [1, 2, Block(TEXT)]
        value = {"x": shared, "y": [shared, shared], "z": {"again": shared, "n": "x"}}
        fp.save(value, path)
        with fp.open(path) as file:
            for key in "zyx":
                assert content(file[key]) == content(value[key])
            y = file["y"]
            assert y[0] is y[1]
            whole = file.load()
            assert whole["x"] is whole["y"][0]

    def test_cycles(self, path):
        value = {"a": [], "b": {"deep": []}, "plain": 5}
        value["a"].append(value["a"])
        value["b"]["deep"].append(value)
        value["c"] = (value["b"], value["a"])
        fp.save(value, path)
        with fp.open(path) as file:
            a = file["a"]
            assert a[0] is a
            # These hold the dict itself, so they are read with it.
            b = file["b"]
            assert b["deep"][0]["b"] is b
            c = file["c"]
            assert c[0]["deep"][0]["c"] is c
            assert file["plain"] == 5

    def test_functions_share_their_globals(self, path):
        space = {"__name__": "__main__", "n": 3, "m": 4}
        exec("def f(): return n\ndef g(): return f() + m\ndef h(x): return x", space)
        fp.save({name: space[name] for name in "fgh"}, path)
        with fp.open(path) as file:
            assert file["f"]() == 3
            assert file["g"]() == 7
            assert file["h"](5) == 5

    @pytest.mark.parametrize(
        "value", [[1, 2], "text", {}, OrderedDict(a=1, b=2)], ids=["list", "str", "dict", "other"]
    )
    def test_other_objects(self, path, value):
        fp.save(value, path)
        with fp.open(path) as file:
            if isinstance(value, dict):
                assert dict(file) == dict(value)
            else:
                with pytest.raises(TypeError, match=f"holds a {type(value).__name__}"):
                    list(file.keys())
                assert file.load() == value

    @pytest.mark.parametrize("seed", range(40))
    def test_random_dicts(self, path, seed):
        value = Builder(seed).dict()
        fp.save(value, path, policy=FAST)
        with fp.open(path) as file:
            assert list(file) == list(value)
            for key in value:
                assert_same_graph(value[key], file[key])

    def test_streams_of_others(self, path):
        # As a stock Python may write a file of this kind.
        value = {"a": Block(TEXT), "b": [1, 2]}
        value["c"] = value["b"]
        buffers = []
        stream = pickle.dumps(value, 5, buffer_callback=buffers.append)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("buffers/0000", buffers[0].raw())
            archive.writestr("stream.pkl", stream)
            archive.writestr("note.txt", "something else")
        with fp.open(path, verify=True) as file:
            assert content(file["a"]) == TEXT
            assert file["c"] == [1, 2]
            assert content(file.load()) == content(value)
        for protocol in range(5):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("stream.pkl", pickle.dumps({"b": value["b"], "n": 7}, protocol))
            with fp.open(path) as file:
                assert file["b"] == [1, 2]
                assert file["n"] == 7


class Noted:
    """Notes which of its instances are made again."""

    made: list

    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return Noted._again, (self.n,)

    @staticmethod
    def _again(n):
        Noted.made.append(n)
        return Noted(n)


class Builder:
    """Random values that share and hold one another."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seen = []

    def dict(self):
        return {f"key{n}": self.value(4) for n in range(8)}

    def value(self, depth):
        pick = self.random.random()
        if self.seen and pick < 0.25:
            return self.random.choice(self.seen)
        if depth == 0 or pick < 0.4:
            return self.random.choice([1, 2.5, "text" * 3, b"bytes", None, 1 << 70])
        size = self.random.randrange(4)
        if pick < 0.6:
            made = []
            self.seen.append(made)
            made += [self.value(depth - 1) for _ in range(size)]
        elif pick < 0.75:
            made = {}
            self.seen.append(made)
            made.update((f"k{n}", self.value(depth - 1)) for n in range(size))
        elif pick < 0.9:
            made = tuple(self.value(depth - 1) for _ in range(size))
            self.seen.append(made)
        else:
            made = {f"m{n}" for n in range(size)}
            self.seen.append(made)
        return made


def spoil(path, name, by=1):
    """Change one byte in the middle of an entry's data."""
    at, length = data_at(path, name)
    data = bytearray(path.read_bytes())
    data[at + length // 2] ^= by
    path.write_bytes(data)


class TestBadFiles:
    @pytest.mark.parametrize("name", ["stream.pkl", "buffers/0000", "meta.json"])
    def test_what_is_altered_is_named(self, path, name):
        fp.save(sample(), path)
        spoil(path, name)
        text = rf"{path.name}: {name} \(at byte \d+\): altered: crc32 is [0-9a-f]{{8}}, it was "
        with pytest.raises(fp.ParcelError, match=text):
            fp.open(path, verify=True)
        file = fp.open(path)
        with pytest.raises(fp.ParcelError, match=text):
            file.verify()
        if name != "meta.json":
            with pytest.raises(fp.ParcelError, match=text):
                fp.load_file(path)
            with pytest.raises(fp.ParcelError, match=text):
                fp.open(path, verify="lazy").load()
        if name == "stream.pkl":
            with pytest.raises(fp.ParcelError, match=text):
                file.load()
            with pytest.raises(fp.ParcelError, match=text):
                file["a"]

    def test_compressed_arrays_are_always_checked(self, path):
        fp.save(sample(), path, policy=POLICIES[1])
        spoil(path, "buffers/0000.zst")
        with pytest.raises(fp.ParcelError, match="buffers/0000.zst .*altered"):
            fp.open(path)["a"]

    def test_unverified_loads_say_so(self, path):
        fp.save(Block(TEXT), path)
        spoil(path, "buffers/0000")
        assert content(fp.load_file(path, verify=False)) != TEXT
        assert content(fp.open(path).load()) != TEXT
        with pytest.raises(ValueError, match="verify must be"):
            fp.open(path, verify="sometimes")

    def test_cut_anywhere(self, path, policy):
        fp.save({"a": Block(TEXT[:600]), "b": Block(b"x")}, path, policy=policy)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            for read in (fp.open, fp.load_file):
                with pytest.raises(fp.ParcelError, match="data.fp: directory .*cut short"):
                    read(path)

    def test_any_byte_changed(self, path, policy):
        value = {"a": Block(TEXT[:600]), "b": Block(b"x")}
        fp.save(value, path, policy=policy)
        whole = path.read_bytes()
        texts = []
        for at in range(len(whole)):
            other = bytearray(whole)
            other[at] ^= 0xFF
            path.write_bytes(other)
            for read in (lambda: fp.open(path, verify=True).load(), lambda: fp.load_file(path)):
                try:
                    back = read()
                except fp.ParcelError as error:
                    texts.append(str(error))
                else:
                    assert content(back) == content(value)
        assert len(texts) > len(whole) / 4
        assert all(text.startswith(f"{path}: ") for text in texts)

    def test_random_damage(self, path):
        fp.save({"a": Block(TEXT[:600]), "b": Block(b"x")}, path)
        whole, draw = path.read_bytes(), random.Random(1)
        for _ in range(300):
            other = bytearray(whole)
            for _ in range(draw.randrange(1, 6)):
                at = draw.randrange(len(other))
                other[at : at + draw.randrange(9)] = draw.randbytes(draw.randrange(9))
            path.write_bytes(other)
            try:
                fp.open(path, verify=True).load()
            except (fp.ParcelError, pickle.UnpicklingError):
                pass

    def test_archives_of_others(self, path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("stream.pkl", pickle.dumps([1] * 1000))
        with pytest.raises(fp.ParcelError, match="compressed or encrypted by the archive"):
            fp.open(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other.txt", "text")
        with pytest.raises(fp.ParcelError, match="there is no stream.pkl"):
            fp.open(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("stream.pkl", pickle.dumps(1))
            archive.writestr("buffers/0001", b"x")
        with pytest.raises(fp.ParcelError, match="numbers of its buffers have gaps"):
            fp.open(path)

    def test_no_files(self, path, tmp_path):
        with pytest.raises(FileNotFoundError) as raised:
            fp.open(path)
        assert raised.value.filename == str(path)
        with pytest.raises(OSError):
            fp.open(tmp_path)
        path.write_bytes(b"")
        with pytest.raises(fp.ParcelError, match="cut short"):
            fp.open(path)
        with pytest.raises(FileNotFoundError):
            fp.load_file(tmp_path / "missing")

    def test_too_few_buffers(self, path):
        buffers = []
        stream = pickle.dumps([Block(b"a")], 5, buffer_callback=buffers.append)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("stream.pkl", stream)
        for read in (fp.load_file, lambda path: fp.open(path).load()):
            with pytest.raises(
                pickle.UnpicklingError, match="data.fp: buffer 0 .*: it is not in the file"
            ):
                read(path)


def test_a_file_larger_than_four_gibibytes(path):
    size = (5 << 30) + 7
    buffers = []
    stream = pickle.dumps({"big": Block(bytearray(1)), "n": 1}, 5, buffer_callback=buffers.append)
    # As many bytes as that, none of which is on the disk.
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("buffers/0000")
        info.file_size = info.compress_size = size
        info.CRC = info.header_offset = 0
        archive.fp.write(info.FileHeader(zip64=True))
        archive.fp.seek(size, os.SEEK_CUR)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(info)
        archive.NameToInfo[info.filename] = info
        archive.writestr("stream.pkl", stream)
    assert os.stat(path).st_blocks * 512 < 1 << 20
    with fp.open(path) as file:
        assert file["n"] == 1
        view = memoryview(file["big"].data)
        assert view.nbytes == size
        assert view[size - 1] == 0
        view[1 << 32] = 5
        assert bytes(view[(1 << 32) - 1 : (1 << 32) + 2]) == b"\0\5\0"
