"""Passing the signals that we get on to the command."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final

from ..errors import ClientError

if TYPE_CHECKING:
    from exec_server_protocol.process import SignalName

    from ..process.process import Process
    from .messages import Messages
    from .terminal import RawTerminal

__all__ = ["SignalForwarder"]

FORWARDED: Final[dict[int, SignalName]] = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminate",
    signal.SIGHUP: "hangup",
    signal.SIGQUIT: "quit",
    signal.SIGUSR1: "usr1",
    signal.SIGUSR2: "usr2",
}
ENDING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Signals that ask the program to end."""

HANG_UPS: Final = 2
"""The first may go to the job in the foreground, so that the second finds the shell there."""
HANG_UP_GRACE_S: Final = 1.0
"""For a shell to write its history and end, each time."""

QUEUE_SIGNALS: Final = 32
"""Signals that wait for the connection. The kernel keeps one of a kind; further ones are lost."""


class SignalForwarder:
    """Catches signals inside a ``with`` block and sends them to the command in their order.

    An executor that only knows ``interrupt`` gets ``process/terminate`` for the other signals
    that should end a command. When a signal cannot be delivered because the connection is
    being recovered, the next one that should end the command ends ``exec-client`` instead.

    Args:
        process: The command.
        all_signals: Whether the executor knows more than ``interrupt``.
        messages: Where to warn about a signal that cannot be sent.
        terminal: Restored before ``exec-client`` gives up.
        is_shell: Whether the command ends with its terminal: see ``_end_shell``.

    Attributes:
        killed_for: The signal for which the command was ended in another way.
    """

    def __init__(
        self,
        process: Process,
        *,
        all_signals: bool,
        messages: Messages,
        terminal: RawTerminal,
        is_shell: bool = False,
    ) -> None:
        self._is_shell = is_shell
        self._process = process
        self._all_signals = all_signals
        self._messages = messages
        self._terminal = terminal
        self._queue: asyncio.Queue[int] = asyncio.Queue(QUEUE_SIGNALS)
        self._delivering = False
        self.killed_for: int | None = None

    def __enter__(self) -> SignalForwarder:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            # One that is ignored, as nohup does with SIGHUP, stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._caught, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.remove_signal_handler(number)

    async def deliver(self) -> None:
        """Send what is caught until cancelled."""
        while True:
            number = await self._queue.get()
            self._delivering = True
            try:
                await self._send(number)
            except ClientError:
                return  # The connection is lost for good, which ends the command anyway.
            finally:
                self._delivering = False

    async def hang_up(self) -> None:
        """Tell the command that its terminal has gone."""
        self._caught(signal.SIGHUP)

    def interrupt_ourselves(self) -> None:
        """End ``exec-client`` as Ctrl-C does: the command cannot be reached."""
        self._give_up(signal.SIGINT)

    def _caught(self, number: int) -> None:
        if number in ENDING and self._delivering:
            self._give_up(number)
        if not self._queue.full():
            self._queue.put_nowait(number)

    async def _send(self, number: int) -> None:
        if self._is_shell and number in (signal.SIGTERM, signal.SIGHUP):
            await self._end_shell(number)
        elif number == signal.SIGINT or self._all_signals:
            await self._process.send_signal(FORWARDED[number])
        elif number in ENDING:
            self.killed_for = number
            await self._process.terminate()
        else:
            name = signal.Signals(number).name
            self._messages.note(f"this executor cannot send {name} to the command")

    async def _end_shell(self, number: int) -> None:
        """End a shell as the end of its terminal does, and kill one that stays."""
        self.killed_for = number
        for _ in range(HANG_UPS if self._all_signals else 0):
            await self._process.send_signal("hangup")
            with suppress(TimeoutError):
                async with asyncio.timeout(HANG_UP_GRACE_S):
                    await self._process.wait()
                return
        await self._process.terminate()

    def _give_up(self, number: int) -> None:
        self._terminal.restore()
        self._messages.end_line()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
