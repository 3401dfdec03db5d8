"""The progress of ``exec-client cp`` on a terminal: a bar of ``rich``, or a line without it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TextIO

from .printing import printable, unfiltered

if TYPE_CHECKING:
    from ..client import Client
    from ..filesystem.types import TransferProgress
    from .messages import Messages

__all__ = ["Show", "show_progress"]

STDERR: Final = 2
_NAME_WIDTH: Final = 32
_LINE_SECONDS: Final = 0.1
"""Between two states of the line: nobody reads faster."""
_ERASE: Final = "\x1b[K"
"""To the end of the line."""


class Show:
    """Shows nothing: where nobody looks, or wants to."""

    def progress(self, progress: TransferProgress) -> None:
        """Take note of how far a transfer is."""

    def note(self, text: str | None) -> None:
        """Show a text instead of the file's name; ``None`` for the name again."""

    def hide_for(self, write: Callable[[], None]) -> None:
        """Let something else be written to the terminal."""
        write()


class _Bar(Show):
    """A line that follows a transfer.

    Args:
        bar: A started ``rich.progress.Progress``.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None
        self._note: str | None = None

    def progress(self, progress: TransferProgress) -> None:
        name = printable(os.path.basename(progress.path))
        if len(name) > _NAME_WIDTH:
            name = f"{name[: _NAME_WIDTH - 1]}…"
        if self._task is None:
            self._task = self._bar.add_task("", total=None, files="")
        self._bar.update(
            self._task,
            description=self._note or name,
            completed=progress.done_bytes,
            total=max(progress.total_bytes, progress.done_bytes),
            files=f"{progress.done_files}/{progress.total_files}",
        )
        if progress.done_files == progress.total_files:
            self._task = None  # the next transfer has a line of its own

    def note(self, text: str | None) -> None:
        self._note = text
        if self._task is not None and text is not None:
            self._bar.update(self._task, description=text)

    def hide_for(self, write: Callable[[], None]) -> None:
        self._bar.stop()
        write()
        self._bar.start()


class _Line(Show):
    """A line that is written again and again.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._note: str | None = None
        self._due = 0.0

    def progress(self, progress: TransferProgress) -> None:
        complete = progress.done_files == progress.total_files
        if time.monotonic() < self._due and not complete:
            return
        self._due = time.monotonic() + _LINE_SECONDS
        name = self._note or printable(os.path.basename(progress.path))
        total = max(progress.total_bytes, progress.done_bytes)
        share = 100 * progress.done_bytes // total if total else 100
        size = f"{progress.done_bytes:,} of {total:,} bytes"
        files = f"{progress.done_files}/{progress.total_files}"
        self._write(f"{share:3}%  {size}  {files}  {name}")

    def note(self, text: str | None) -> None:
        self._note = text
        if text is not None:
            self._write(text)

    def hide_for(self, write: Callable[[], None]) -> None:
        text = self._text
        self._write("")
        write()
        self._write(text)

    def end(self) -> None:
        """Leave the last state on the terminal."""
        if self._text:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._text = text[:width]
        self._stream.write(f"\r{_ERASE}{self._text}")
        self._stream.flush()


@asynccontextmanager
async def show_progress(client: Client, messages: Messages, *, quiet: bool) -> AsyncIterator[Show]:
    """Show progress during the block, or at least what happens to the connection."""
    if quiet or not os.isatty(STDERR):
        async with messages.recoveries(client):
            yield Show()
        return
    bar = _rich_bar()
    line = _Line(unfiltered(sys.stderr))
    show: Show = line if bar is None else _Bar(bar)
    following = asyncio.get_running_loop().create_task(_follow(client, show))
    try:
        with bar or nullcontext():
            yield show
    finally:
        following.cancel()
        await asyncio.wait([following])
        line.end()


async def _follow(client: Client, show: Show) -> None:
    from ..connection.states import ClientState

    async for change in client.state_changes():
        recovering = change.new is ClientState.RECOVERING
        show.note("connection lost, resuming …" if recovering else None)


def _rich_bar() -> Any:
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ModuleNotFoundError:
        return None
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}", markup=False),
        # Its own escape sequences have to pass; what it shows of an executor is printable.
        console=Console(file=unfiltered(sys.stderr)),
    )
