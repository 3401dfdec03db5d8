"""The local terminal and the lines that are written to it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from exec_client.cli.messages import Messages
from exec_client.cli.terminal import RawTerminal
from exec_client.connection.states import ClientState


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    leader, terminal = os.openpty()
    yield leader, terminal
    os.close(leader)
    os.close(terminal)


def local_flags(fd: int) -> int:
    return cast("int", termios.tcgetattr(fd)[3])


def test_raw_mode_ends_with_the_block_even_by_an_exception(pty: tuple[int, int]) -> None:
    before = termios.tcgetattr(pty[1])
    terminal = RawTerminal(pty[1])
    try:
        with terminal:
            assert terminal.is_raw
            assert not local_flags(pty[1]) & (termios.ECHO | termios.ICANON | termios.ISIG)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert termios.tcgetattr(pty[1]) == before
    assert not terminal.is_raw
    terminal.restore()


def test_raw_mode_can_be_entered_again_after_a_stop(pty: tuple[int, int]) -> None:
    before = termios.tcgetattr(pty[1])
    with RawTerminal(pty[1]) as terminal:
        termios.tcsetattr(pty[1], termios.TCSANOW, before)
        terminal.enter_again()
        assert not local_flags(pty[1]) & termios.ECHO
    assert termios.tcgetattr(pty[1]) == before


def test_what_is_no_terminal_is_left_alone() -> None:
    with open(os.devnull, "rb") as null, RawTerminal(null.fileno()) as terminal:
        assert not terminal.is_raw


def test_the_mode_comes_back_when_the_interpreter_ends_inside_the_block(
    pty: tuple[int, int],
) -> None:
    before = termios.tcgetattr(pty[1])
    code = (
        "import sys; from exec_client.cli.terminal import RawTerminal;"
        "RawTerminal(0).__enter__(); sys.exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], stdin=pty[1], timeout=30, check=True)
    assert termios.tcgetattr(pty[1]) == before


def test_the_size_is_that_of_the_terminal(pty: tuple[int, int]) -> None:
    fcntl.ioctl(pty[1], termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    code = "from exec_client.cli.terminal import terminal_size; print(*terminal_size())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=pty[1],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "33 101\n"


@dataclass
class Change:
    old: ClientState
    new: ClientState
    at: float
    recovered_bytes: int = 0


class Recoveries:
    """A client that has only state changes."""

    def __init__(self, *changes: Change) -> None:
        self._changes = changes

    async def state_changes(self) -> AsyncIterator[Change]:
        for change in self._changes:
            yield change


LOST = Change(ClientState.CONNECTED, ClientState.RECOVERING, at=10.0)
BACK = Change(ClientState.RECOVERING, ClientState.CONNECTED, at=11.8, recovered_bytes=12431)
GIVEN_UP = Change(ClientState.RECOVERING, ClientState.FAILED, at=35.0)


async def followed(fd: int, *changes: Change, raw: bool = False, quiet: bool = False) -> None:
    messages = Messages(fd=fd, quiet=quiet)
    messages.raw = raw
    await messages.follow_recovery(cast("Any", Recoveries(*changes)))
    messages.error("the end")


def written(fd: int, end: str) -> str:
    """Return what was written, up to ``end``: a terminal passes it on in pieces, when it likes."""
    text = b""
    while not text.endswith(end.encode()):
        ready, _, _ = select.select([fd], [], [], 10)
        assert ready, text
        text += os.read(fd, 1000)
    return text.decode()


async def test_a_recovery_is_one_line_elsewhere_than_on_a_terminal() -> None:
    reader, writer = os.pipe()
    await followed(writer, LOST, BACK)
    assert written(reader, "end\n") == (
        "exec-client: connection lost, resumed after 1.8 s, 12,431 bytes recovered\n"
        "exec-client: the end\n"
    )
    os.close(reader)
    os.close(writer)


async def test_a_quiet_recovery_says_nothing() -> None:
    reader, writer = os.pipe()
    await followed(writer, LOST, BACK, quiet=True)
    assert written(reader, "end\n") == "exec-client: the end\n"
    os.close(reader)
    os.close(writer)


async def test_a_recovery_on_a_terminal_begins_when_the_connection_is_lost(
    pty: tuple[int, int],
) -> None:
    await followed(pty[1], LOST)
    assert written(pty[0], "end\r\n") == (
        "exec-client: connection lost, resuming … (Ctrl-C gives up)\r\nexec-client: the end\r\n"
    )
    await followed(pty[1], LOST, BACK)
    assert written(pty[0], "end\r\n") == (
        "exec-client: connection lost, resuming … (Ctrl-C gives up) "
        "resumed after 1.8 s, 12,431 bytes recovered\r\n"
        "exec-client: the end\r\n"
    )


async def test_a_recovery_that_fails_says_when_it_was_given_up(pty: tuple[int, int]) -> None:
    with RawTerminal(pty[1]):
        await followed(pty[1], LOST, GIVEN_UP, raw=True)
    assert written(pty[0], "end\r\n") == (
        "exec-client: connection lost, resuming … (Ctrl-C gives up) given up after 25.0 s\r\n"
        "exec-client: the end\r\n"
    )
