"""Files: saved whole or not at all, opened without being read, read by any Python."""

import contextlib
import pickle
import tempfile
import zipfile
from pathlib import Path

import ferropickle as fp


class Series:
    """Holds its numbers in one piece of memory, as an array does."""

    def __init__(self, data: bytearray | memoryview) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: int) -> tuple[type, tuple[pickle.PickleBuffer]]:
        return Series, (pickle.PickleBuffer(self.data),)


def main(folder: Path) -> None:
    path = folder / "model.fp"
    model = {
        "weights": Series(bytearray(range(256)) * 40_000),
        "bias": Series(bytearray(1000)),
        "options": {"rate": 0.1},
    }
    fp.save(model, path)

    # Opening reads nothing; one value of a dict is made without the others.
    with fp.open(path) as file:
        assert list(file) == ["weights", "bias", "options"]
        assert file["options"] == {"rate": 0.1}
        weights = memoryview(file["weights"].data)
    assert weights[255] == 255  # read now, from the file's pages
    weights[255] = 0  # stays in this process
    assert memoryview(fp.load_file(path)["weights"].data)[255] == 255

    # A stock Python reads it.
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("buffers/")]
        buffers = [bytearray(archive.read(name)) for name in names]
        again = pickle.loads(archive.read("stream.pkl"), buffers=buffers)
    assert again["options"] == {"rate": 0.1}

    # What cannot be written leaves the file as it was.
    with contextlib.suppress(KeyboardInterrupt):
        fp.save({"weights": model["weights"]}, path, progress=stop)
    assert sorted(fp.load_file(path)) == ["bias", "options", "weights"]

    # Compressed by all processors; what does not shrink is left as it is.
    fp.save(model, path, policy=fp.Policy(compression="zstd"))
    print(f"{path.stat().st_size:,} bytes for {len(weights):,}")

    # A byte that was changed is found, and its entry named.
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    try:
        fp.load_file(path)
    except fp.ParcelError as error:
        print(str(error).replace(str(folder), ""))

    # The same without a file: a stream and its buffers, of which nothing is copied.
    parcel = fp.pack(model)
    print(f"{len(parcel.stream)} bytes of stream, {len(parcel.buffers)} buffers")
    back = fp.unpack(parcel.to_bytes(), copy="never")
    assert bytes(back["bias"].data) == bytes(1000)


def stop(done: int, total: int) -> None:
    """A callback that says how far it is, and may end it."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
