"""Events that were missed, from the answer to ``process/read``. Pure.

The answer holds output only. Exit and close are known from its flags, and their numbers
from the numbers that are left: close has the highest, exit is the one hole. Everything is
checked before anything is taken over, so that a catch-up which fails publishes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .events import ClosedEvent, ExitedEvent, GapEvent, OutputEvent, SequencedEvent, payload_size
from .ordering import Ordering

__all__ = ["CatchUp", "CatchUpError", "GapError", "merge"]


class CatchUpError(Exception):
    """The answer contradicts itself or what is known; the process cannot be followed."""


class GapError(CatchUpError):
    """The executor no longer has what is missing.

    Attributes:
        after_seq: Last event that is known.
        oldest_seq: First one after it that was still there; ``None`` for none.
        retained_bytes: Output after it that was still there.
        lost_bytes: How much is missing in between; ``None`` where that is not known.
    """

    def __init__(
        self,
        after_seq: int,
        oldest_seq: int | None,
        retained_bytes: int,
        through: int,
        lost_bytes: int | None = None,
    ) -> None:
        until = f"to {oldest_seq - 1}" if oldest_seq else "on"
        super().__init__(
            f"process events are no longer retained while recovering through sequence {through}: "
            f"some are missing from {after_seq + 1} {until}"
        )
        self.after_seq = after_seq
        self.oldest_seq = oldest_seq
        self.retained_bytes = retained_bytes
        self.lost_bytes = lost_bytes


@dataclass(slots=True)
class CatchUp:
    """Content of an answer about a process.

    Attributes:
        chunks: Output, in order.
        next_seq: The number after the last one that was asked about.
        exited: Whether the main process has ended.
        exit_code: Its code.
        closed: Whether the output is complete.
        sandbox_denied: Whether the sandbox refused something.
        signal: What ended it, if it was a signal and the answer tells.
    """

    chunks: list[OutputEvent] = field(default_factory=list)
    next_seq: int = 1
    exited: bool = False
    exit_code: int | None = None
    closed: bool = False
    sandbox_denied: bool = False
    signal: int | None = None


def merge(ordering: Ordering, catch_up: CatchUp, *, fill: bool = False) -> list[SequencedEvent]:
    """Take over what was missed; return the events that are publishable now, in order.

    With ``fill``, each hole that output has left gets a gap. Which of the missing numbers is
    the exit's is not known then. It is taken to be the last: output goes oldest first, so a
    hole behind output that is left is the exit, and of one hole before it the order tells nobody
    anything.

    Raises:
        GapError: Output is missing for good, and ``fill`` is not set.
        CatchUpError: The answer is malformed, or contradicts the events before.
    """
    target = catch_up.next_seq - 1
    if ordering.closed or target <= ordering.last:
        return []
    found = _missed_events(ordering, catch_up, target, fill=fill)
    for seq, event in found.items():
        ordering.pending[seq] = event
        ordering.pending_bytes += payload_size(event)
    _mark_denied(ordering, catch_up, target)
    return ordering.drain()


def _missed_events(
    ordering: Ordering, catch_up: CatchUp, target: int, *, fill: bool
) -> dict[int, SequencedEvent]:
    last, pending = ordering.last, ordering.pending
    found: dict[int, SequencedEvent] = {}
    for chunk in catch_up.chunks:
        if chunk.seq > target:
            raise CatchUpError("an answer holds output beyond its own end")
        if chunk.seq > last and chunk.seq not in pending:
            found.setdefault(chunk.seq, chunk)
    if catch_up.closed:
        there = pending.get(target, found.get(target))
        if there is not None and not isinstance(there, ClosedEvent):
            raise CatchUpError(f"process close sequence {target} conflicts with recovered output")
        if there is None:
            found[target] = ClosedEvent(target)
    holes = _holes(last, target, sorted(found.keys() | pending.keys()))
    exit_known = ordering.exited or any(
        isinstance(event, ExitedEvent) and seq <= target for seq, event in pending.items()
    )
    if catch_up.exited and not exit_known:
        _place_exit(catch_up, holes, found, fill=fill)
    if holes and not fill:
        raise _gap(ordering, catch_up, found, target)
    for first, through in holes:
        found[first] = GapEvent(first, through, None, None)
    return found


def _place_exit(
    catch_up: CatchUp,
    holes: list[tuple[int, int]],
    found: dict[int, SequencedEvent],
    *,
    fill: bool,
) -> None:
    """Give the exit its number, and take that out of the holes."""
    if not holes:
        raise CatchUpError("the process has ended, but no number is left for its exit")
    first, seq = holes[-1]
    if not fill and (len(holes) > 1 or first < seq):
        return  # output is missing as well, which the caller does not take
    if catch_up.exit_code is None:
        raise CatchUpError("the process has ended, but the answer holds no exit code")
    denied, signal = catch_up.sandbox_denied, catch_up.signal
    found[seq] = ExitedEvent(seq, catch_up.exit_code, denied, signal)
    holes[-1:] = [(first, seq - 1)] if first < seq else []


def _holes(last: int, target: int, known: list[int]) -> list[tuple[int, int]]:
    """Return the stretches of numbers behind ``last``, up to ``target``, that are not known.

    They are not listed number by number: a hostile one would make a list without end.
    """
    holes: list[tuple[int, int]] = []
    expected = last + 1
    for seq in known:
        if not last < seq <= target:
            continue
        if seq > expected:
            holes.append((expected, seq - 1))
        expected = seq + 1
    if expected <= target:
        holes.append((expected, target))
    return holes


def _gap(
    ordering: Ordering, catch_up: CatchUp, found: dict[int, SequencedEvent], target: int
) -> GapError:
    there = sorted(found.keys() | ordering.pending.keys())
    last = ordering.last
    while there and there[0] == last + 1:  # known, though not published
        last = there.pop(0)
    kept = sum(len(chunk.data) for chunk in catch_up.chunks if chunk.seq > last)
    return GapError(last, there[0] if there else None, kept, target)


def _mark_denied(ordering: Ordering, catch_up: CatchUp, target: int) -> None:
    if not catch_up.sandbox_denied:
        return
    for seq, event in ordering.pending.items():
        if isinstance(event, ExitedEvent) and seq <= target:
            ordering.pending[seq] = replace(event, sandbox_denied=True)
