"""A million levels: dump, load and free, on the default stack and in a thread.

What belongs here: depth. Each case runs in an interpreter of its own, so that a stack that
overflows fails one test. No case compares or prints the graph: those would recurse.
"""

import pytest

from helpers.subprocs import run_python

DEPTH = 1_000_000

COMMON = """
    import pickle, sys, threading
    import ferropickle as fp
    from collections import OrderedDict
    from helpers.shapes import DictChild, Keyed, Link, ListChild, ReduceLink, Slotted, StateLink

    depth, protocol, thread = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # CPython 3.13 frees deep containers by recursion too deep for a small stack: there the main
    # thread frees them, at the end.
    kept = []
    keep = kept.append if thread == "small" and sys.version_info[:2] == (3, 13) else id

    def nest(make):
        value = None
        for _ in range(depth):
            value = make(value)
        return value

    def measure(value, step):
        count = 0
        while value is not None:
            value = step(value)
            count += 1
        return count

    def run():
        value = nest(make)
        data = fp.dumps(value, protocol)
        keep(value)
        del value                           # freed here, and below
        back = fp.loads(data)
        keep(back)
        assert measure(back, step) == depth
        again = fp.dumps(back, protocol)
        del back
        if cross:
            back = pickle.loads(again)
            keep(back)
            assert measure(back, step) == depth
            del back
        done.append(True)

    cross = True
    done = []
"""

RUN = """
    if thread == "main":
        run()
    else:
        if thread == "small":
            threading.stack_size(256 * 1024)
        worker = threading.Thread(target=run)
        worker.start()
        worker.join()
    assert done == [True]
"""

KINDS = {
    "list": ("lambda v: [v]", "lambda v: v[0]"),
    "tuple": ("lambda v: (v,)", "lambda v: v[0]"),
    "tuple of five": ("lambda v: (1, 2, 3, 4, v)", "lambda v: v[4]"),
    "dict": ("lambda v: {'k': v}", "lambda v: v['k']"),
    "list in tuple": ("lambda v: ([v],)", "lambda v: v[0][0]"),
    "tuple in list shared": ("lambda v: [(v,), v]", "lambda v: v[0][0]"),
    "list among others": ("lambda v: [1, v, 'x', 2.5]", "lambda v: v[1]"),
    "instances": ("Link", "lambda v: v.next"),
    "slots": ("Slotted", "lambda v: v.left"),
    "reduce arguments": ("ReduceLink", "lambda v: v.next"),
    "reduce state": ("state_link", "lambda v: v.next"),
    "frozenset": ("lambda v: frozenset([v])", "lambda v: next(iter(v))"),
    "list child": ("lambda v: ListChild([v])", "lambda v: list.__getitem__(v, 0)"),
    "dict child": ("lambda v: DictChild(k=v)", "lambda v: v['k']"),
    "ordered dict": ("lambda v: OrderedDict(k=v)", "lambda v: v['k']"),
    "everything": (
        "lambda v: [({'k': Link([Slotted((v,))])},)]",
        "lambda v: v[0][0]['k'].next[0].left[0]",
    ),
}
# Not deque: the interpreter itself overflows its stack when it frees a deep one.
# Chains of a million of these take longer than they teach; the engine is the same.
SHALLOWER = {"list child", "dict child", "ordered dict", "everything"}
SHALLOWER |= {"reduce arguments", "reduce state", "tuple in list shared", "list in tuple"}

EXTRA = """
    def state_link(next):
        link = StateLink()
        link.next = next
        return link
"""


def deep(kind, protocol=5, thread="main", depth=DEPTH):
    make, step = KINDS[kind]
    code = COMMON + EXTRA + f"\n    make = {make}\n    step = {step}\n" + RUN
    run_python(code, depth, protocol, thread)


@pytest.mark.parametrize("kind", KINDS)
def test_deep(kind):
    deep(kind, depth=DEPTH // 4 if kind in SHALLOWER - {"reduce arguments"} else DEPTH)


@pytest.mark.parametrize("thread", ["default", "small"])
@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "instances", "reduce arguments"])
def test_deep_in_a_thread(kind, thread):
    deep(kind, thread=thread, depth=DEPTH // 4)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", ["list", "tuple", "instances"])
def test_deep_in_older_protocols(kind, protocol):
    deep(kind, protocol, depth=DEPTH // 10)


def test_deep_key_of_a_dict_and_element_of_a_set():
    """The hash of a frozenset is kept in it, so that a deep one can be a key."""
    run_python(
        COMMON
        + """
    value = nest(lambda v: frozenset([v]))
    for outer in ({value: 1}, {value}, (value, [value])):
        back = fp.loads(fp.dumps(outer))
        assert measure(next(iter(back)), lambda v: next(iter(v))) == depth
    """,
        DEPTH // 10,
        5,
        "main",
    )


def test_deep_cycle():
    run_python(
        COMMON
        + """
    bottom = []
    value = bottom
    for _ in range(depth):
        value = [value]
    bottom.append(value)
    back = fp.loads(fp.dumps(value))
    inner = back
    for _ in range(depth):
        inner = inner[0]
    assert inner[0] is back
    """,
        DEPTH,
        5,
        "main",
    )


def test_deep_after_foreign_code_and_after_a_restart():
    run_python(
        COMMON
        + """
    inner = []
    recursive = (inner,)
    inner.append(recursive)
    value = nest(lambda v: [v])
    back = fp.loads(fp.dumps([ReduceLink(), value, recursive, ReduceLink(value)]))
    assert measure(back[1], lambda v: v[0]) == depth
    assert back[3].next is back[1] and back[2][0][0] is back[2]
    """,
        DEPTH,
        5,
        "main",
    )


def test_an_error_at_the_bottom():
    run_python(
        COMMON
        + """
    value = iter(memoryview(b""))
    for _ in range(depth):
        value = [value]
    try:
        fp.dumps(value)
    except TypeError as exc:
        assert len(str(exc)) < 2000 and "memory_iterator" in str(exc), str(exc)[:3000]
    else:
        raise AssertionError
    data = b"(" * depth + b"]" * depth + b"\\xff."
    try:
        fp.loads(data)
    except fp.UnpicklingError:
        pass
    else:
        raise AssertionError
    """,
        DEPTH,
        5,
        "main",
    )


def test_deep_through_files_and_pickler_objects():
    run_python(
        COMMON
        + """
    import io
    value = nest(lambda v: [v])
    out = io.BytesIO()
    pickler = fp.Pickler(out)
    pickler.dump(value)
    pickler.dump((value,))
    unpickler = fp.Unpickler(io.BytesIO(out.getvalue()))
    first, second = unpickler.load(), unpickler.load()
    assert second[0] is first and measure(first, lambda v: v[0]) == depth
    """,
        DEPTH,
        5,
        "main",
    )


@pytest.mark.parametrize("kind", ["args", "subclass"])
def test_a_reduction_without_end_is_an_error(kind):
    """Each reduction makes a new object that leads back: no depth is enough."""
    run_python(
        """
        import resource, sys
        import ferropickle as fp
        from helpers.shapes import ListChild, Plain

        class Endless:
            def __reduce__(self):
                return Endless, ([self],)

        if sys.argv[1] == "args":
            value, protocol = Endless(), 5
        else:                               # below protocol 2 a copy of the list is an argument
            value, protocol = ListChild(), 1
            value.append(value)
        limit = 1 << 30
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            fp.dumps([Plain(), value], protocol)
        except (RecursionError, MemoryError, fp.PicklingError):
            pass
        else:
            raise AssertionError
        assert fp.loads(fp.dumps([1])) == [1]
        """,
        kind,
    )
