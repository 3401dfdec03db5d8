"""The local terminal: its size, raw mode, and getting out of it whatever happens."""

from __future__ import annotations

import atexit
import os
import termios
import tty
from types import TracebackType
from typing import Any, NamedTuple

__all__ = ["RawTerminal", "TerminalSize", "terminal_size"]


class TerminalSize(NamedTuple):
    """Rows and columns of a terminal."""

    rows: int
    cols: int


def terminal_size() -> TerminalSize | None:
    """Return the size of the terminal that we run in; ``None`` without one."""
    for fd in (1, 0, 2):
        try:
            cols, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and cols:
            return TerminalSize(rows, cols)
    return None


class RawTerminal:
    """Puts a terminal into raw mode for the length of a ``with`` block.

    What is typed then goes to the other side as it is, Ctrl-C included, and the terminal there
    does the echoing and the line editing. The former mode comes back when the block is left,
    and also when the interpreter ends without leaving it. A descriptor that is no terminal is
    left alone.

    Args:
        fd: The terminal.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    @property
    def is_raw(self) -> bool:
        """Whether the terminal is in raw mode now."""
        return self._saved is not None

    def __enter__(self) -> RawTerminal:
        if os.isatty(self._fd):
            self._saved = termios.tcgetattr(self._fd)
            atexit.register(self.restore)
            tty.setraw(self._fd, termios.TCSADRAIN)
        return self

    def enter_again(self) -> None:
        """Set raw mode anew, after a stop during which a shell had the terminal."""
        if self._saved is not None:
            tty.setraw(self._fd, termios.TCSADRAIN)

    def restore(self) -> None:
        """Give the terminal its former mode back. Repeating it does nothing."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        atexit.unregister(self.restore)
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
        except termios.error:
            return  # The terminal is gone; there is nothing to restore.

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()
