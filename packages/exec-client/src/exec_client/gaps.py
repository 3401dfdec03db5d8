"""Output that is lost: what becomes of its process, and how a reader learns of the hole.

Lost is what an executor had to drop before its client was back, and what a client had to give
up because nobody read it while others waited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from exec_server_protocol._names import OutputStream as StreamName

__all__ = ["FAIL", "Gap", "GapMarker", "LostOutput", "OnLoss", "describe_gap", "sum_or_unknown"]

LostOutput = Literal["fail", "gap"]
"""``fail``: output that the executor lost ends the process, there and here. ``gap``: the
streams go on behind an explicit gap."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a stream.

    Attributes:
        stream: ``stdout``, ``stderr``, or ``pty`` where there is a terminal.
        offset: Where it is in what the stream has yielded, earlier markers included: the
            marker of this gap begins there.
        lost_bytes: How much is lost; ``None`` where the executor does not tell. Then it may
            even be nothing, and have been of the other stream.
        seq: First number of what is lost.
        last_seq: Its last number. Numbers in between may be of the other stream.
    """

    stream: StreamName
    offset: int
    lost_bytes: int | None
    seq: int
    last_seq: int


def describe_gap(gap: Gap) -> str:
    """Return a line about a gap: the marker of those who choose none."""
    if gap.lost_bytes is None:
        return "\n[output lost]\n"
    return f"\n[{gap.lost_bytes:,} bytes of output lost]\n"


GapMarker = str | Callable[[Gap], str]
"""What a stream yields in the place of a gap, or what to call once for it when its reader gets
there; as UTF-8 where bytes are read. Empty for nothing."""


@dataclass(frozen=True, slots=True)
class OnLoss:
    """Policy about lost output of one process."""

    policy: LostOutput = "fail"
    marker: GapMarker = describe_gap

    def __post_init__(self) -> None:
        if self.policy not in ("fail", "gap"):
            raise ValueError(f"lost_output is 'fail' or 'gap', not {self.policy!r}")

    @property
    def goes_on(self) -> bool:
        """Whether the streams go on."""
        return self.policy == "gap"

    def mark(self, gap: Gap) -> bytes:
        """Return what a reader gets in the place of a gap."""
        text = self.marker if isinstance(self.marker, str) else self.marker(gap)
        return text.encode("utf-8", "surrogateescape")


FAIL: Final = OnLoss()


def sum_or_unknown(first: int | None, second: int | None) -> int | None:
    """Add two amounts, either of which may be unknown."""
    return None if first is None or second is None else first + second
