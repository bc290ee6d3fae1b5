"""Listening and connecting: unix sockets, TCP, secrets, TLS."""

import contextlib
import os
import pickle
import socket
import ssl
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ferropickle as fp
from helpers.subprocs import run_python

CERTIFICATES = Path(__file__).parent / "certificates"
KEY = b"a secret"


class Served:
    """A listener whose channels send back what comes; `errors` has what accepting raised."""

    def __init__(self, listener, times=1):
        self.errors = []
        self.listener = listener
        self.thread = threading.Thread(target=self.serve, args=(times,))
        self.thread.start()

    def serve(self, times):
        for _ in range(times):
            try:
                with self.listener.accept(timeout=20) as channel:
                    for obj in channel:
                        channel.send(obj)
            except (OSError, EOFError) as error:
                self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.thread.join(30)
        self.listener.close()
        assert not self.thread.is_alive()


def contexts():
    """A server's and a client's TLS context, for the certificate of these tests."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATES / "certificate.pem", CERTIFICATES / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(CERTIFICATES / "certificate.pem")
    return server, client


def exchange(channel):
    """What is small, large, many and long goes there and back."""
    large = np.arange(2_000_000)
    many = [np.full(1024, i % 256, np.uint8) for i in range(2_000)]
    for value in (1, {"k": [1.5, "text"]}, b"x" * 3_000_000):
        channel.send(value)
        assert channel.recv(timeout=30) == value
    back = round_trip(channel, large)
    assert np.array_equal(back, large)
    assert back.flags.writeable
    assert all(map(np.array_equal, round_trip(channel, many), many))
    assert channel.poll() is False
    with pytest.raises(TimeoutError):
        channel.recv(timeout=0.05)


def round_trip(channel, value):
    """Send from another thread: both directions of a socket may fill up."""
    sender = threading.Thread(target=channel.send, args=(value,))
    sender.start()
    back = channel.recv(timeout=60)
    sender.join()
    return back


def test_a_channel_by_address(address):
    listener = fp.Channel.listen(address, authkey=KEY)
    with Served(listener), fp.Channel.connect(listener.address, authkey=KEY) as channel:
        exchange(channel)
        shared = "no shared memory" not in repr(channel)
        assert shared == isinstance(address, str)


def test_a_unix_socket_needs_no_secret_and_belongs_to_its_user(tmp_path):
    path = tmp_path / "socket"
    listener = fp.Channel.listen(path)
    assert os.stat(path).st_mode & 0o077 == 0
    with Served(listener), fp.Channel.connect(path) as channel:
        exchange(channel)
    assert not path.exists()


def test_without_shared_memory(tmp_path):
    listener = fp.Channel.listen(str(tmp_path / "socket"), capacity=0)
    with Served(listener), fp.Channel.connect(listener.address) as channel:
        assert "no shared memory" in repr(channel)
        exchange(channel)


def test_the_socket_of_a_killed_listener_is_replaced(tmp_path):
    path = tmp_path / "socket"
    run_python(
        """
        import os, sys
        import ferropickle as fp
        listener = fp.Channel.listen(sys.argv[1])
        os._exit(0)
        """,
        path,
    )
    assert path.exists()
    with fp.Channel.listen(path) as listener:
        with pytest.raises(OSError, match="in use"):
            fp.Channel.listen(path)
        assert listener.address == str(path)
    assert not path.exists()
    path.write_text("no socket")
    with pytest.raises(OSError):
        fp.Channel.listen(path)
    assert path.read_text() == "no socket"


@pytest.mark.parametrize(
    ("there", "here", "error"),
    [
        (KEY, b"another", "another authkey"),
        (KEY, None, "wants an authkey"),
        (None, KEY, "has no authkey"),
    ],
)
def test_both_ends_refuse_without_the_secret(tmp_path, there, here, error):
    listener = fp.Channel.listen(str(tmp_path / "socket"), authkey=there)
    with Served(listener) as served, pytest.raises(fp.AuthenticationError, match=error):
        fp.Channel.connect(listener.address, authkey=here)
    assert isinstance(served.errors[0], fp.AuthenticationError)


def test_tcp_wants_a_secret_or_certificates():
    server, client = contexts()
    for tls in (None, server):
        with pytest.raises(ValueError, match="authkey"):
            fp.Channel.listen(("127.0.0.1", 0), tls=tls)
    server.verify_mode = ssl.CERT_REQUIRED
    fp.Channel.listen(("127.0.0.1", 0), tls=server).close()
    with pytest.raises(ValueError, match="tls"):
        fp.Channel.listen("/nowhere/at/all", tls=server)


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(mutual):
    server, client = contexts()
    key = KEY
    if mutual:
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(CERTIFICATES / "certificate.pem")
        client.load_cert_chain(CERTIFICATES / "certificate.pem", CERTIFICATES / "key.pem")
        key = None
    listener = fp.Channel.listen(("127.0.0.1", 0), tls=server, authkey=key)
    connect = fp.Channel.connect
    with Served(listener), connect(listener.address, tls=client, authkey=key) as channel:
        exchange(channel)
        with pytest.raises(TypeError, match="TLS"):
            pickle.dumps(channel)
        assert channel.fileno() > 0
    with pytest.raises(OSError, match="closed"):
        channel.send(1)


def test_a_server_whose_certificate_is_another_is_refused():
    server, _ = contexts()
    listener = fp.Channel.listen(("127.0.0.1", 0), tls=server, authkey=KEY)
    stranger = ssl.create_default_context()
    with Served(listener) as served, pytest.raises(ssl.SSLError):
        fp.Channel.connect(listener.address, tls=stranger, authkey=KEY)
    assert isinstance(served.errors[0], OSError)


def test_half_a_message_over_tls_is_an_error():
    server, client = contexts()
    listener = fp.Channel.listen(("127.0.0.1", 0), tls=server, authkey=KEY)
    connect = fp.Channel.connect
    with Served(listener) as served, connect(listener.address, tls=client, authkey=KEY) as channel:
        channel.send("x")
        assert channel.poll(10)
        assert channel.recv() == "x"
        channel._link._socket.sendall(b"".join(fp._native.frames("half"))[:10])
    assert "without a word" in str(served.errors[0])


def test_a_guest_who_is_no_channel_is_sent_away_and_nothing_is_loaded(tmp_path, address):
    canary = tmp_path / "canary"
    evil = pickle.dumps(Touch(str(canary)))
    listener = fp.Channel.listen(address, authkey=KEY)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with Served(listener, times=3) as served:
        for words in (b"GET / HTTP/1.1\r\n" * 8, evil * 8):
            with socket.socket(family) as guest:
                guest.connect(listener.address)
                guest.sendall(words)
                guest.settimeout(20)
                with contextlib.suppress(ConnectionResetError):
                    while guest.recv(4096):
                        pass
        with fp.Channel.connect(listener.address, authkey=KEY) as channel:
            channel.send("works still")
            assert channel.recv() == "works still"
    assert len(served.errors) == 2
    assert all("no channel" in str(error) for error in served.errors)
    assert not canary.exists()


class Touch:
    """Makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_guest_who_says_nothing_does_not_stop_the_listener(tmp_path, monkeypatch):
    monkeypatch.setattr("ferropickle.channel.HANDSHAKE_S", 0.3)
    listener = fp.Channel.listen(str(tmp_path / "socket"), authkey=KEY)
    with Served(listener, times=2) as served, socket.socket(socket.AF_UNIX) as guest:
        guest.connect(listener.address)
        time.sleep(0.5)
        with fp.Channel.connect(listener.address, authkey=KEY) as channel:
            channel.send(1)
            assert channel.recv() == 1
    assert isinstance(served.errors[0], TimeoutError)


def test_nobody_comes_and_nobody_listens(tmp_path):
    with fp.Channel.listen(tmp_path / "socket") as listener, pytest.raises(TimeoutError):
        listener.accept(timeout=0.05)
    with pytest.raises(OSError):
        fp.Channel.connect(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(TimeoutError):
            fp.Channel.connect(silent.getsockname(), authkey=KEY, timeout=0.2)


def test_listening_again_and_again(tmp_path):
    listener = fp.Channel.listen(str(tmp_path / "socket"))
    with Served(listener, times=20) as served:
        for i in range(20):
            with fp.Channel.connect(listener.address) as channel:
                channel.send(np.full(10_000, i))
                assert (channel.recv() == i).all()
    assert not served.errors
