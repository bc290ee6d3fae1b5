"""The first five minutes: ferropickle in the place of pickle."""

import io
import pickle
from dataclasses import dataclass

import ferropickle as fp


@dataclass
class Job:
    """An ordinary class, found by name when it is loaded."""

    name: str
    steps: list


def main() -> None:
    shared = ["load", "clean"]
    jobs = {"a": Job("first", shared), "b": Job("second", shared)}
    jobs["self"] = jobs  # cycles are no matter

    # The same functions as pickle's.
    data = fp.dumps(jobs)
    copy = fp.loads(data)
    assert copy["a"] == jobs["a"]
    assert copy["a"].steps is copy["b"].steps  # shared before, shared after
    assert copy["self"] is copy

    # The bytes are a pickle: the standard library reads them, and ferropickle reads its bytes.
    assert pickle.loads(data)["b"] == jobs["b"]
    assert fp.loads(pickle.dumps(jobs))["b"] == jobs["b"]

    # Files, and several objects one after the other.
    file = io.BytesIO()
    pickler = fp.Pickler(file)
    pickler.dump(jobs["a"])
    pickler.dump(jobs["b"])
    file.seek(0)
    unpickler = fp.Unpickler(file)
    first, second = unpickler.load(), unpickler.load()
    assert first.steps is second.steps  # one pickler, one memo

    # Depth is bounded by memory alone, not by the recursion limit.
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    back = fp.loads(fp.dumps(deep))
    depth = 0
    while back:
        back, depth = back[0], depth + 1
    assert depth == 100_000

    # Choices are values: for one call, or for a block.
    assert fp.loads(data, policy=fp.Policy(gc="keep"))["a"] == jobs["a"]
    with fp.policy(gc="keep"):
        assert fp.loads(data)["a"] == jobs["a"]

    print(f"{len(data)} bytes, two jobs, one shared list, one cycle: the copy is the same")


if __name__ == "__main__":
    main()
