"""Events of a page of ``process/catchUp``, checked. Pure.

A page has every event of a stretch of the sequence: output as chunks, the exit by its number,
the close as the last number of the last page. So each page is checked by itself, before anything
of it is published, and a hole in it is output that the executor no longer has.
"""

from __future__ import annotations

from collections.abc import Mapping

from exec_server_protocol._names import OutputStream as StreamName
from exec_server_protocol._plain import ProcessCatchUpResult

from ..process.catch_up import CatchUpError, GapError
from ..process.events import (
    ClosedEvent,
    ExitedEvent,
    GapEvent,
    OutputEvent,
    SequencedEvent,
    last_number,
)

__all__ = ["events_of_page"]


def events_of_page(
    page: ProcessCatchUpResult,
    after: int,
    *,
    fill: bool = False,
    offsets: Mapping[StreamName, int] | None = None,
) -> list[SequencedEvent]:
    """Return the events of a page, in order and without a hole.

    Args:
        page: What the executor answered.
        after: The number that it was asked for what follows.
        fill: Put a gap into each hole.
        offsets: How much was written to each stream up to ``after``, if that is known.

    Raises:
        GapError: Some are no longer retained, and they are not to be made up for by gaps.
        CatchUpError: The answer is malformed, or contradicts the events before.
    """
    through = page.next_seq - 1
    found: list[SequencedEvent] = [OutputEvent(c.seq, c.stream, c.chunk) for c in page.chunks]
    if page.exit_seq is not None and after < page.exit_seq <= through:
        if page.exit_code is None:
            raise CatchUpError("the process has ended, but the answer holds no exit code")
        denied, signal = page.sandbox_denied, page.signal
        found.append(ExitedEvent(page.exit_seq, page.exit_code, denied, signal))
        found.sort(key=lambda event: event.seq)
    if page.closed and page.live and through > after:
        found.append(ClosedEvent(through))
    whole: list[SequencedEvent] = []
    expected = after + 1
    for event in found:
        if event.seq < expected or event.seq > through:
            raise CatchUpError(f"an event out of place in an answer, at sequence {event.seq}")
        if event.seq > expected:
            if not fill:
                raise _gap(found, expected, event.seq, page, offsets)
            whole.append(GapEvent(expected, event.seq - 1, None, None))
        whole.append(event)
        expected = event.seq + 1
    if expected <= through:  # a number that is none of them: it was output, and has gone
        if not fill:
            raise _gap(found, expected, None, page, offsets)
        whole.append(GapEvent(expected, through, None, None))
    return _measured(whole, page, offsets)


def _measured(
    events: list[SequencedEvent],
    page: ProcessCatchUpResult,
    offsets: Mapping[StreamName, int] | None,
) -> list[SequencedEvent]:
    """Say in the gap how much it is, where the page tells.

    It tells how much was written before its first output, so all of the gaps before that
    together. There are two only if the exit is in between: then it is not known of either.
    """
    lost = _lost(page, offsets)
    if lost is None:
        return events
    gaps = []
    for at, event in enumerate(events):
        if isinstance(event, OutputEvent):
            break
        if isinstance(event, GapEvent):
            gaps.append(at)
    if len(gaps) == 1:
        stdout = lost.get("stdout", 0) + lost.get("pty", 0)
        gap = events[gaps[0]]
        events[gaps[0]] = GapEvent(gap.seq, last_number(gap), stdout, lost.get("stderr", 0))
    return events


def _lost(
    page: ProcessCatchUpResult, offsets: Mapping[StreamName, int] | None
) -> dict[StreamName, int] | None:
    """Return how much of each stream is lost before the first output of a page, if it tells."""
    if page.stream_offsets is None or offsets is None:
        return None
    lost = {name: offset - offsets.get(name, 0) for name, offset in page.stream_offsets.items()}
    return None if any(size < 0 for size in lost.values()) else lost


def _gap(
    found: list[SequencedEvent],
    expected: int,
    oldest: int | None,
    page: ProcessCatchUpResult,
    offsets: Mapping[StreamName, int] | None,
) -> GapError:
    lost = _lost(page, offsets)
    if page.stream_offsets is not None:
        kept = page.output_bytes - sum(page.stream_offsets.values())
    else:
        left = [e for e in found if isinstance(e, OutputEvent) and e.seq > expected]
        kept = sum(len(event.data) for event in left)
    missing = None if lost is None else sum(lost.values())
    return GapError(expected - 1, oldest, kept, page.next_seq - 1, missing)
