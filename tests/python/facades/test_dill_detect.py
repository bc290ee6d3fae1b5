"""`compat.dill.detect` and `.pointers`: what cannot be pickled, what refers to what.

What belongs here: the errors and bad* family, code and the names it uses, chains of references.
The trace of a dump: test_dill_trace.py.
"""

import gc
import math

import pytest

from ferropickle.compat.dill import detect, pointers

one, two, three = 1, 2, 3


def squared(x):
    return one + x**2


def outer(x):
    def inner(y):
        return squared(x) + y

    return inner


def three_deep():
    one

    def middle():
        def inner():
            return three, len

        return two, inner

    return middle


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def with_class():
    class Local:
        width = two

        def area(self):
            return three

    return Local


def passes(func):
    def wrapper(*args):
        return func(*args)

    wrapper.__qualname__ = func.__qualname__
    wrapper.__name__ = func.__name__
    return wrapper


@passes
def decorated(x):
    return x + one


class Owner:
    def method(self):
        return squared(one)


# ---- what cannot be pickled -------------------------------------------------------


class Refuses:
    def __reduce_ex__(self, protocol):
        raise TypeError("cannot pickle 'Refuses' object")


class Holder:
    def __init__(self, bad):
        self.bad = bad
        self.good = 1


class Unequal:
    def __eq__(self, other):
        return False

    __hash__ = None


def test_errors_is_the_exception_of_the_dump():
    assert detect.errors([1, 2]) is None
    error = detect.errors([Refuses()])
    assert type(error) is TypeError
    assert str(error) == "cannot pickle 'Refuses' object"


def test_bad_object_and_type_are_the_object_s_own():
    bad = [Refuses()]
    assert detect.badobjects(bad) is bad
    assert detect.badtypes(bad) is list
    assert detect.badobjects([1]) is None
    assert detect.badtypes([1]) is None


def test_depth_one_names_the_attributes_that_fail():
    holder = Holder(Refuses())
    for ask in (detect.errors, detect.badobjects, detect.badtypes):
        found = ask(holder, 1)
        assert "bad" in found
        assert "good" not in found
        assert ask([1], 1) == {}
    assert detect.badobjects(holder, 1)["bad"] is holder.bad
    assert type(detect.errors(holder, 1)["bad"]) is TypeError


def test_depth_two_goes_into_the_attributes_that_fail():
    holder = Holder(Holder(Refuses()))
    assert set(detect.badtypes(holder, 2)["bad"]) >= {"bad", "__dict__"}
    assert "good" not in detect.badtypes(holder, 2)


def test_baditems_of_containers_each_once():
    bad = Refuses()
    nested = [bad]
    assert detect.baditems([1, bad, nested, bad]) == [bad, nested]
    assert detect.baditems({"a": bad, "b": 2}) == [bad]
    assert detect.baditems((1, 2)) == []


def test_baditems_of_an_iterator_leaves_it_as_it_was():
    items = iter([Refuses()])
    assert detect.baditems(items) == [items]
    assert len(list(items)) == 1
    bad = Refuses()
    assert detect.baditems(bad) == [bad]


def test_exact_wants_an_equal_copy():
    assert detect.errors(Unequal()) is None
    error = detect.errors(Unequal(), exact=True)
    assert type(error) is AssertionError
    assert str(error).startswith("Unpickling produces ")


class Fails:
    def __reduce__(self):
        raise LookupError("of its own")


def test_safe_takes_errors_of_every_kind():
    assert type(detect.errors(Fails(), safe=True)) is LookupError
    with pytest.raises(LookupError, match="of its own"):
        detect.errors(Fails())


# ---- code and names ------------------------------------------------------------------


def test_code_of_what_has_some():
    assert detect.code(squared) is squared.__code__
    assert detect.code(Owner().method) is Owner.method.__code__
    assert detect.code(squared.__code__) is squared.__code__
    assert detect.code(Owner) is None
    assert detect.code(1) is None


def test_varnames():
    assert detect.varnames(outer) == (("x", "inner"), ("x",))
    assert detect.varnames(1) == ()


def test_freevars_leaves_out_what_has_no_value():
    assert detect.freevars(outer(5)) == {"x": 5}

    def uses_later():
        return later

    assert detect.freevars(uses_later) == {}
    later = 1
    assert detect.freevars(uses_later) == {"later": 1}
    assert detect.freevars(squared) == {}


