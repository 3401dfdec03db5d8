"""The progress bar of ``exec-client cp``: on a terminal, where ``rich`` is installed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from .printing import printable, unfiltered

if TYPE_CHECKING:
    from ..client import Client
    from ..filesystem.types import TransferProgress
    from .messages import Messages

__all__ = ["Show", "shown"]

STDERR: Final = 2
_NAME_WIDTH: Final = 32


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


@asynccontextmanager
async def shown(client: Client, messages: Messages, *, quiet: bool) -> AsyncIterator[Show]:
    """Show progress during the block, or at least what happens to the connection."""
    bar = None if quiet or not os.isatty(STDERR) else _rich_bar()
    if bar is None:
        async with messages.recoveries(client):
            yield Show()
        return
    show = _Bar(bar)
    following = asyncio.get_running_loop().create_task(_follow(client, show))
    try:
        with bar:
            yield show
    finally:
        following.cancel()
        await asyncio.wait([following])


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
