"""Detection of a sandbox denial from the output of a command that failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["SEARCHED_BYTES", "was_denied"]

SEARCHED_BYTES: Final = 1024 * 1024
"""How much of the end of the output is looked at."""

_WORDS: Final = (
    b"operation not permitted",
    b"permission denied",
    b"read-only file system",
    b"seccomp",
    b"sandbox",
    b"landlock",
    b"failed to write file",
)
_ORDINARY_CODES: Final = frozenset({2, 126, 127})
"""Wrong usage, not executable, not found: a shell's own words for ordinary mistakes."""
_BAD_CALL: Final = 128 + 31
"""Killed by SIGSYS, which only a filter sends."""


def was_denied(exit_code: int, output: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether a sandboxed command seems to have been stopped by the sandbox.

    Args:
        exit_code: 0 to 255.
        output: Stream and bytes, in order of arrival; words may be cut anywhere.
    """
    if exit_code == 0:
        return False
    texts = [b"".join([data for _, data in output]).lower()]
    streams = {stream for stream, _ in output}
    if len(streams) > 1:
        texts += [b"".join([data for name, data in output if name == s]).lower() for s in streams]
    if any(word in text for text in texts for word in _WORDS):
        return True
    if exit_code in _ORDINARY_CODES:
        return False
    return exit_code == _BAD_CALL
