"""Where a sender is asked for arrays on devices: what others do meanwhile, and what goes wrong."""

import gc
import secrets
import socket
import struct
import sys
import threading

import pytest

import ferropickle as fp
from ferropickle._native import DeviceExchange
from ferropickle.multiprocessing import _offers

pytestmark = pytest.mark.skipif(not _offers.can_listen(), reason="it needs Linux")


@pytest.fixture
def desk():
    made = _offers._Desk()
    yield made
    if made._socket is not None:
        made._socket.shutdown(socket.SHUT_RDWR)
        made.forget()


def test_exchanges_are_registered_between_any_two_lines(desk):
    kept = [DeviceExchange()]
    desk.register(kept[0])

    def between(frame, event, argument):
        if event == "line":
            kept.append(DeviceExchange())
            desk.register(kept[-1])
        return between

    for asked in (lambda: desk._found(b"?"), desk.linger):
        before, known = len(kept), sys.gettrace()
        sys.settrace(between)
        try:
            asked()
        finally:
            sys.settrace(known)
        assert len(kept) > before
    assert set(desk.exchanges()) == set(kept)


def test_exchanges_are_forgotten_with_their_end(desk):
    kept = DeviceExchange()
    desk.register(kept)
    desk.register(DeviceExchange())
    assert desk.exchanges() == [kept]


def test_an_error_is_the_answer(desk):
    class Broken:
        def answer(self, question):
            raise ValueError("it is broken")

    broken = Broken()
    desk.register(broken)
    for _ in range(2):
        with pytest.raises(fp.DeviceError, match="it is broken"):
            _offers.ask(desk.address(), b"?")


def test_after_an_error_others_are_answered(desk, monkeypatch):
    def broken(connection):
        raise ValueError("it is broken")

    with monkeypatch.context() as changed:
        changed.setattr(desk, "_answer", broken)
        with pytest.raises(fp.DeviceError, match="ended"):
            _offers.ask(desk.address(), b"?")
    with pytest.raises(fp.DeviceError, match="given up the memory"):
        _offers.ask(desk.address(), b"?")


def test_a_collection_in_the_start_sends(desk, monkeypatch):
    found = []

    class Sender:
        def __del__(self):
            found.append(desk.address())

    def token(length):
        sender = Sender()
        sender.itself = sender
        del sender
        gc.collect()
        return "0" * length + real(length)

    real = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", token)
    thread = threading.Thread(target=lambda: found.append(desk.address()), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert found == [None, desk.address()]
    assert found[1].startswith(_offers.PREFIX)


def test_users_have_large_numbers():
    class Connection:
        def getsockopt(self, *option):
            return struct.pack("iII", 1, 2**32 - 2, 2**31)

    assert _offers._user_of(Connection()) == 2**32 - 2
