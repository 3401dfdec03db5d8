"""Rules for reading, answering, handling and producing on one connection. Pure.

Two sides that send and receive can come to wait for each other: one stops reading until what
it sent was taken, the other does the same. Three rules keep them from it, with the reason in
each; decision 16 says more, and a test walks every state that they allow:

1. Bytes are *read* while there is memory for them.
2. A request is *handled* once its answer can leave.
3. Notifications are *produced* while the window has room.
"""

from __future__ import annotations

__all__ = ["may_answer", "may_handle", "may_produce", "may_read"]


def may_read(*, affordable: bool, crowded: bool) -> bool:
    """Whether the socket is read.

    Args:
        affordable: The budget of the server's connections has room for more.
        crowded: As many requests wait to be handled as one connection may have waiting.
    """
    # Never because of what is on its way out: pongs and the end come in here as well.
    return affordable and not crowded


def may_answer(*, socket_full: bool, answers_held: bool) -> bool:
    """Whether an answer can leave.

    Args:
        socket_full: The peer's system does not take what was sent.
        answers_held: Much waits for the last piece of a message that is under way.
    """
    # Both end without anything being read: it is the peer's part to take what was sent.
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
    # The window opens with pongs, which have to be read. While nothing is read, what the peer's
    # system acknowledged counts as arrived, and the socket is limit enough.
    return answering and not (window_full and reading)
