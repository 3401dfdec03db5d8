"""Rules for reading, answering, handling and producing on one connection. Pure.

Two sides that send and receive can come to wait for each other: one stops reading until what
it sent was taken, the other does the same. Three rules keep them from it; decision 16 has the
reasons, and a test walks every state that they allow:

1. What is *read* is about the transport first: pings, pongs and closing are taken as they
   come. Reading stops only for want of memory, never because of what is on its way out.
2. A request is *handled* once its answer can leave, and that needs nothing to be read: it is
   the peer's part to take it.
3. Output that nobody asked for is *produced* while the window has room. The window opens with
   pongs, which have to be read: so it counts only while the connection is read. While it is
   not, what the peer's system acknowledged has arrived, and the socket is limit enough.
"""

from __future__ import annotations

__all__ = ["may_answer", "may_handle", "may_produce", "may_read"]


def may_read(*, affordable: bool, crowded: bool) -> bool:
    """Whether the socket is read.

    Args:
        affordable: The budget of the server's connections has room for more.
        crowded: As many requests wait to be handled as one connection may have waiting.
    """
    return affordable and not crowded


def may_answer(*, socket_full: bool, answers_held: bool) -> bool:
    """Whether an answer can leave.

    Args:
        socket_full: The peer's system does not take what was sent.
        answers_held: Much waits for the last piece of a message that is under way.
    """
    return not socket_full and not answers_held


def may_handle(*, answering: bool, parked_full: bool) -> bool:
    """Whether the next request is handled.

    Args:
        answering: See ``may_answer``.
        parked_full: As many requests wait for something else as may. Each of them ends
            without anything that is read behind it, or by the client's leave alone.
    """
    return answering and not parked_full


def may_produce(*, answering: bool, window_full: bool, reading: bool) -> bool:
    """Whether a process's output is read, to be sent as notifications.

    Args:
        answering: See ``may_answer``.
        window_full: As much is in flight as may be.
        reading: See ``may_read``.
    """
    return answering and not (window_full and reading)
