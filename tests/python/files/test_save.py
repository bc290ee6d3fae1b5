"""Files as they are written: what other programs see, and what happens when writing fails."""

import ast
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import zipfile

import pytest

import ferropickle as fp
from ferropickle import _files
from helpers.archives import data_at
from helpers.blocks import Block, content
from helpers.subprocs import environment, run_python

TEXT = b"some text that compresses well, " * 4000
FAST = fp.Policy(fsync=False)


def sample():
    return {
        "large": Block(bytearray(os.urandom(300_000))),
        "small": Block(b"abc"),
        "empty": Block(b""),
        "text": Block(TEXT),
        "n": [1, 2, 3],
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.fp"


class TestOtherPrograms:
    def test_the_lines_of_the_documentation_read_it(self, path):
        value = sample()
        fp.save(value, path)
        code = textwrap.dedent(_files.__doc__.split("::\n")[1].split("\n\nFiles with")[0])
        assert len(ast.parse(code).body[0].body) == 3
        names = {"zipfile": zipfile, "pickle": pickle}
        exec(code.replace("model.fp", str(path)), names)
        assert content(names["obj"]) == content(value)

    def test_zipfile_finds_no_fault(self, path):
        fp.save(sample(), path)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert names == ["stream.pkl", *(f"buffers/000{n}" for n in range(4)), "meta.json"]
            about = json.loads(archive.read("meta.json"))
            assert about["buffers"] == 4
            assert about["buffers_nbytes"] == 300_003 + len(TEXT)

    @pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
    def test_unzip_lists_and_tests_it(self, path):
        fp.save([Block(os.urandom(100_000)) for _ in range(20)], path)
        listed = subprocess.run(["unzip", "-l", path], capture_output=True, text=True, check=True)
        assert "buffers/0019" in listed.stdout
        subprocess.run(["unzip", "-tq", path], check=True, capture_output=True)

    def test_data_is_aligned(self, path):
        fp.save([Block(os.urandom(size)) for size in (1, 63, 64, 5000, 65_536, 200_000)], path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        assert len(names) == 8
        for at, length in (data_at(path, name) for name in names):
            assert at % (4096 if length >= 65_536 else 64) == 0

    def test_names_sort_in_their_order(self, path):
        fp.save([Block(b"%d" % n) for n in range(10_050)], path, policy=FAST)
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith("buffers/")]
            assert names == sorted(names)
            assert archive.read(names[10_049]) == b"10049"
        assert content(fp.load_file(path)) == [b"%d" % n for n in range(10_050)]

    def test_more_entries_than_an_old_zip_can_count(self, path):
        fp.save([Block(b"") for _ in range(70_000)], path, policy=FAST)
        with zipfile.ZipFile(path) as archive:
            assert len(archive.namelist()) == 70_002
        with fp.open(path) as file:
            assert len(file.load()) == 70_000

    @pytest.mark.parametrize(("codec", "ending"), [("zstd", ".zst"), ("lz4", ".lz4")])
    def test_compressed_entries_are_those_of_its_program(self, path, codec, ending):
        data = os.urandom(100) * 50_000
        fp.save([Block(data), Block(os.urandom(10_000))], path, policy=fp.Policy(compression=codec))
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist()[1:3] == [f"buffers/0000{ending}", "buffers/0001"]
            stored = archive.read(f"buffers/0000{ending}")
        assert len(stored) < len(data) // 10
        assert content(fp.load_file(path))[0] == data
        program = shutil.which(codec)
        if program:
            done = subprocess.run([program, "-dc"], input=stored, capture_output=True, check=True)
            assert done.stdout == data

    def test_equal_objects_make_equal_files(self, tmp_path):
        for name in "ab":
            fp.save({"x": Block(TEXT), "n": 1}, tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class TestReplacing:
    def assert_untouched(self, path):
        assert fp.load_file(path) == "the old one"
        assert os.listdir(path.parent) == [path.name]

    @pytest.fixture
    def old(self, path):
        fp.save("the old one", path)
        return path

    def test_a_file_is_replaced(self, old):
        fp.save("the new one", old)
        assert fp.load_file(old) == "the new one"
        assert os.listdir(old.parent) == [old.name]

    def test_an_object_that_cannot_be_pickled(self, old):
        with pytest.raises(pickle.PicklingError, match=r"obj\[1\]"):
            fp.save([Block(TEXT), sys._getframe()], old)
        self.assert_untouched(old)

    def test_a_callback_that_raises(self, old):
        def stop(done, total):
            raise ZeroDivisionError(f"{done} of {total}")

        with pytest.raises(ZeroDivisionError, match=r"\d+ of 20\d{6}"):
            fp.save(Block(bytes(20_000_000)), old, progress=stop)
        self.assert_untouched(old)

    def test_ctrl_c(self, old):
        # Who starts this process in the background may have it ignore the signal.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)

        def press(done, total):
            signal.raise_signal(signal.SIGINT)

        try:
            with pytest.raises(KeyboardInterrupt):
                fp.save(Block(bytes(20_000_000)), old, progress=press)
        finally:
            signal.signal(signal.SIGINT, before)
        self.assert_untouched(old)

    @pytest.mark.parametrize("compression", [None, "zstd"])
    def test_a_full_disk(self, old, compression):
        # A limit to the size of files refuses writes as a full disk does.
        run_python(
            """
            import os, resource, sys
            import ferropickle as fp
            from helpers.blocks import Block
            path, compression = sys.argv[1], sys.argv[2] or None
            resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
            noise = os.urandom(1 << 20)
            data = [Block(noise[n:] + noise[:n]) for n in range(8)]
            try:
                fp.save(data, path, policy=fp.Policy(compression=compression))
            except OSError as error:
                assert error.filename == path, error
                assert error.errno == 27, error
            else:
                raise AssertionError("it was written")
            """,
            old,
            compression or "",
        )
        self.assert_untouched(old)

    def test_a_full_disk_of_its_own(self, tmp_path):
        # A file system of 2 MiB, in namespaces of its own: nobody else sees it.
        code = """
            import errno, os, sys
            import ferropickle as fp
            from helpers.blocks import Block
            os.chdir(sys.argv[1])
            fp.save("the old one", "data.fp")
            try:
                fp.save(Block(bytes(4 << 20)), "data.fp")
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
            else:
                raise AssertionError("it was written")
            assert fp.load_file("data.fp") == "the old one"
            assert os.listdir() == ["data.fp"]
        """
        mount = f'mount -t tmpfs -o size=2m none {tmp_path} && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, "sh"]
        if not shutil.which("unshare") or subprocess.run([*command, "true"]).returncode:
            pytest.skip("this system lets nobody mount in namespaces of their own")
        python = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
        done = subprocess.run([*command, *python], env=environment(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()

    def test_a_killed_process(self, old):
        code = """
            import os, signal, sys
            import ferropickle as fp
            from helpers.blocks import Block
            def die(done, total):
                os.kill(os.getpid(), signal.SIGKILL)
            fp.save(Block(bytes(20_000_000)), sys.argv[1], progress=die)
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(old)]
        assert subprocess.run(command, env=environment()).returncode == -signal.SIGKILL
        assert fp.load_file(old) == "the old one"
        # The next one is not in its way.
        fp.save("the new one", old)
        assert fp.load_file(old) == "the new one"

    def test_permissions_are_kept(self, old):
        os.chmod(old, 0o640)
        fp.save("the new one", old)
        assert stat.S_IMODE(os.stat(old).st_mode) == 0o640

    def test_new_files_have_the_usual_permissions(self, path):
        mask = os.umask(0o027)
        try:
            fp.save(1, path)
        finally:
            os.umask(mask)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640

    def test_a_link_is_followed(self, old, tmp_path):
        link = tmp_path / "elsewhere" / "link"
        link.parent.mkdir()
        link.symlink_to(old)
        fp.save("the new one", link)
        assert link.is_symlink()
        assert fp.load_file(old) == "the new one"

    def test_places_where_no_file_can_be(self, tmp_path):
        with pytest.raises(FileNotFoundError) as raised:
            fp.save(1, tmp_path / "missing" / "data.fp")
        assert raised.value.filename == str(tmp_path / "missing" / "data.fp")
        with pytest.raises(IsADirectoryError):
            fp.save(1, tmp_path)
        with pytest.raises(TypeError):
            fp.save(1, 3)
        assert os.listdir(tmp_path) == []

    def test_names_of_all_kinds(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("plain", b"bytes", "\u00fcml\u00e4ut", b"\xff\xfe", tmp_path / "path"):
            fp.save(name, name)
            assert fp.load_file(name) == name
            assert fp.open(name).load() == name


class TestProgress:
    def test_a_callback(self, path):
        seen = []
        fp.save(
            [Block(bytes(10_000_000)), Block(TEXT)], path, progress=lambda *now: seen.append(now)
        )
        done, totals = zip(*seen)
        assert list(done) == sorted(done)
        assert set(totals) == {done[-1]}
        assert len(seen) > 1
        seen.clear()
        fp.load_file(path, progress=lambda *now: seen.append(now))
        assert seen[-1][0] == seen[-1][1]
        seen.clear()
        fp.open(path).verify(progress=lambda *now: seen.append(now))
        assert seen[-1][0] == seen[-1][1]

    def test_true_is_quiet_where_there_is_no_terminal(self, path, capfd):
        fp.save(Block(bytes(20_000_000)), path, progress=True)
        assert fp.load_file(path, progress=True)
        assert capfd.readouterr() == ("", "")

    def test_true_is_a_bar_on_a_terminal(self, path, monkeypatch):
        from ferropickle import _progress

        class Bar:
            all = []

            def __init__(self, **options):
                self.options, self.n, self.closed = options, 0, False
                self.all.append(self)

            def update(self, more):
                self.n += more

            def close(self):
                self.closed = True

        monkeypatch.setattr(_progress, "_tqdm", lambda: Bar)
        fp.save(Block(bytes(20_000_000)), path, progress=True)
        [bar] = Bar.all
        assert bar.n == bar.options["total"] > 20_000_000
        assert bar.closed

    def test_others_are_refused(self, path):
        with pytest.raises(TypeError, match="progress must be a callable"):
            fp.save(1, path, progress="yes")
        assert not path.exists()


def test_arrays_are_written_from_their_memory(path):
    run_python(
        """
        import os, resource, sys
        import ferropickle as fp
        from helpers.blocks import Block

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

        path = sys.argv[1]
        fp.save(Block(bytes(20_000_000)), path)
        data = Block(bytearray(256 << 20))
        data.data[:] = os.urandom(1 << 20) * 256
        before = peak()
        fp.save(data, path, policy=fp.Policy(fsync=False))
        used = peak() - before
        assert used < 8, f"{used} MiB to save 256"
        """,
        path,
    )


def test_a_forked_child_compresses_as_well(path):
    run_python(
        """
        import os, sys, warnings
        import ferropickle as fp
        from helpers.blocks import Block, content
        warnings.simplefilter("ignore")

        path = sys.argv[1]
        value, policy = Block(b"compress me, " * 1_000_000), fp.Policy(compression="zstd")
        fp.save(value, path, policy=policy)
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    fp.save(value, path + str(number), policy=policy)
                    assert content(fp.load_file(path + str(number))) == content(value)
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert content(fp.load_file(path)) == content(value)
        """,
        path,
    )
