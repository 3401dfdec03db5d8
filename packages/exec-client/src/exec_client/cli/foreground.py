"""Running one command in the foreground: its output, our input, signals, the terminal's size.

What ``run`` and ``shell`` have in common. The command behaves as if it ran here, as far as
the executor allows:

- stdout and stderr stay apart and are written as they arrive;
- our stdin is its stdin, with the end of it where the executor can close a stdin. Where it
  cannot, a terminal and an empty stdin are not connected (the command sees an empty one), and
  a command that goes on after the end of anything else is announced with one warning;
- with a terminal on both sides ours is in raw mode, and its size goes along;
- when nobody reads our stdout any more, the command is killed, as SIGPIPE would have done.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from exec_server_protocol.capabilities import (
    CAPABILITY_CLOSE_STDIN,
    CAPABILITY_RESIZE,
    CAPABILITY_SIGNALS,
)
from exec_server_protocol.errors import RpcError

from ..errors import ClientError
from .exit_codes import OWN_ERROR, SIGNAL_BASE, TIMED_OUT, CommandError, exit_code_of
from .input import InputForwarder
from .messages import Messages
from .signals import SignalForwarder
from .streams import InputKind, StreamReader, StreamWriter, input_is_at_eof, input_kind
from .terminal import RawTerminal, TerminalSize, terminal_size

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

    from ..client import Client
    from ..gaps import LostOutput
    from ..process.output import OutputStream
    from ..process.process import Process

__all__ = ["Command", "run_in_foreground"]

STDIN, STDOUT, STDERR = 0, 1, 2

KILL_GRACE_S: Final = 2.0
"""For the last output of a command that was killed: a descendant that left its process group
may hold the pipes open for as long as it likes."""


@dataclass(frozen=True)
class Command:
    """A command line with its options.

    Attributes:
        argv: Program and arguments.
        cwd: Folder on the executor; its own when ``None``.
        env: Variables to add.
        inherit_env: What of the executor's environment the command gets.
        tty: Whether it gets a terminal.
        timeout: Seconds until it is killed; ``None`` for no limit.
        kill_after: Seconds between SIGTERM and that, then; ``None`` for no SIGTERM.
        max_output: Most bytes to write of each stream; ``None`` for all.
        merge_stderr: Whether its stderr is the pipe of its stdout.
        sandbox: What it may do; ``None`` for everything.
        lost_output: What happens when output of it is lost.
        is_shell: Whether somebody works in it: it ends with its terminal, like a shell that
            loses its own, and not by SIGTERM, which shells ignore.
    """

    argv: Sequence[str]
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    inherit_env: Literal["core", "all", "none"] = "core"
    tty: bool = False
    timeout: float | None = None
    kill_after: float | None = None
    max_output: int | None = None
    merge_stderr: bool = False
    sandbox: SandboxContext | None = None
    lost_output: LostOutput = "fail"
    is_shell: bool = False


async def run_in_foreground(client: Client, command: Command, messages: Messages) -> int:
    """Run ``command`` to its end and return the exit code for ``exec-client``.

    Raises:
        CommandError: It could not be started.
        ClientError: The connection was lost for good.
    """
    supports = client.supports
    if command.kill_after is not None:
        client.require(CAPABILITY_SIGNALS, "--kill-after")
    stdin = _stdin_to_connect(command, closable=supports(CAPABILITY_CLOSE_STDIN))
    size = terminal_size() if command.tty and supports(CAPABILITY_RESIZE) else None
    try:
        process = await client.start(
            command.argv,
            cwd=_folder(client, command.cwd),
            env=command.env,
            inherit_env=command.inherit_env,
            tty=command.tty,
            stdin=stdin is not None and not command.tty,
            merge_stderr=command.merge_stderr,
            rows=size.rows if size else None,
            cols=size.cols if size else None,
            sandbox=command.sandbox,
            lost_output=command.lost_output,
            gap_marker=messages.gap,
        )
    except (
        RpcError,
        TypeError,
        ValueError,
    ) as error:  # the last two: arguments that cannot be sent
        reason = error.message if isinstance(error, RpcError) else error
        raise CommandError(
            f"cannot start {command.argv[0]}: {reason}", exit_code_of(error)
        ) from error
    try:
        return await _Foreground(client, process, command, messages, size).attend(stdin)
    except BaseException:
        # Whatever happened to us, nobody attends the command any more.
        with suppress(ClientError, RpcError, TimeoutError):
            async with asyncio.timeout(KILL_GRACE_S):
                await process.terminate()
        raise


def _folder(client: Client, cwd: str | None) -> str | None:
    """Return ``cwd`` with a relative one put behind the executor's own folder."""
    if cwd is None or cwd.startswith(("/", "file:")):
        return cwd
    own = client.environment_info.cwd
    if own is None:
        return cwd
    return posixpath.join(os.fsdecode(own.to_native()), cwd)


def _stdin_to_connect(command: Command, *, closable: bool) -> StreamReader | None:
    kind = input_kind(STDIN)
    if command.tty or (kind == InputKind.TERMINAL and closable):
        return StreamReader(STDIN)
    if kind != InputKind.DATA or (not closable and input_is_at_eof(STDIN)):
        return None
    return StreamReader(STDIN)


