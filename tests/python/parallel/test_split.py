"""Large containers, encoded by several threads: the same objects as by one.

Graphs here are a few MiB of stream, so that they are split; whether they were is seen by the
stream, which is cut in other places than a serial one.
"""

import collections
import datetime
import decimal
import io
import os
import pickle
import random
import sys
import threading

import pytest

import ferropickle as fp
from helpers.subprocs import run_python

SERIAL = fp.Policy(threads=1)
PARALLEL = fp.Policy(threads=4)

needs_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = f"text {number}"
        self.items = [number, {"n": number}]


class Slotted:
    __slots__ = ("first", "second")

    def __init__(self, number):
        self.first = number
        self.second = [str(number)]


Point = collections.namedtuple("Point", "x y")


def record(number):
    return {
        "id": number,
        "name": f"name {number}",
        "tags": ["common", f"tag {number}"],
        "nested": {"ratio": number / 7, "flag": number % 3 == 0, "none": None},
        "bytes": b"%d" % number,
        "big": 1 << 70,
        "tuple": (number, (number, "é" * (number % 5))),
    }


def state(obj):
    """What equality should look at."""
    if isinstance(obj, Plain):
        return ("Plain", list(vars(obj).items()))
    if isinstance(obj, Slotted):
        return ("Slotted", obj.first, obj.second)
    if isinstance(obj, list):
        return (list, [state(item) for item in obj])
    if isinstance(obj, tuple):
        return (type(obj), tuple(state(item) for item in obj))
    if isinstance(obj, dict):
        return (dict, [(state(key), state(value)) for key, value in obj.items()])
    return obj


def dumped(graph, policy=PARALLEL, split=True):
    stream = fp.dumps(graph, policy=policy)
    if (os.cpu_count() or 1) > 1:
        assert (stream != fp.dumps(graph, policy=SERIAL)) == split
    return stream


def ring(count):
    """Nodes that lead to all before them, and to some after."""
    nodes = [Plain(n) for n in range(count)]
    for at, node in enumerate(nodes):
        node.items = [nodes[max(0, at - step)] for step in (1, 7, 19)]
        node.items.append(nodes[min(count - 1, at - at % 20 + 19)])
    return nodes


GRAPHS = {
    "list": lambda: [record(n) for n in range(30_000)],
    "tuple": lambda: tuple(record(n) for n in range(30_000)),
    "dict": lambda: {f"key {n}": record(n) for n in range(30_000)},
    "dict of numbers": lambda: {n: record(n) for n in range(30_000)},
    "dict of tuples": lambda: {(n, "a"): record(n) for n in range(30_000)},
    "instances": lambda: [Plain(n) for n in range(60_000)],
    "slots": lambda: [Slotted(n) for n in range(100_000)],
    "named tuples": lambda: [Point(n, [n, str(n)]) for n in range(150_000)],
    "dates": lambda: [
        {
            "at": datetime.datetime(2020, 1, 1) + datetime.timedelta(n),
            "date": datetime.date(2020, 1, 1 + n % 20),
        }
        for n in range(200_000)
    ],
    "sets": lambda: [{n, n + 1, str(n)} for n in range(150_000)],
    "a set": lambda: {f"text {n}" for n in range(300_000)},
    "a set of tuples": lambda: {(n, f"text {n}") for n in range(200_000)},
    "a frozen set": lambda: frozenset((n, f"text {n}", b"%d" % n) for n in range(200_000)),
    "strings": lambda: [f"text {n}" for n in range(300_000)],
    "two in one": lambda: {
        "a": [record(n) for n in range(40_000)],
        "b": [Plain(n) for n in range(60_000)],
    },
    "long items": lambda: [[record(n) for n in range(k, k + 500)] for k in range(60)],
    "mixed": lambda: [[record, Plain, Slotted][n % 3](n) for n in range(60_000)],
}


@needs_cores
@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_objects(name):
    graph = GRAPHS[name]()
    stream = dumped(graph)
    expected = state(graph)
    assert state(pickle.loads(stream)) == expected
    assert state(fp.loads(stream)) == expected


@needs_cores
def test_the_stream_is_the_same_whatever_the_number_of_threads():
    graph = [record(n) for n in range(40_000)]
    streams = {fp.dumps(graph, policy=fp.Policy(threads=threads)) for threads in (2, 3, 4, 8, None)}
    assert len(streams) == 1
    assert [fp.dumps(graph, policy=PARALLEL) for _ in range(5)] == [streams.pop()] * 5


def test_small_graphs_are_written_by_one_thread():
    graph = [record(n) for n in range(500)]
    dumped(graph, split=False)


