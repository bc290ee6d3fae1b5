"""Workloads of NumPy arrays and of tables over them.

Large ones are measured by the wall: page faults are most of their cost, and threads may help.
"""

from __future__ import annotations

from typing import Any

from .plain import str_ascii_unique
from .table import payload, rng_of

_NUMPY = ("numpy",)
_IN_BAND = {"needs": _NUMPY, "also": ("joblib",)}


@payload(10_000, "arrays of 1 KiB", **_IN_BAND)
def arrays_1k(n: int) -> Any:
    import numpy as np

    return [np.arange(i, i + 128, dtype=np.int64) for i in range(n)]


@payload(10_000, "arrays of 1 KiB, out of band", needs=_NUMPY, name="arrays_1k_oob", oob=True)
def _arrays_1k_oob(n: int) -> Any:
    return arrays_1k(n)


@payload(1_000, "arrays of 64 KiB", **_IN_BAND)
def arrays_64k(n: int) -> Any:
    import numpy as np

    return [np.arange(i, i + 8192, dtype=np.int64) for i in range(n)]


@payload(1_000, "arrays of 64 KiB, out of band", needs=_NUMPY, name="arrays_64k_oob", oob=True)
def _arrays_64k_oob(n: int) -> Any:
    return arrays_64k(n)


@payload(100, "arrays of 256 KiB in a dict", **_IN_BAND)
def dict_of_arrays(n: int) -> Any:
    import numpy as np

    return {f"layer {i}": np.arange(i, i + 32_768, dtype=np.float64) for i in range(n)}


@payload(100, "of them, out of band", needs=_NUMPY, name="dict_of_arrays_oob", oob=True)
def _dict_of_arrays_oob(n: int) -> Any:
    return dict_of_arrays(n)


@payload(10_000, "rows of one array", **_IN_BAND)
def array_rows(n: int) -> Any:
    import numpy as np

    return list(np.arange(n * 16, dtype=np.float64).reshape(n, 16))


@payload(256, "MiB in band", **_IN_BAND, clock="wall")
def array_inband(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**17, dtype=np.float64)


@payload(256, "MiB out of band", needs=_NUMPY, name="array_oob", oob=True)
def _array_oob(n: int) -> Any:
    return array_inband(n)


@payload(64, "MiB, every second column", **_IN_BAND, clock="wall")
def array_strided(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[:, ::2]


@payload(64, "MiB, every second row", **_IN_BAND, clock="wall")
def array_rows_strided(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[::2]


@payload(64, "MiB, turned, with gaps", **_IN_BAND, clock="wall")
def array_turned(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[:, ::2].T


@payload(64, "MiB, first index fastest", **_IN_BAND, clock="wall")
def array_fortran(n: int) -> Any:
    import numpy as np

    return np.asfortranarray(np.arange(n * 2**17, dtype=np.float64).reshape(-1, 1024))


@payload(500_000, "rows of (i4, f8, S10)", **_IN_BAND)
def array_structured(n: int) -> Any:
    import numpy as np

    array = np.zeros(n, dtype=[("key", "i4"), ("value", "f8"), ("name", "S10")])
    array["key"] = np.arange(n)
    array["name"] = b"abcdefghij"
    return array


@payload(100_000, "strings of U12", **_IN_BAND)
def array_str_U(n: int) -> Any:
    import numpy as np

    return np.array([f"value {i % 10_000}" for i in range(n)], dtype="U12")


@payload(100_000, "records", **_IN_BAND)
def array_records(n: int) -> Any:
    import numpy as np

    array = np.zeros(n, dtype=[("key", "i8"), ("at", "M8[s]"), ("name", "U12")])
    array["key"] = np.arange(n)
    return array


@payload(20_000, "np.float64", **_IN_BAND)
def numpy_scalars(n: int) -> Any:
    import numpy as np

    rng = rng_of()
    return [np.float64(rng.random()) for _ in range(n)]


@payload(50_000, "objects", **_IN_BAND)
def array_object(n: int) -> Any:
    import numpy as np

    array = np.empty(n, dtype=object)
    array[:] = str_ascii_unique(n)
    return array


@payload(100_000, "rows", needs=("numpy", "pandas"), oob=True)
def pandas_frame(n: int) -> Any:
    import numpy as np
    import pandas as pd

    times = pd.date_range("2020", periods=n, freq="s")
    return pd.DataFrame({"a": np.arange(n) / 7, "b": np.arange(n), "t": times})


@payload(1_000_000, "rows x 6 float64", needs=("numpy", "pandas"), also=("joblib",), clock="wall")
def pandas_numeric(n: int) -> Any:
    import numpy as np
    import pandas as pd

    return pd.DataFrame(np.arange(n * 6, dtype=np.float64).reshape(n, 6), columns=list("abcdef"))


@payload(
    1_000_000, "rows x 6 float64, out of band", needs=("numpy", "pandas"),
    name="pandas_numeric_oob", oob=True,
)  # fmt: skip
def _pandas_numeric_oob(n: int) -> Any:
    return pandas_numeric(n)


@payload(64, "MiB", also=("joblib",), clock="wall")
def bytearray_big(n: int) -> Any:
    return bytearray(rng_of().randbytes(2**20) * n)