class _Foreground:
    """One command that is running, and everything that goes on beside it."""

    def __init__(
        self,
        client: Client,
        process: Process,
        command: Command,
        messages: Messages,
        size: TerminalSize | None,
    ) -> None:
        self._size = size
        self._client = client
        self._process = process
        self._command = command
        self._messages = messages
        self._supports = client.supports
        self._exit_code: int | None = None
        """Decided here rather than by the command."""
        self._given_up = asyncio.Event()

    async def attend(self, stdin: StreamReader | None) -> int:
        async with AsyncExitStack() as stack:
            terminal = stack.enter_context(_RawWhen(self._command.tty, self._messages))
            signals = SignalForwarder(
                self._process,
                all_signals=self._supports(CAPABILITY_SIGNALS),
                messages=self._messages,
                terminal=terminal,
                is_shell=self._command.is_shell,
            )
            stack.enter_context(signals)
            beside: list[Coroutine[Any, Any, None]] = [
                signals.deliver(),
                self._messages.follow_recovery(self._client, way_out="Ctrl-C twice gives up"),
            ]
            if stdin is not None:
                typed = InputForwarder(
                    self._client, self._process, stdin, terminal, signals, self._messages,
                    tty=self._command.tty,
                )  # fmt: skip
                beside.append(typed.forward())
            if self._command.tty and self._supports(CAPABILITY_RESIZE):
                beside.append(self._follow_size(terminal))
            if self._command.timeout is not None:
                beside.append(self._expire(self._command.timeout))
            await stack.enter_async_context(_running(beside))
            await self._copy_output()
            if self._exit_code is not None:
                return self._exit_code
            code = await self._process.wait()
            if signals.killed_for is not None:
                return SIGNAL_BASE + signals.killed_for
            return code

    async def _copy_output(self) -> None:
        """Write all output; returns when it is complete, or when it was given up."""
        copies = [self._copy(self._process.stdout, STDOUT)]
        if not self._command.tty:
            copies.append(self._copy(self._process.stderr, STDERR))
        async with _running(copies) as tasks:
            given_up = asyncio.create_task(self._given_up.wait())
            try:
                while pending := [task for task in tasks if not task.done()]:
                    await asyncio.wait([*pending, given_up], return_when=asyncio.FIRST_COMPLETED)
                    if given_up.done():
                        return
            finally:
                given_up.cancel()

    async def _copy(self, source: OutputStream, fd: int) -> None:
        writer = StreamWriter(fd)
        shown = os.isatty(fd)
        left = self._command.max_output
        try:
            async for piece in source:
                data = piece if left is None else piece[: max(left, 0)]
                if left is not None:
                    if 0 <= left < len(piece):
                        name = "stdout" if fd == STDOUT else "stderr"
                        self._messages.note(
                            f"{name} is longer than --max-output: the rest is dropped"
                        )
                    left = left - len(piece) if left >= len(piece) else -1
                if not data:
                    continue
                if shown:
                    self._messages.before_output(data)
                await writer.write(data)
        except OSError as error:
            if fd == STDOUT:
                broken = isinstance(error, BrokenPipeError)
                if not broken:
                    self._messages.error(f"cannot write the output: {error.strerror}")
                await self._kill(SIGNAL_BASE + signal.SIGPIPE if broken else OWN_ERROR)
                return
            async for _ in source:
                pass  # Nobody reads our stderr: the command must not stall for that.
        finally:
            writer.close()

    async def _follow_size(self, terminal: RawTerminal) -> None:
        """Give the command's terminal the size of ours whenever that changes."""
        changed = asyncio.Event()
        size = self._size
        loop = asyncio.get_running_loop()

        def continued() -> None:
            terminal.enter_again()
            changed.set()

        loop.add_signal_handler(signal.SIGWINCH, changed.set)
        loop.add_signal_handler(signal.SIGCONT, continued)
        try:
            while True:
                former, size = size, terminal_size()  # It may have changed before we looked.
                if size is not None and size != former:
                    with suppress(RpcError):  # The command has just ended.
                        await self._process.resize(size.rows, size.cols)
                await changed.wait()
                changed.clear()
        except ClientError:
            return  # Lost for good, which ends the command anyway.
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_signal_handler(signal.SIGCONT)

    async def _expire(self, timeout: float) -> None:
        await asyncio.sleep(timeout)
        if self._command.kill_after is not None:
            self._messages.note(f"the command was asked to end after {timeout:g} s")
            self._exit_code = TIMED_OUT
            async with _running([self._ask_to_end(self._command.kill_after)]):
                await asyncio.sleep(self._command.kill_after)
            timeout += self._command.kill_after
        self._messages.note(f"the command was killed after {timeout:g} s")
        await self._kill(TIMED_OUT)

    async def _ask_to_end(self, grace: float) -> None:
        with suppress(ClientError, RpcError):
            await self._process.ask_to_end(grace)

    async def _kill(self, exit_code: int) -> None:
        """Kill the command, and soon stop waiting for its output.

        Nor is a lost connection waited for longer: the command then ends with its session.
        """
        self._exit_code = exit_code
        asyncio.get_running_loop().call_later(KILL_GRACE_S, self._given_up.set)
        with suppress(ClientError, RpcError):
            await self._process.terminate()


class _RawWhen(RawTerminal):
    """Raw mode where it is wanted, known to the messages that are written meanwhile."""

    def __init__(self, wanted: bool, messages: Messages) -> None:
        super().__init__(STDIN if wanted else -1)
        self._messages = messages

    def __enter__(self) -> RawTerminal:
        super().__enter__()
        self._messages.raw = self.is_raw
        return self

    def restore(self) -> None:
        super().restore()
        self._messages.raw = False


@asynccontextmanager
async def _running(
    coroutines: Sequence[Coroutine[Any, Any, None]],
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run things beside the block and cancel them at its end. A fault in one ends the block."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
            try:
                yield tasks
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
