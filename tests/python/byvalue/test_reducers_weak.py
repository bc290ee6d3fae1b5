"""Weak references, proxies, containers: what they lead to comes along, and lives if it is held."""

import collections
import functools
import types
import weakref

import pytest

from helpers import contextual
from helpers.stock import arrives, copy


class Referent(collections.UserList):
    """Importable here only: for the tests that stay in this process."""


def test_a_reference_leads_to_what_else_is_in_the_stream():
    target = collections.UserList([1])
    ref = weakref.ref(target)
    arrives(
        [ref, target, ref],
        "assert obj[0]() is obj[1] and obj[0] is obj[2] and obj[1] == [1]",
    )
    arrives([target, ref], "assert obj[1]() is obj[0]")


def test_a_reference_alone_arrives_dead():
    target = collections.UserList()
    arrives([weakref.ref(target)], "assert obj[0]() is None")


def test_a_dead_reference_arrives_dead():
    arrives(
        weakref.ref(collections.UserList()), "assert obj() is None and obj.__callback__ is None"
    )


def test_a_reference_in_its_own_referent():
    target = collections.UserList()
    target.me = weakref.ref(target)
    arrives(target, "assert obj.me() is obj")
    arrives([target.me, target], "assert obj[0]() is obj[1] and obj[1].me is obj[0]")


def test_a_callback_comes_along():
    target = collections.UserList()
    arrives(
        [target, weakref.ref(target, print)],
        "assert obj[1].__callback__ is print",
    )


@pytest.mark.parametrize("callback", [None, print])
def test_weak_methods(callback):
    target = collections.UserList([1])
    method = weakref.WeakMethod(target.append, callback)
    arrives(
        [target, method],
        """
        target, method = obj
        method()(2)
        assert target == [1, 2]
        inner = method.__callback__
        cells = dict(zip(inner.__code__.co_freevars, inner.__closure__))
        assert cells["callback"].cell_contents is %r
        """.replace("%r", getattr(callback, "__name__", "None")),
    )
    arrives(weakref.WeakMethod(collections.UserList().append), "assert obj() is None")


class RefWithState(weakref.ref):
    __slots__ = ("note", "__dict__")


def test_a_subclass_of_ref_keeps_its_attributes():
    target = Referent()
    ref = RefWithState(target)
    ref.note, ref.more = 1, 2
    got, referent = copy([ref, target])
    assert type(got) is RefWithState
    assert (got(), got.note, got.more) == (referent, 1, 2)
    assert got() is referent


@pytest.mark.parametrize(
    "target", [collections.UserList([1]), functools.partial(int, base=2), collections.UserList]
)
def test_proxies(target):
    proxy = weakref.proxy(target)
    got, referent = copy([proxy, target])
    assert type(got) is type(proxy)
    assert got.__class__ is referent.__class__
    assert weakref.proxy(referent) is got


def test_a_dead_proxy_arrives_dead():
    dead = [weakref.proxy(collections.UserList()), weakref.proxy(functools.partial(int))]
    arrives(
        dead,
        """
        for proxy in obj:
            try:
                proxy.x
            except ReferenceError:
                continue
            raise AssertionError
        import weakref
        assert [type(x) for x in obj] == [weakref.ProxyType, weakref.CallableProxyType]
        """,
    )


def test_weak_value_dictionary():
    kept, lost = collections.UserList([1]), collections.UserList([2])
    weak = weakref.WeakValueDictionary(kept=kept, lost=lost)
    arrives(
        [weak, kept],
        """
        weak, kept = obj
        assert dict(weak) == {"kept": kept} and weak["kept"] is kept
        """,
    )


def test_weak_key_dictionary():
    kept, lost = types.SimpleNamespace, functools.partial(int)
    weak = weakref.WeakKeyDictionary({kept: 1, lost: [2]})
    arrives(
        [weak, kept],
        """
        weak, kept = obj
        assert dict(weak) == {kept: 1}
        """,
    )


def test_weak_set():
    kept, lost = functools.partial(int), functools.partial(int)
    weak = weakref.WeakSet([kept, lost])
    arrives(
        [weak, kept],
        """
        weak, kept = obj
        assert list(weak) == [kept] and kept in weak
        del kept, obj
        gc.collect()
        assert not weak
        """,
    )


@pytest.mark.parametrize(
    "cls", [contextual.Values, contextual.Keys, contextual.Members], ids=lambda cls: cls.__name__
)
def test_a_subclass_of_a_weak_container_keeps_its_attributes(cls):
    member = functools.partial(int)
    weak = cls("n")
    weak.take(member)
    weak.itself = weak
    arrives(
        [weak, member, cls],
        """
        weak, member, cls = obj
        assert type(weak) is cls and weak.name == "n" and weak.itself is weak
        assert weak.members() == [member]
        """,
    )


def test_a_weak_container_that_its_members_hold():
    member = functools.partial(int)
    weak = weakref.WeakSet([member])
    member.registry = weak
    arrives([weak, member], "assert list(obj[0]) == [obj[1]] and obj[1].registry is obj[0]")
    node = collections.UserList()
    node.cache = weakref.WeakValueDictionary(me=node)
    arrives(node, "assert obj.cache['me'] is obj")


def test_finalizers():
    target = collections.UserList()
    finalizer = weakref.finalize(target, print, "gone", flush=True)
    finalizer.atexit = False
    done = weakref.finalize(target, list)
    done()
    out = arrives(
        [finalizer, target, done],
        """
        finalizer, target, done = obj
        assert finalizer.alive and not finalizer.atexit and not done.alive
        assert finalizer.peek() == (target, print, ("gone",), {"flush": True})
        del obj, target
        gc.collect()
        assert not finalizer.alive
        """,
    )
    assert out == "gone\n"
    finalizer.detach()
