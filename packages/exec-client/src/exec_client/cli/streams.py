"""Reading and writing the standard streams without blocking the loop or changing them.

The streams are shared with whoever started us: a shell, other commands of a pipeline. Their
flags must stay as they are, O_NONBLOCK above all, or those others would suddenly fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import threading
from queue import SimpleQueue
from typing import Final

from .standard_streams import wait_for

__all__ = ["InputKind", "StreamReader", "StreamWriter", "input_is_at_eof", "input_kind"]

READ_BYTES: Final = 65_536
"""What a pipe holds by default, so one read empties it."""


class InputKind:
    """Kind of file that standard input is connected to."""

    NOTHING: Final = "nothing"
    """Closed, or ``/dev/null``."""
    TERMINAL: Final = "terminal"
    DATA: Final = "data"
    """A pipe, a file, a socket."""


def input_kind(fd: int) -> str:
    """Return which ``InputKind`` a descriptor is."""
    try:
        status = os.fstat(fd)
    except OSError:
        return InputKind.NOTHING
    if stat.S_ISCHR(status.st_mode):
        if os.isatty(fd):
            return InputKind.TERMINAL
        if status.st_rdev == os.stat(os.devnull).st_rdev:
            return InputKind.NOTHING
    return InputKind.DATA


def input_is_at_eof(fd: int) -> bool:
    """Return whether reading would give nothing, as far as is known without reading."""
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return os.lseek(fd, 0, os.SEEK_CUR) >= status.st_size
    if not stat.S_ISFIFO(status.st_mode):
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    events = dict(poll.poll(0)).get(fd, 0)
    return bool(events & select.POLLHUP) and not events & select.POLLIN


class StreamReader:
    """Reads a descriptor when there is something to read.

    Args:
        fd: Open for reading. It is neither closed nor changed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read(self) -> bytes:
        """Return what is there, waiting for something; nothing means the end of the input.

        A terminal that has gone away counts as the end too. Cancelling is safe.
        """
        try:
            while True:
                await self._wait_readable()
                with contextlib.suppress(BlockingIOError):  # another reader was faster
                    return os.read(self._fd, READ_BYTES)
        except OSError:
            return b""

    async def _wait_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._fd, _wake, readable)
        except PermissionError:
            return  # A plain file: it cannot be watched, and need not be.
        try:
            await readable
        finally:
            loop.remove_reader(self._fd)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class StreamWriter:
    """Writes a descriptor at once and completely, whoever reads it and however slowly.

    A write that could block happens in a thread, so that signals and stdin go on.

    Args:
        fd: Open for writing. It is neither closed nor changed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._thread: _WritingThread | None = None
        self._poll = select.poll()
        try:
            self._never_blocks = stat.S_ISREG(os.fstat(fd).st_mode)
        except OSError:
            self._never_blocks = True  # Closed: the first write fails at once.
        else:
            self._poll.register(fd, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            OSError: Nobody reads any more (``BrokenPipeError``), or the disk is full.
        """
        view = memoryview(data)
        while view:
            if self._never_blocks or (len(view) <= select.PIPE_BUF and self._poll.poll(0)):
                # A pipe that polls as writable takes PIPE_BUF bytes without blocking.
                try:
                    written = os.write(self._fd, view)
                except BlockingIOError:  # somebody else has filled what is non-blocking
                    written = 0
            else:
                if self._thread is None:
                    self._thread = _WritingThread(self._fd)
                written = await self._thread.write(view)
            view = view[written:]

    def close(self) -> None:
        """End the thread. A write in progress is not waited for."""
        if self._thread is not None:
            self._thread.close()


class _WritingThread:
    """Does the writes that may block.

    A daemon, unlike the threads of an executor: a reader that neither reads nor goes away must
    not keep the program from ending when it is told to.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[memoryview, asyncio.Future[int]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="exec-client-write", daemon=True).start()

    async def write(self, data: memoryview) -> int:
        written: asyncio.Future[int] = self._loop.create_future()
        self._jobs.put((data, written))
        return await written

    def close(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        while job := self._jobs.get():
            data, future = job
            error, written = None, 0
            try:
                written = self._write(data)
            except OSError as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(_settle, future, written, error)
            except RuntimeError:
                return  # The loop has ended without waiting for us.

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            wait_for(self._fd, select.POLLOUT)
            return 0


def _settle(future: asyncio.Future[int], written: int, error: OSError | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(written)
