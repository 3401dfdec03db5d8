"""The system call filter, run by an interpreter of the packet filter's instructions."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from exec_server.sandbox import seccomp
from exec_server.sandbox.errors import SandboxUnavailableError
from exec_server.sandbox.seccomp import Filter, program
from hypothesis import given
from hypothesis import strategies as st

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = sorted(AUDIT)
REFUSED = 0x00050000 | errno.EPERM
ALLOWED = 0x7FFF0000
KILLED = 0x80000000
ALWAYS = ["io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "bpf", "pidfd_getfd"]
WITHOUT_NETWORK = [
    "ptrace", "process_vm_readv", "process_vm_writev", "connect", "accept", "accept4", "bind",
    "listen", "sendmmsg", "recvmmsg", "setsockopt",
]  # fmt: skip


def run(code: bytes, number: int, arguments: tuple[int, ...] = (), audit: int = 0) -> int:
    """Return the answer of a filter, as seccomp(2) describes its input."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, audit, 0, *padded)
    instructions = list(struct.iter_unpack("<HBBI", code))
    accumulator = at = 0
    for _ in range(len(instructions)):
        operation, when_true, when_false, value = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            at += when_true if accumulator == value else when_false
        elif operation == 0x35:
            at += when_true if accumulator >= value else when_false
        elif operation == 0x06:
            return int(value)
        else:
            raise AssertionError(f"an instruction that the filter should not have: {operation:#x}")
    raise AssertionError("the filter does not end")


def answer(kind: Filter, machine: str, call: str, *arguments: int) -> int:
    number = seccomp._MACHINES[machine].calls[call]
    return run(program(kind, machine), number, arguments, AUDIT[machine])


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", Filter)
@pytest.mark.parametrize("call", ALWAYS)
def test_some_calls_are_refused_in_every_sandbox(machine: str, kind: Filter, call: str) -> None:
    assert answer(kind, machine, call) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", WITHOUT_NETWORK)
def test_calls_about_the_network_are_refused_without_one(machine: str, call: str) -> None:
    assert answer(Filter.NO_NETWORK, machine, call) == REFUSED
    assert answer(Filter.NETWORK, machine, call) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ["socket", "socketpair"])
@given(
    family=st.integers(0, 50), kind=st.integers(0, 15), flags=st.sampled_from([0, 0x800, 0x80800])
)
def test_only_connected_pairs_of_local_sockets_exist_without_a_network(
    machine: str, call: str, family: int, kind: int, flags: int
) -> None:
    fine = family == socket.AF_UNIX and kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
    expected = ALLOWED if fine else REFUSED
    assert answer(Filter.NO_NETWORK, machine, call, family, kind | flags) == expected


@pytest.mark.parametrize("machine", MACHINES)
@given(address=st.integers(0, 2**64 - 1))
def test_data_can_be_sent_to_the_other_end_and_to_no_address(machine: str, address: int) -> None:
    expected = REFUSED if address else ALLOWED
    assert answer(Filter.NO_NETWORK, machine, "sendto", 3, 0, 0, 0, address) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_the_host_of_a_virtual_machine_is_out_of_reach_even_with_a_network(machine: str) -> None:
    assert answer(Filter.NETWORK, machine, "socket", 40, socket.SOCK_STREAM) == REFUSED
    assert answer(Filter.NETWORK, machine, "socket", socket.AF_INET, 1) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", Filter)
def test_nothing_can_be_typed_into_a_terminal(machine: str, kind: Filter) -> None:
    tiocsti, tcgets = 0x5412, 0x5401
    assert answer(kind, machine, "ioctl", 0, tiocsti) == REFUSED
    assert answer(kind, machine, "ioctl", 0, 0xFFFFFFFF_00000000 | tiocsti) == REFUSED
    assert answer(kind, machine, "ioctl", 0, tcgets) == ALLOWED


@pytest.mark.parametrize("kind", Filter)
@given(number=st.integers(0, 2**31 - 1), audit=st.integers(0, 2**32 - 1))
def test_calls_by_another_convention_are_fatal(kind: Filter, number: int, audit: int) -> None:
    if audit != AUDIT["x86_64"]:
        assert run(program(kind, "x86_64"), number, (), audit) == KILLED


@given(number=st.integers(0x40000000, 2**31 - 1))
def test_calls_with_short_pointers_are_fatal_on_x86(number: int) -> None:
    assert run(program(Filter.NETWORK, "x86_64"), number, (), AUDIT["x86_64"]) == KILLED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", Filter)
@given(number=st.integers(0, 600))
def test_calls_that_are_not_listed_are_allowed(machine: str, kind: Filter, number: int) -> None:
    if number not in seccomp._MACHINES[machine].calls.values():
        assert run(program(kind, machine), number, (1, 1), AUDIT[machine]) == ALLOWED


def test_a_machine_without_a_table_cannot_confine() -> None:
    with pytest.raises(SandboxUnavailableError, match="no system call filter for mips"):
        program(Filter.NETWORK, "mips")