def test_globalvars_follows_functions():
    assert detect.globalvars(outer) == {"squared": squared, "one": 1}
    assert detect.globalvars(outer, recurse=False) == {}
    assert detect.globalvars(outer(2)) == {"squared": squared, "one": 1}
    assert detect.globalvars(outer(2), recurse=False) == {"squared": squared}
    assert detect.globalvars(three_deep) == {"one": 1, "two": 2, "three": 3}
    assert detect.globalvars(Owner().method) == {"squared": squared, "one": 1}
    assert detect.globalvars(decorated) == {"one": 1}
    assert detect.globalvars(1) == {}


def test_globalvars_of_functions_that_call_each_other():
    assert detect.globalvars(even) == {"odd": odd, "even": even}


def test_globalvars_of_a_class_in_a_function():
    assert detect.globalvars(with_class) == {"two": 2, "three": 3}


def test_builtins_only_when_asked_for():
    assert detect.globalvars(three_deep, builtin=True)["len"] is len
    assert "len" not in detect.globalvars(three_deep)


def test_referredglobals_are_the_names():
    assert set(detect.referredglobals(outer)) == {"squared", "one"}


def test_nestedglobals_are_names_defined_or_not():
    def f():
        return not_defined, one  # noqa: F821

    assert detect.nestedglobals(f) == ["not_defined", "one"]
    assert set(detect.nestedglobals(three_deep)) == {"one", "two", "three", "len"}
    assert detect.nestedglobals(three_deep, recurse=False) == ["one"]


def test_nestedcode():
    names = [code.co_name for code in detect.nestedcode(three_deep)]
    assert names == ["inner", "middle"]
    assert [code.co_name for code in detect.nestedcode(three_deep, False)] == ["middle"]


def test_referrednested_finds_living_functions():
    gc.collect()
    assert detect.referrednested(three_deep) == []
    middle = three_deep()
    assert detect.referrednested(three_deep) == [middle]
    inner = middle()[1]
    assert set(detect.referrednested(three_deep)) == {middle, inner}
    assert detect.referrednested(three_deep, recurse=False) == [middle]


def test_outermost():
    assert detect.outermost(outer(1)) is outer
    assert detect.outermost(three_deep()()[1]) is three_deep
    assert detect.outermost(squared) is squared
    assert detect.outermost(decorated) is passes
    assert detect.outermost(Owner.method) is None
    assert detect.outermost(1) is None


def test_getmodule():
    import builtins

    assert detect.getmodule(math.sin) is math
    assert detect.getmodule(squared).__name__ == __name__
    assert detect.getmodule(None) is None
    assert detect.getmodule(None, force=True) is builtins


# ---- references -----------------------------------------------------------------------


class Node:
    __slots__ = ("__weakref__", "next")


def test_parent_is_what_an_object_refers_to():
    numbers = [4000, 5000, 6000]
    assert pointers.parent(iter(numbers), list) is numbers
    assert pointers.parent(numbers, int) is numbers[-1]
    assert pointers.parent(numbers, (dict, int)) is numbers[-1]
    assert pointers.parent(numbers, dict) is None


def test_parents_is_a_chain_of_bounded_length():
    inner = {"deep": 1.5}
    middle = (inner,)
    assert pointers.parents([middle], dict, 1) == [[middle]]
    chain = pointers.parents([middle], dict, 2)
    assert chain == [[middle], middle, inner]
    assert chain[-1] is inner


def test_parents_of_the_object_s_own_type():
    first, second = Node(), Node()
    first.next, second.next = second, None
    assert pointers.parents(first, Node) == [first, second]


def test_parents_ignores():
    first, second = Node(), Node()
    first.next, second.next = second, None
    assert pointers.parents(first, Node, ignore=second) == [first]
    assert pointers.parents(first, Node, ignore=(second,)) == [first]


def test_children_are_referrers():
    first, second, third = Node(), Node(), Node()
    first.next, second.next, third.next = second, third, None
    del first.next
    assert pointers.children(third, Node) == [third, second]
    assert pointers.children(first, Node) == [first]


def test_our_own_bookkeeping_is_no_referrer():
    lonely = Node()
    assert pointers.children(lonely, (list, tuple, set), depth=1) == [lonely]


def test_at_finds_by_address():
    node = Node()
    assert pointers.at(id(node)) is node
    assert pointers.at(pointers.reference(node)) is node
    with pytest.raises(ReferenceError, match="Cannot reference object at '0x5'"):
        pointers.at(5)


def test_at_finds_a_module_s_strings():
    import string

    assert pointers.at(id(string.printable), string) is string.printable
