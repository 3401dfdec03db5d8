"""Our input on its way to the command, and what its end means there.

A terminal in raw mode sends each key to the command, Ctrl-C included. While the connection is
away nobody takes them, and they are read all the same: pressed twice, Ctrl-C ends ``exec-client``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from exec_server_protocol.capabilities import CAPABILITY_CLOSE_STDIN
from exec_server_protocol.errors import RpcError

from ..connection.states import ClientState
from ..errors import ClientError

if TYPE_CHECKING:
    from ..client import Client
    from ..process.process import Process
    from .messages import Messages
    from .signals import SignalForwarder
    from .streams import StreamReader
    from .terminal import RawTerminal

__all__ = ["InputForwarder"]

INTERRUPT: Final = b"\x03"
"""Ctrl-C."""
PRESSES_TO_GIVE_UP: Final = 2

END_OF_FILE: Final = b"\x04"
"""Ctrl-D: what a terminal takes for the end of the input, at the beginning of a line."""
END_REPEATED_AFTER_S: Final = 0.25
END_REPEATED_AT_MOST_AFTER_S: Final = 5.0
"""A program that sets up its terminal, as shells do before each line, may throw away what came
before. So the end is sent again, at pauses that double up to this one."""

END_WARNING_DELAY_S: Final = 1.0
"""After the end of our input: a command that ends by then did not wait for that end."""

AHEAD_MAX_BYTES: Final = 1024 * 1024
"""Keys that wait for a connection that is away: a large paste. Further ones are dropped."""


class InputForwarder:
    """Sends what is read to the command, until the end of it or of the command.

    Args:
        client: Whose connection it is.
        process: The command.
        stdin: What to read.
        terminal: Ours. In raw mode, its keys are watched while the connection is away.
        signals: Told when our terminal is gone, or given up.
        messages: For a warning about an end that the command will not see.
        tty: Whether the command has a terminal.
    """

    def __init__(
        self,
        client: Client,
        process: Process,
        stdin: StreamReader,
        terminal: RawTerminal,
        signals: SignalForwarder,
        messages: Messages,
        *,
        tty: bool,
    ) -> None:
        self._client = client
        self._process = process
        self._stdin = stdin
        self._terminal = terminal
        self._signals = signals
        self._messages = messages
        self._tty = tty
        self._ahead = bytearray()
        self._has_keys = asyncio.Event()
        self._has_room = asyncio.Event()
        self._presses = 0

    async def forward(self) -> None:
        """Forward until cancelled, or until the command takes nothing any more."""
        if not self._terminal.is_raw:
            await self._unless_refused(self._copy())
            return
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._unless_refused(self._send_keys()))
            await self._read_keys()
            sending.cancel()
        await self._signals.hang_up()  # Keys never end the input here: the terminal is gone.

    async def _unless_refused(self, sending: Coroutine[Any, Any, None]) -> None:
        # The command closed its stdin, or ended: no reason to end anything else.
        with suppress(ClientError, RpcError):
            await sending

    async def _read_keys(self) -> None:
        while data := await self._stdin.read():
            away = self._client.state is ClientState.RECOVERING
            self._watch_for_way_out(data, away=away)
            while len(self._ahead) > AHEAD_MAX_BYTES and not away:
                self._has_room.clear()
                await self._has_room.wait()
            if len(self._ahead) <= AHEAD_MAX_BYTES:
                self._ahead += data
                self._has_keys.set()

    async def _send_keys(self) -> None:
        while True:
            await self._has_keys.wait()
            self._has_keys.clear()
            data, self._ahead = bytes(self._ahead), bytearray()
            self._has_room.set()
            await self._process.write(data)

    def _watch_for_way_out(self, data: bytes, *, away: bool) -> None:
        """Give up when Ctrl-C comes twice in a row while the connection is away."""
        if not away:
            self._presses = 0
            return
        others = data.rstrip(INTERRUPT)
        self._presses = len(data) - len(others) + (0 if others else self._presses)
        if self._presses >= PRESSES_TO_GIVE_UP:
            self._signals.interrupt_ourselves()

    async def _copy(self) -> None:
        last = b"\n"
        while data := await self._stdin.read():
            await self._process.write(data)
            last = data[-1:]
        if self._tty:
            await self._end_terminal_input(last)
        elif self._client.supports(CAPABILITY_CLOSE_STDIN):
            await self._process.close_stdin()
        else:
            await asyncio.sleep(END_WARNING_DELAY_S)
            self._messages.note(
                "this executor cannot close the command's stdin: "
                "it will not see the end of the input"
            )

    async def _end_terminal_input(self, last: bytes) -> None:
        # Once sends the line that was begun, and only the next one is the end.
        await self._process.write(END_OF_FILE if last == b"\n" else END_OF_FILE * 2)
        pause = END_REPEATED_AFTER_S
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, END_REPEATED_AT_MOST_AFTER_S)
            await self._process.write(END_OF_FILE)
