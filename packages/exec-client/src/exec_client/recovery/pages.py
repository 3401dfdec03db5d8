"""From a page of ``process/catchUp`` to the events in it. Pure.

A page has every event of a stretch of the sequence: output as chunks, the exit by its number,
the close as the last number of the last page. So each page is checked by itself, before anything
of it is published, and a hole in it is output that the executor no longer has.
"""

from __future__ import annotations

from exec_server_protocol.process import ProcessCatchUpResult

from ..events import ClosedEvent, ExitedEvent, OutputEvent, SequencedEvent
from .catch_up import CatchUpError, GapError

__all__ = ["events_of_page"]


def events_of_page(page: ProcessCatchUpResult, after: int) -> list[SequencedEvent]:
    """Return the events of a page, in order and without a hole.

    Args:
        page: What the executor answered.
        after: The number that it was asked for what follows.

    Raises:
        GapError: Some are no longer retained.
        CatchUpError: The answer makes no sense.
    """
    through = page.next_seq - 1
    found: list[SequencedEvent] = [OutputEvent(c.seq, c.stream, c.chunk) for c in page.chunks]
    if page.exit_seq is not None and after < page.exit_seq <= through:
        if page.exit_code is None:
            raise CatchUpError("the process has ended, but the answer holds no exit code")
        found.append(ExitedEvent(page.exit_seq, page.exit_code, page.sandbox_denied))
        found.sort(key=lambda event: event.seq)
    if page.closed and page.live and through > after:
        found.append(ClosedEvent(through))
    expected = after + 1
    for event in found:
        if event.seq < expected or event.seq > through:
            raise CatchUpError(f"an event out of place in an answer, at sequence {event.seq}")
        if event.seq > expected:
            raise _gap(found, expected, event.seq, through)
        expected += 1
    if expected <= through:  # a number that is none of them: it was output, and has gone
        raise _gap(found, expected, None, through)
    return found


def _gap(found: list[SequencedEvent], expected: int, oldest: int | None, through: int) -> GapError:
    kept = [e for e in found if isinstance(e, OutputEvent) and e.seq > expected]
    return GapError(expected - 1, oldest, sum(len(e.data) for e in kept), through)