def test_numbers_are_written_by_one_thread():
    dumped([n / 3 for n in range(500_000)], split=False)


def test_identity_across_parts():
    shared = [[n] for n in range(50)]
    keep = [record(n) for n in range(40_000)]
    graph = [{"record": item, "shared": shared[n % 50]} for n, item in enumerate(keep)]
    back = pickle.loads(dumped(graph))
    assert all(back[n]["shared"] is back[n % 50]["shared"] for n in range(len(back)))
    assert len({id(item["shared"]) for item in back}) == 50


@pytest.mark.parametrize("seed", range(4))
def test_identity_of_objects_that_are_met_late(seed):
    # Shared objects that no prefix has seen, two or three times each, far apart.
    dice = random.Random(seed)
    graph = [record(n) for n in range(40_000)]
    expected = []
    for number in range(40):
        shared = dice.choice(
            [lambda: [number], lambda: (number, [number]), lambda: Plain(number)]
        )()
        places = [dice.randrange(5_000, 40_000) for _ in range(dice.randrange(2, 4))]
        for place in places:
            graph[place][f"shared {number}"] = shared
        expected.append((f"shared {number}", places, state(shared)))
    back = pickle.loads(dumped(graph))
    for key, places, value in expected:
        assert len({id(back[place][key]) for place in places}) == 1
        assert state(back[places[0]][key]) == value


def test_everything_refers_to_everything():
    # Nearly all objects are shared between parts: not worth the threads, and still right.
    dice = random.Random(5)
    nodes = [{"number": n, "text": f"text {n}"} for n in range(60_000)]
    for node in nodes:
        node["next"] = nodes[dice.randrange(len(nodes))]
    back = pickle.loads(fp.dumps([{"node": node} for node in nodes], policy=PARALLEL))
    assert [item["node"]["number"] for item in back] == list(range(60_000))
    assert all(
        back[n]["node"]["next"] is back[node["next"]["number"]]["node"]
        for n, node in enumerate(nodes)
    )


@needs_cores
def test_items_that_lead_into_other_parts():
    graph = ring(60_000)
    places = {id(node): at for at, node in enumerate(graph)}
    serial, stream = fp.dumps(graph, policy=SERIAL), fp.dumps(graph, policy=PARALLEL)
    assert abs(len(stream) - len(serial)) < len(serial) // 100
    back = pickle.loads(stream)
    assert len(set(map(id, back))) == len(back) == len(graph)
    for node, copy in zip(graph, back, strict=True):
        assert (copy.number, copy.text) == (node.number, node.text)
        assert all(back[places[id(a)]] is b for a, b in zip(node.items, copy.items, strict=True))


@needs_cores
def test_objects_that_items_anywhere_share():
    """Parts would share more, the more of them there are: they are not written before the parts."""
    contexts = [{"n": n, "text": f"context {n}"} for n in range(5_000)]
    chosen = random.Random(7).choices(range(5_000), k=100_000)
    graph = [{"row": [n, f"row {n}"], "context": contexts[at]} for n, at in enumerate(chosen)]
    stream = dumped(graph)
    assert stream == fp.dumps(graph, policy=fp.Policy(threads=2))
    assert abs(len(stream) - len(fp.dumps(graph, policy=SERIAL))) < 1_000
    back = pickle.loads(stream)
    assert back == graph
    first = {}
    for at, item in zip(chosen, back, strict=True):
        assert first.setdefault(at, item["context"]) is item["context"]


@needs_cores
def test_items_that_refer_to_the_container():
    graph = [record(n) for n in range(30_000)]
    graph[20_000]["all"] = graph
    graph[25_000]["all"] = (graph, [graph])
    back = pickle.loads(dumped(graph))
    assert back[20_000]["all"] is back
    assert back[25_000]["all"][0] is back
    assert back[25_000]["all"][1][0] is back


class Reduced:
    calls = 0

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        Reduced.calls += 1
        return Reduced, (self.number,)


@pytest.mark.parametrize("place", [10, 2_000, 20_000, 29_999])
def test_user_code_in_the_middle(place):
    graph = [record(n) for n in range(30_000)]
    graph[place]["reduced"] = [Reduced(5), Reduced(6)]
    Reduced.calls = 0
    back = pickle.loads(fp.dumps(graph, policy=PARALLEL))
    assert Reduced.calls == 2
    assert [item.number for item in back[place].pop("reduced")] == [5, 6]
    del graph[place]["reduced"]
    assert back == graph


