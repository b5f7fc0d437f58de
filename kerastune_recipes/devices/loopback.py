"""Keeping the port of a worker inside this machine; TensorFlow itself opens it on every network interface.

TensorFlow 2.21 listens at 0.0.0.0, whatever address it is given (`GrpcServer::Init`), and whoever connects is let in.
So other sockets stand before its own while it connects, one on each interface that leads outside: the kernel prefers
them, and nothing accepts what arrives there. Once TensorFlow listens, its socket is bound to the loopback interface.
Nothing of this needs privileges, but Linux 5.7; elsewhere the port stays open, and `is_closed` says so.
"""

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing

# TensorFlow's variable; with it several sockets of one user may listen on a port.
REUSE_PORT = "TF_GRPC_REUSE_PORT"
INTERFACE = "lo"
_DESCRIPTORS = "/proc/self/fd"
_NETWORK = (socket.AF_INET, socket.AF_INET6)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's own loopback address.

    Args:
        host: Name or address, without a port.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("10.0.0.1")
        (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reuses_ports(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether TensorFlow shares its port with other sockets of this user."""
    return environment.get(REUSE_PORT, "").lower() in ("1", "true")


@contextlib.contextmanager
def closed(port: int) -> Iterator[None]:
    """Close a port to other machines: while TensorFlow opens it in the context, and from then on.

    Args:
        port: Port that this process is about to listen on.
    """
    before = os.environ.get(REUSE_PORT)
    with ExitStack() as shields:
        # Where the system cannot do this, the port stays open; `is_closed` tells.
        with contextlib.suppress(OSError, AttributeError):
            for _, interface in socket.if_nameindex():
                if interface != INTERFACE:
                    shields.enter_context(closing(_shield(port, interface)))
        os.environ[REUSE_PORT] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[REUSE_PORT]
            else:
                os.environ[REUSE_PORT] = before
            with contextlib.suppress(OSError, AttributeError):
                for one in listening(port):
                    _bind_to_interface(one, INTERFACE)


def is_closed(port: int) -> bool:
    """Return whether all sockets of this process that listen on a port are bound to the loopback interface.

    Args:
        port: The port.
    """
    interfaces = []
    with contextlib.suppress(OSError, AttributeError):
        for one in listening(port):
            interfaces.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode())
    return set(interfaces) == {INTERFACE}


def _shield(port: int, interface: str) -> socket.socket:
    """Listen on a port of one interface; nothing accepts what arrives."""
    both = socket.has_dualstack_ipv6()
    shield = socket.socket(socket.AF_INET6 if both else socket.AF_INET)
    try:
        if both:
            shield.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        shield.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind_to_interface(shield, interface)
        shield.bind(("", port))
        shield.listen(0)
    except BaseException:
        shield.close()
        raise
    return shield


def _bind_to_interface(one: socket.socket, interface: str) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


def listening(port: int) -> Iterator[socket.socket]:
    """Yield a copy of every socket of this process that listens on a port; the copy is closed at the next.

    Args:
        port: The port.
    """
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):  # closed meanwhile
            if stat.S_ISSOCK(os.stat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as one:
                    listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    if listens and one.family in _NETWORK and one.getsockname()[1] == port:
                        yield one
