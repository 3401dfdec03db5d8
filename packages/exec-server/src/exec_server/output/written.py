"""Counters of a process's output, so that a client can compute how much it missed. Pure."""

from __future__ import annotations

from .retained import Chunk

__all__ = ["Written"]


class Written:
    """Counts the output of one process.

    Args:
        tty: Whether all of it is one stream, the terminal's.
    """

    __slots__ = ("_errors", "_total", "_tty")

    def __init__(self, *, tty: bool) -> None:
        self._tty = tty
        self._total = 0
        self._errors = 0

    def chunk(self, seq: int, stream: bytes, data: bytes) -> Chunk:
        """Count a piece of output; return it with what was written before."""
        chunk = Chunk(seq, stream, data, self._total, self._errors)
        self._total += len(data)
        if stream == b"stderr":
            self._errors += len(data)
        return chunk

    def before(self, chunk: Chunk | None) -> dict[str, int]:
        """Return how much was written to each stream before a chunk; ``None`` for until now."""
        total, errors = self._total, self._errors
        if chunk is not None:
            total, errors = chunk.written, chunk.errors
        return {"pty": total} if self._tty else {"stdout": total - errors, "stderr": errors}
