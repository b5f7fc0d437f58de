"""Keeping a port inside this machine."""

import os
import socket
import sys
from contextlib import closing

import pytest

from kerastune_recipes.devices import loopback

linux = pytest.mark.skipif(sys.platform != "linux", reason="binds sockets to interfaces, as Linux does")


def listen_everywhere(port=0):
    """Listen as TensorFlow does: on every interface, sharing the port."""
    return socket.create_server(("", port), reuse_port=True)


@pytest.fixture
def port():
    with closing(listen_everywhere()) as one:
        found = one.getsockname()[1]
    return found


def test_loopback_addresses():
    assert [host for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost") if loopback.is_loopback(host)] == [
        "127.0.0.1",
        "127.0.0.2",
        "::1",
        "localhost",
    ]
    assert not any(map(loopback.is_loopback, ("10.0.0.1", "0.0.0.0", "::", "node7", "localhost.example.com")))


@linux
def test_a_socket_opened_in_the_context_is_closed_to_other_machines(port):
    with loopback.closed(port):
        server = listen_everywhere(port)
    with closing(server):
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
        assert loopback.is_closed(port)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


@linux
def test_while_it_is_opened_a_socket_before_it_takes_what_comes_from_outside(port):
    with loopback.closed(port):
        others = [
            one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()
            for one in loopback.listening(port)
        ]
    assert sorted(others) == sorted(name for _, name in socket.if_nameindex() if name != "lo")
    assert list(loopback.listening(port)) == []


def test_a_port_open_on_every_interface_is_not_closed(port):
    with closing(listen_everywhere(port)):
        assert not loopback.is_closed(port)


def test_a_port_on_which_nothing_listens_is_not_said_to_be_closed(port):
    assert not loopback.is_closed(port)


def test_where_the_system_cannot_do_it_the_port_stays_open_and_that_is_known(port, monkeypatch):
    monkeypatch.delattr(socket, "SO_BINDTODEVICE", raising=False)
    with loopback.closed(port):
        server = listen_everywhere(port)
    with closing(server):
        assert not loopback.is_closed(port)


@pytest.mark.parametrize("before", [None, "false"])
def test_tensorflow_shares_its_port_only_meanwhile(port, before, monkeypatch):
    monkeypatch.delenv(loopback.REUSE_PORT, raising=False)
    if before:
        monkeypatch.setenv(loopback.REUSE_PORT, before)
    assert not loopback.reuses_ports()
    with loopback.closed(port):
        assert loopback.reuses_ports()
    assert os.environ.get(loopback.REUSE_PORT) == before
