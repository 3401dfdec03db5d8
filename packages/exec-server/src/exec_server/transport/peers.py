"""The process at the other end of a connection from this machine, and whether it is confined.

The kernel knows the socket at the other end, and whose it is by number. Which processes hold it is
read from ``/proc``. A connection comes from outside only if somebody outside is found to hold
its other end, and nobody inside: a socket may have been closed, or handed around, meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ..sandbox.networked import Namespace

__all__ = ["come_from_inside"]

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_LISTEN: Final = 10
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = b"\xff" * 8
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_SOCKET_ID_BYTES: Final = 48
_ANSWER_BYTES: Final = 4096
_ANSWER_SECONDS: Final = 2.0
"""The kernel answers before the question has been sent completely."""
_NS_GET_PARENT: Final = 0xB702


class _Held(NamedTuple):
    """A socket of this machine: the user that made it and its number."""

    uid: int
    inode: int


def come_from_inside(
    connections: Sequence[tuple[Any, Any]], sandboxes: Collection[Namespace]
) -> list[bool]:
    """Return of each connection whether it may come from inside one of some sandboxes.

    May block for as long as it takes to look at all processes once, however many connections.
    One whose other end cannot be found on this machine, though it has an address of it, may.

    Args:
        connections: Address of the other end, and of ours, as sockets tell it.
        sandboxes: Process namespaces; see ``sandbox.networked``.
    """
    known = [_verdict_or_inode(peer, local) for peer, local in connections]
    wanted = {number for number in known if not isinstance(number, bool)}
    inside: set[int] = set()
    outside: set[int] = set()
    for pid, held in _holders(wanted):
        (inside if _is_inside(pid, sandboxes) else outside).update(held)
    safe = outside - inside
    return [what if isinstance(what, bool) else what not in safe for what in known]


def _verdict_or_inode(peer: Any, local: Any) -> bool | int:
    """Return what is certain about a connection, else the number of the socket at its other end."""
    if peer is None or local is None:
        return True  # it ended before it could be looked at
    try:
        held = _find(peer, local)
    except OSError:
        held = None  # the kernel does not tell: then only who is elsewhere is above suspicion
    if held is None:
        return _is_here(peer)
    if held.inode == 0:
        return True  # it was closed: nobody can be asked any more
    if held.uid != os.geteuid():
        return False  # inside there is no other user than ours
    return held.inode


def _plain(address: Any) -> tuple[bytes, int, int]:
    """Return address, port and interface; an IPv4 one in the clothes of IPv6 as what it is."""
    host, port = address[:2]
    scope = address[3] if len(address) > 3 else 0
    parsed = ipaddress.ip_address(host.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).packed, port, scope


def _find(peer: Any, local: Any) -> _Held | None:
    """Return the socket at the other end; ``None`` when this machine has no such one.

    Raises:
        OSError: The kernel does not tell.
    """
    there, there_port, scope = _plain(peer)
    here, here_port, _ = _plain(local)
    family = socket.AF_INET if len(there) == 4 else socket.AF_INET6
    name = struct.pack("!HH", there_port, here_port) + there.ljust(16, b"\0")
    name += here.ljust(16, b"\0") + struct.pack("=I", scope) + _NO_COOKIE
    question = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + name
    size = _HEADER.size + len(question)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_SECONDS)
        kernel.sendto(
            _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + question, (0, 0)
        )
        answer = kernel.recv(_ANSWER_BYTES)
    kind = _HEADER.unpack_from(answer)[1]
    body = answer[_HEADER.size :]
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", body)[0]
        if number == errno.ENOENT:
            return None
        raise OSError(number, os.strerror(number))
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    if body[1] == _LISTEN:
        return None  # somebody listens there, which is not the other end
    uid, inode = struct.unpack_from("=II", body, 4 + _SOCKET_ID_BYTES + 12)
    return _Held(uid, inode)


def _is_here(address: Any) -> bool:
    """Return whether an address is one of this machine's, as far as is known."""
    packed, _, scope = _plain(address)
    parsed = ipaddress.ip_address(packed)
    if parsed.is_loopback:
        return True
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    name = (str(parsed), 0) if family is socket.AF_INET else (str(parsed), 0, 0, scope)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(name)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _holders(wanted: Collection[int]) -> Iterator[tuple[int, set[int]]]:
    """Yield the processes that have any of some sockets open and can be looked at, and which."""
    if not wanted:
        return
    links = {f"socket:[{inode}]": inode for inode in wanted}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (held := _held(f"/proc/{name}/fd", links)):
            yield int(name), held


def _held(folder: str, links: Mapping[str, int]) -> set[int]:
    try:
        numbers = os.listdir(folder)
    except OSError:
        return set()  # it has ended, or is somebody else's
    held = set()
    for number in numbers:
        with suppress(OSError):  # closed meanwhile
            inode = links.get(os.readlink(f"{folder}/{number}"))
            if inode is not None:
                held.add(inode)
    return held


def _is_inside(pid: int, sandboxes: Collection[Namespace]) -> bool:
    """Return whether a process is in one of some namespaces, or in one below; if in doubt, yes."""
    try:
        descriptor = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        while True:
            status = os.fstat(descriptor)
            if Namespace(status.st_dev, status.st_ino) in sandboxes:
                return True
            try:
                above = fcntl.ioctl(descriptor, _NS_GET_PARENT)
            except PermissionError:
                return False  # our own, and whatever is above it
            except OSError:
                return True
            os.close(descriptor)
            descriptor = above
    finally:
        os.close(descriptor)
