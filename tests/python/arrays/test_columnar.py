"""Tables and columns of pandas, PyArrow, Polars and SciPy: round trips, and what leaves the stream.

What belongs here: packages over NumPy's or Arrow's memory. Each is skipped where it is not
installed.
"""

import pickle

import pytest

import ferropickle as fp
from helpers.routes import ALL

np = pytest.importorskip("numpy", reason="NumPy is not installed")
N = 5000


def left(obj):
    """Bytes that leave the stream, and those that stay in it."""
    parcel = fp.pack(obj)
    return sum(len(buffer) for buffer in parcel.buffers), len(parcel.stream)


def pandas_objects():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    rng = np.random.default_rng(1)
    times = pd.date_range("2020", periods=N, freq="s")
    frame = pd.DataFrame({"a": rng.random(N), "b": rng.integers(0, 9, N), "t": times})
    frame["c"] = frame["a"] < 0.5
    return {
        "frame": (frame, 25),
        "slice": (frame[::2], 12),
        "column": (frame["a"], 8),
        "times with a zone": (pd.Series(times.tz_localize("UTC")), 8),
        "time spans": (pd.Series(pd.to_timedelta(np.arange(N), unit="s")), 8),
        "categories": (pd.Series(pd.Categorical(rng.integers(0, 5, N))), 1),
        "nullable": (pd.Series(pd.array(rng.integers(0, 9, N), dtype="Int64")), 9),
        "periods": (pd.Series(pd.period_range("2000", periods=N, freq="h")), 8),
        "intervals": (pd.Series(pd.interval_range(0, N)), 16),
        "index": (pd.Index(rng.random(N)), 8),
        "levels": (pd.MultiIndex.from_product([range(50), range(N // 50)]), 2),
        "text": (pd.Series([f"text {i}" for i in range(N)]), 0),
        "objects": (pd.Series([[i] for i in range(N)]), 0),
    }


@pytest.mark.parametrize("route", ALL)
def test_pandas(route):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    for name, (obj, per_row) in pandas_objects().items():
        back = ALL[route](obj)
        kind = "frame" if isinstance(obj, pd.DataFrame) else "series"
        kind = "index" if isinstance(obj, pd.Index) else kind
        getattr(pd.testing, f"assert_{kind}_equal")(back, obj)
        if per_row:
            outside, inside = left(obj)
            assert outside >= per_row * N, name
            assert inside < 3000, name


def test_columns_of_one_block_share_it():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    values = np.zeros((100, 3))
    frame = pd.DataFrame(values, columns=list("abc"), copy=False)
    back, array = fp.loads(fp.dumps((frame, values)))
    assert np.shares_memory(back["b"].to_numpy(), array)


def sparse_objects():
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    matrix = sparse.random(300, 200, 0.1, format="csr", random_state=1)
    return {
        "csr": matrix, "csc": matrix.tocsc(), "coo": matrix.tocoo(), "bsr": matrix.tobsr(),
        "dia": sparse.eye(300).todia(), "lil": matrix.tolil(), "dok": matrix.todok(),
        "array": sparse.csr_array(matrix),
    }  # fmt: skip


@pytest.mark.parametrize("route", ALL)
def test_scipy(route):
    for name, obj in sparse_objects().items():
        back = ALL[route](obj)
        assert type(back) is type(obj)
        assert back.dtype == obj.dtype
        assert np.array_equal(back.toarray(), obj.toarray())
        if name not in ("lil", "dok"):
            assert left(obj)[1] < 1000


def arrow_objects():
    pa = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
    numbers = pa.array(np.random.default_rng(1).random(N))
    text = pa.array([None if i % 7 == 0 else f"text {i}" for i in range(N)])
    lists = pa.array([[i, i + 1] for i in range(N)])
    table = pa.table({"n": numbers, "s": text, "l": lists})
    return {
        "table": table, "batch": table.to_batches()[0], "chunked": table["s"], "numbers": numbers,
        "text": text, "lists": lists, "encoded": text.dictionary_encode(), "schema": table.schema,
        "structs": pa.StructArray.from_arrays([numbers, text], ["n", "s"]), "none": pa.nulls(5),
        "scalar": pa.scalar(5), "slice": numbers.slice(10, 20), "part": table.slice(4000, 9),
        "text slice": text.slice(7, 30), "list slice": lists.slice(5, 5), "empty": text.slice(3, 0),
    }  # fmt: skip


@pytest.mark.parametrize("route", ALL)
def test_arrow(route):
    for name, obj in arrow_objects().items():
        back = ALL[route](obj)
        assert type(back) is type(obj), name
        assert back.equals(obj), name


def test_slices_of_arrow_ship_themselves():
    for name, obj in arrow_objects().items():
        if "slice" in name or name in ("part", "empty"):
            assert sum(left(obj)) < 6000, name
    assert left(arrow_objects()["table"])[0] > 30 * N


def polars_objects():
    pl = pytest.importorskip("polars", reason="Polars is not installed")
    frame = pl.DataFrame(
        {
            "n": np.random.default_rng(1).random(N),
            "i": range(N),
            "s": [None if i % 7 == 0 else f"text {i}" for i in range(N)],
            "l": [[i, i + 1] for i in range(N)],
        }
    )
    frame = frame.with_columns(pl.col("s").cast(pl.Categorical).alias("c"))
    frame = frame.with_columns(pl.from_epoch("i", time_unit="s").alias("t"))
    return frame


@pytest.mark.parametrize("route", ALL)
def test_polars(route):
    testing = pytest.importorskip("polars.testing", reason="Polars is not installed")
    frame = polars_objects()
    for part in (frame, frame[10:20], frame[:0], frame.select("n")):
        testing.assert_frame_equal(ALL[route](part), part)
    for name in frame.columns:
        testing.assert_series_equal(ALL[route](frame[name]), frame[name])


def test_columns_of_polars_leave_the_stream():
    frame = polars_objects()
    outside, inside = left(frame)
    assert outside > 40 * N
    assert inside < 1000
    assert sum(left(frame[10:20])) < 10_000
    pl = pytest.importorskip("polars", reason="Polars is not installed")
    objects = pl.DataFrame({"o": pl.Series([object, int], dtype=pl.Object)})
    lazy = frame.lazy()
    assert fp.loads(fp.dumps(lazy)).collect().equals(frame)
    assert type(_outcome(fp.dumps, objects)) is type(_outcome(pickle.dumps, objects))


def _outcome(call, *args):
    try:
        return call(*args)
    except BaseException as error:  # what Polars raises is no Exception
        return error
