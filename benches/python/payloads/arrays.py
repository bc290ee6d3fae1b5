"""Workloads of NumPy arrays and of tables over them.

Large ones are measured by the wall: page faults are most of their cost, and threads may help.
"""

from __future__ import annotations

from typing import Any

from .plain import str_ascii_unique
from .table import payload, rng_of

_NUMPY = ("numpy",)


@payload(10_000, "arrays of 1 KiB", needs=_NUMPY)
def arrays_1k(n: int) -> Any:
    import numpy as np

    return [np.arange(i, i + 128, dtype=np.int64) for i in range(n)]


@payload(10_000, "arrays of 1 KiB, out of band", needs=_NUMPY, name="arrays_1k_oob", oob=True)
def _arrays_1k_oob(n: int) -> Any:
    return arrays_1k(n)


@payload(1_000, "arrays of 64 KiB, out of band", needs=_NUMPY, oob=True)
def arrays_64k_oob(n: int) -> Any:
    import numpy as np

    return [np.arange(i, i + 8192, dtype=np.int64) for i in range(n)]


@payload(10_000, "rows of one array", needs=_NUMPY)
def array_rows(n: int) -> Any:
    import numpy as np

    return list(np.arange(n * 16, dtype=np.float64).reshape(n, 16))


@payload(256, "MiB in band", needs=_NUMPY, clock="wall")
def array_inband(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**17, dtype=np.float64)


@payload(256, "MiB out of band", needs=_NUMPY, name="array_oob", oob=True)
def _array_oob(n: int) -> Any:
    return array_inband(n)


@payload(64, "MiB, every second column", needs=_NUMPY, clock="wall")
def array_strided(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[:, ::2]


@payload(64, "MiB, every second row", needs=_NUMPY, clock="wall")
def array_rows_strided(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[::2]


@payload(64, "MiB, turned, with gaps", needs=_NUMPY, clock="wall")
def array_turned(n: int) -> Any:
    import numpy as np

    return np.arange(n * 2**18, dtype=np.float64).reshape(-1, 2048)[:, ::2].T


@payload(100_000, "records", needs=_NUMPY)
def array_records(n: int) -> Any:
    import numpy as np

    array = np.zeros(n, dtype=[("key", "i8"), ("at", "M8[s]"), ("name", "U12")])
    array["key"] = np.arange(n)
    return array


@payload(20_000, "np.float64", needs=_NUMPY)
def numpy_scalars(n: int) -> Any:
    import numpy as np

    rng = rng_of()
    return [np.float64(rng.random()) for _ in range(n)]


@payload(50_000, "objects", needs=_NUMPY)
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
