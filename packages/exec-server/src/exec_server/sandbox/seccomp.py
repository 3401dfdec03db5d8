"""Filter for system calls, as a program for the kernel's packet filter.

The filter sees the number of a call and its plain arguments, nothing that they point to. So
what is decided by an address in memory (which socket to connect to) can only be refused as
a whole. Anything that is not listed is allowed: what it may touch is settled by namespaces
and mounts.

Without a network only stream and sequenced-packet sockets of the local kind exist, which
must be made in connected pairs: none can be bound or connected, and a datagram socket, which
could name a recipient with each message, cannot be made at all.
"""

from __future__ import annotations

import enum
import errno
import platform
import socket
import struct
from dataclasses import dataclass
from typing import Final

from .errors import SandboxUnavailableError

__all__ = ["Filter", "program"]


class Filter(enum.Enum):
    """Choice of the system calls that are refused."""

    NO_NETWORK = "no-network"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class _Machine:
    """Numbers of one processor architecture.

    Attributes:
        audit: How the kernel names its calling convention.
        calls: Numbers by name.
        other_abi_from: Numbers from here on belong to another convention of the same name.
    """

    audit: int
    calls: dict[str, int]
    other_abi_from: int | None = None


_MACHINES: Final = {
    "x86_64": _Machine(
        0xC000003E,
        {
            "ioctl": 16, "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "bind": 49,
            "listen": 50, "socketpair": 53, "setsockopt": 54, "ptrace": 101, "add_key": 248,
            "request_key": 249, "keyctl": 250, "accept4": 288, "perf_event_open": 298,
            "recvmmsg": 299, "sendmmsg": 307, "process_vm_readv": 310,
            "process_vm_writev": 311, "kcmp": 312, "bpf": 321, "userfaultfd": 323,
            "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
            "pidfd_getfd": 438,
        },
        0x40000000,
    ),
    "aarch64": _Machine(
        0xC00000B7,
        {
            "ioctl": 29, "ptrace": 117, "socket": 198, "socketpair": 199, "bind": 200,
            "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "setsockopt": 208,
            "add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241,
            "accept4": 242, "recvmmsg": 243, "sendmmsg": 269, "process_vm_readv": 270,
            "process_vm_writev": 271, "kcmp": 272, "bpf": 280, "userfaultfd": 282,
            "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
            "pidfd_getfd": 438,
        },
    ),
}  # fmt: skip
"""From the kernel's tables; ``arm64`` is what some systems call the second."""

_ALWAYS: Final = (
    "io_uring_setup",  # does other calls on its own, past this filter
    "io_uring_enter",
    "io_uring_register",
    "add_key",  # keyrings belong to the user, not to a namespace
    "request_key",
    "keyctl",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "kcmp",
    "pidfd_getfd",
)
_OTHER_PROCESSES: Final = ("ptrace", "process_vm_readv", "process_vm_writev")
_NETWORK: Final = (
    "connect",
    "accept",
    "accept4",
    "bind",
    "listen",
    "sendmmsg",
    "recvmmsg",
    "setsockopt",
)

_TERMINAL_REQUESTS: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into a terminal on behalf of its user."""

_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000

_LOAD: Final = 0x20
_AND: Final = 0x54
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06

_NUMBER: Final = 0
_CONVENTION: Final = 4
_VSOCK: Final = 40


def _argument(index: int, *, high: bool = False) -> int:
    """Return where half of a call's argument is; both machines store the low one first."""
    return 16 + 8 * index + (4 if high else 0)


_Instruction = tuple[int, int, int, int]


def program(kind: Filter, machine: str | None = None) -> bytes:
    """Return the filter, as ``bwrap --seccomp`` reads it.

    Args:
        kind: With or without a network.
        machine: Processor, as ``uname -m`` names it; ``None`` for this one.

    Raises:
        SandboxUnavailableError: The numbers of that processor's calls are not known here.
    """
    name = machine or platform.machine()
    known = _MACHINES.get("aarch64" if name == "arm64" else name)
    if known is None:
        raise SandboxUnavailableError(
            f"cannot confine on this kind of machine: no system call filter for {name}"
        )
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _CONVENTION),
        (_IF_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if known.other_abi_from is not None:
        code += [(_IF_AT_LEAST, 0, 1, known.other_abi_from), (_RETURN, 0, 0, _KILL)]
    restricted = kind is Filter.NO_NETWORK
    refused = _ALWAYS + (_OTHER_PROCESSES + _NETWORK if restricted else ())
    for call in refused:
        code += _when(known.calls[call], [(_RETURN, 0, 0, _REFUSE)])
    code += _when(known.calls["ioctl"], _refuse_terminal_requests())
    if restricted:
        for call in ("socket", "socketpair"):
            code += _when(known.calls[call], _only_connected_pairs())
        code += _when(known.calls["sendto"], _only_without_address())
    else:
        code += _when(known.calls["socket"], _no_vsock())
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _when(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """Return the body, run for one call only; it must end in an answer whatever happens."""
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _refuse_terminal_requests() -> list[_Instruction]:
    first, second = _TERMINAL_REQUESTS
    return [
        (_LOAD, 0, 0, _argument(1)),
        (_IF_EQUAL, 1, 0, first),
        (_IF_EQUAL, 0, 1, second),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _only_connected_pairs() -> list[_Instruction]:
    return [
        (_LOAD, 0, 0, _argument(0)),
        (_IF_EQUAL, 0, 4, socket.AF_UNIX),
        (_LOAD, 0, 0, _argument(1)),
        (_AND, 0, 0, 0xF),  # the rest are flags
        (_IF_EQUAL, 2, 0, socket.SOCK_STREAM),
        (_IF_EQUAL, 1, 0, socket.SOCK_SEQPACKET),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _only_without_address() -> list[_Instruction]:
    # ``send`` is this call without one: event loops wake themselves with it.
    return [
        (_LOAD, 0, 0, _argument(4)),
        (_IF_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, _argument(4, high=True)),
        (_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _no_vsock() -> list[_Instruction]:
    # It reaches the machine that this virtual one runs on, past every network namespace.
    return [
        (_LOAD, 0, 0, _argument(0)),
        (_IF_EQUAL, 0, 1, _VSOCK),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
