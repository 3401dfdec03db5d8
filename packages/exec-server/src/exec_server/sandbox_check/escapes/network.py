"""The network, and sockets of this machine."""

from __future__ import annotations

import contextlib
import socket

from .common import Site, probe


@probe("network")
def connect_tcp(site: Site) -> str:
    """Connect to a port of this machine."""
    socket.create_connection(("127.0.0.1", site.port), 3).close()
    return "connected"


@probe("network")
def send_udp(site: Site) -> str:
    """Make a socket that could send a datagram anywhere."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    return "made a UDP socket"


@probe("network")
def netlink(site: Site) -> str:
    """Talk to the kernel about its network."""
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
    return "made a netlink socket"


@probe("network")
def vsock(site: Site) -> str:
    """Talk to the machine that this virtual one runs on."""
    socket.socket(40, socket.SOCK_STREAM).close()
    return "made a vsock socket"


def _connect_local(address: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(3)
        end.connect(address)
    return f"connected to {address!r}"


@probe("network")
def connect_named_socket(site: Site) -> str:
    """Connect to a named socket of a process outside."""
    return _connect_local(site.stream)


@probe("network")
def connect_abstract_socket(site: Site) -> str:
    """Connect to an abstract socket of a process outside."""
    return _connect_local("\0" + site.abstract)


@probe("network")
def send_to_named_socket(site: Site) -> str:
    """Send a datagram to a named socket, by a socket or by one end of a pair."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.sendmsg([b"escaped"], [], 0, site.datagram)
        return "sent a datagram"
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendmsg([b"escaped"], [], 0, site.datagram)
    return "sent a datagram"
