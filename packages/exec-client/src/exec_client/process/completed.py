"""A command that has ended: its exit code and its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from ..gaps import Gap

if TYPE_CHECKING:  # the default is for type checkers: without a parameter, the output is bytes
    from typing_extensions import TypeVar

    Output = TypeVar("Output", bytes, str, default=bytes)
else:
    from typing import TypeVar

    Output = TypeVar("Output", bytes, str)

__all__ = ["CompletedProcess"]


@dataclass(frozen=True, slots=True)
class CompletedProcess(Generic[Output]):
    """A command that has ended.

    Attributes:
        args: What was run.
        returncode: Exit code; 128 + N for signal N.
        stdout: All of it, or what ``max_output`` lets of it. With a terminal or ``merge_stderr``
            everything is here. Empty if it went to a function or a file.
        stderr: Likewise.
        gaps: Where output was lost, with ``lost_output="gap"``; their markers are in the
            output.
        signal: The signal that ended it; ``None`` if none did, or if that is not known: an older
            executor does not tell, and a sandbox does not of what ended a command inside.
        pid: Its number on the executor; ``None`` where the executor does not tell.
        truncated: Whether ``stdout`` or ``stderr`` had more than ``max_output``.
        dropped_bytes: How much more, as far as it was read.
        complete: False if something that the command left behind still had its output open,
            and was not waited for any longer.
    """

    args: list[str]
    returncode: int
    stdout: Output
    stderr: Output
    gaps: tuple[Gap, ...] = ()
    signal: int | None = None
    pid: int | None = None
    truncated: bool = False
    dropped_bytes: int = 0
    complete: bool = True
