"""Workloads that libraries make: syntax trees, graphs, models, tables."""

from __future__ import annotations

import ast
import pathlib
import sysconfig
from typing import Any

from .plain import str_ascii_unique
from .table import SEED, payload, rng_of


@payload(4, "stdlib files parsed", name="ast")
def _ast(n: int) -> Any:
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    names = ("argparse.py", "typing.py", "inspect.py", "tarfile.py", "socket.py", "ssl.py")
    return [ast.parse((root / name).read_text(encoding="utf-8")) for name in names[:n]]


@payload(5_000, "nodes, 3 edges each", needs=("networkx",))
def networkx(n: int) -> Any:
    import networkx as nx

    rng = rng_of()
    graph = nx.Graph()
    for node in range(n):
        graph.add_node(node, name=f"node-{node}", weight=rng.random())
        for _ in range(3):
            graph.add_edge(node, rng.randrange(n), cost=rng.random())
    return graph


@payload(100, "trees", needs=("sklearn",))
def sklearn_rf(n: int) -> Any:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(SEED)
    features = rng.random((400, 8))
    forest = RandomForestClassifier(n_estimators=n, max_depth=6, random_state=1)
    return forest.fit(features, features[:, 0] + features[:, 1] > 1)


@payload(20_000, "rows x 8 columns of mixed types", needs=("numpy", "pandas"))
def pandas_mixed(n: int) -> Any:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(SEED)
    return pd.DataFrame(
        {
            "key": np.arange(n),
            "a": rng.random(n),
            "b": rng.random(n),
            "flag": rng.random(n) > 0.5,
            "small": rng.integers(0, 100, n, dtype=np.int16),
            "at": pd.date_range("2020", periods=n, freq="s"),
            "kind": pd.Categorical.from_codes(rng.integers(0, 3, n), ["a", "b", "c"]),
            "what": np.array([f"value {i % 500}" for i in range(n)], dtype=object),
        }
    )


@payload(20_000, "rows x 3 columns of strings", needs=("numpy", "pandas"))
def pandas_str(n: int) -> Any:
    import pandas as pd

    words = str_ascii_unique(3 * n)
    return pd.DataFrame({name: words[i * n : i * n + n] for i, name in enumerate("abc")})