def test_user_code_here_and_there():
    graph = [record(n) for n in range(30_000)]
    for place in range(0, 30_000, 1_000):
        graph[place]["reduced"] = Reduced(place)
    back = pickle.loads(fp.dumps(graph, policy=PARALLEL))
    assert all(back[place]["reduced"].number == place for place in range(0, 30_000, 1_000))


class Acts:
    """Its reducer does what it was made for."""

    def __init__(self, act):
        self.act = act

    def __reduce__(self):
        self.act()
        return str, ("acted",)


def test_a_walk_that_began_again_is_not_split():
    """After user code at the head nothing is left out: later code may make edges to anything."""
    items, late = [record(n) for n in range(30_000)], []
    first, last = Acts(lambda: None), Acts(lambda: late.append(items[20_000]))
    back = pickle.loads(fp.dumps([first, items, last, late], policy=PARALLEL))
    assert back[3][0] is back[1][20_000]


def test_types_that_threads_do_not_write():
    graph = [
        {"n": n, "text": f"text {n}", "d": decimal.Decimal(n), "r": range(n)} for n in range(60_000)
    ]
    assert pickle.loads(fp.dumps(graph, policy=PARALLEL)) == graph


def test_a_class_first_met_in_the_middle():
    graph = [record(n) for n in range(40_000)]
    for place in range(20_000, 40_000, 7):
        graph[place]["instance"] = Plain(place)
    back = pickle.loads(dumped(graph))
    assert state(back) == state(graph)


def test_classes_by_value():
    class Local:
        def __init__(self, number):
            self.number = number
            self.items = [str(number)]

        def double(self):
            return self.number * 2

    graph = [Local(n) for n in range(100_000)]
    back = pickle.loads(dumped(graph))
    assert [item.double() for item in back] == [n * 2 for n in range(100_000)]


class Hashed:
    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return self.number == other.number


def test_keys_with_a_hash_of_their_own():
    graph = [{Hashed(n): {"k": n}, "set": {Hashed(n)}, "t": "text"} for n in range(40_000)]
    back = pickle.loads(fp.dumps(graph, policy=PARALLEL))
    assert all(item[Hashed(n)] == {"k": n} for n, item in enumerate(back))


def test_an_error_has_its_path():
    graph = [record(n) for n in range(30_000)]
    graph[23_456]["nested"]["lock"] = threading.Lock
    graph[23_456]["nested"]["bad"] = sys._getframe()
    with pytest.raises(TypeError, match=r"obj\[23456\]\['nested'\]\['bad'\]"):
        fp.dumps(graph, policy=PARALLEL)


def test_to_a_file():
    graph = [record(n) for n in range(40_000)]
    file = io.BytesIO()
    fp.dump(graph, file, policy=PARALLEL)
    assert file.getvalue() == dumped(graph)
    assert pickle.loads(file.getvalue()) == graph


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol):
    graph = [record(n) for n in range(30_000)]
    assert pickle.loads(fp.dumps(graph, protocol, policy=PARALLEL)) == graph


def test_large_payloads_among_the_items():
    graph = [
        {"n": n, "data": bytes([n % 256]) * (200_000 if n % 50 == 0 else 10)} for n in range(3_000)
    ]
    assert pickle.loads(fp.dumps(graph, policy=PARALLEL)) == graph


def test_a_dict_with_holes():
    graph = {f"key {n}": record(n) for n in range(40_000)}
    for number in range(0, 40_000, 3):
        del graph[f"key {number}"]
    back = pickle.loads(fp.dumps(graph, policy=PARALLEL))
    assert back == graph
    assert list(back) == list(graph)


def test_dumps_of_several_threads():
    graph = [record(n) for n in range(20_000)]
    results = []

    def work():
        results.extend(fp.dumps(graph, policy=PARALLEL) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    assert pickle.loads(results[0]) == graph


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork():
    code = """
import os, pickle, sys
import ferropickle as fp
graph = [{"n": n, "text": f"text {n}"} for n in range(100_000)]
before = fp.dumps(graph)
pid = os.fork()
if pid == 0:
    ok = fp.dumps(graph) == before and pickle.loads(before) == graph
    os._exit(0 if ok else 1)
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert fp.dumps(graph) == before
"""
    run_python(code)


def test_the_choice():
    assert fp.Policy().threads is None
    assert fp.Policy(threads=3).threads == 3
    assert fp.Policy(threads=3) != fp.Policy()
    assert "threads=3" in repr(fp.Policy(threads=3))
    assert pickle.loads(fp.dumps(fp.Policy(threads=3))) == fp.Policy(threads=3)
    with pytest.raises(ValueError, match="threads"):
        fp.Policy(threads=0)
    with pytest.raises(TypeError, match="threads"):
        fp.Policy(threads="many")
