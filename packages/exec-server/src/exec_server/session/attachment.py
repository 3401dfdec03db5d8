"""The tie between a session and at most one connection, as a table.

The generation counts attachments from 1. It never returns, so work that was started under
one generation can tell that another has begun. Being *expired* is final, and the instant
of expiry wins over a resume that arrives with it: whoever asks is compared with the
deadline, not with a timer that may be late. But when the timer is a second late, the server
itself was stopped or did not get to run: nobody could resume then, and the time starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from exec_server_protocol._state_table import StateTable

__all__ = ["TRANSITIONS", "Attachment", "AttachmentEvent", "AttachmentState"]

_STOOD_STILL_SECONDS: Final = 1.0
"""A server that runs looks at a deadline sooner than that."""


class AttachmentState(Enum):
    """State of an attachment."""

    DETACHED = "detached"
    ATTACHED = "attached"
    EXPIRED = "expired"


class AttachmentEvent(Enum):
    """Event in the life of an attachment."""

    ATTACH = "attach"
    DETACH = "detach"
    EXPIRE = "expire"


TRANSITIONS: Final[StateTable[AttachmentState, AttachmentEvent]] = StateTable(
    "an attachment",
    {
        (AttachmentState.DETACHED, AttachmentEvent.ATTACH): AttachmentState.ATTACHED,
        (AttachmentState.ATTACHED, AttachmentEvent.DETACH): AttachmentState.DETACHED,
        (AttachmentState.DETACHED, AttachmentEvent.EXPIRE): AttachmentState.EXPIRED,
        (AttachmentState.ATTACHED, AttachmentEvent.EXPIRE): AttachmentState.EXPIRED,
    },
)
"""Every legal step. An attached session expires only when the server shuts down."""


@dataclass(slots=True)
class Attachment:
    """The state of one session's tie.

    Attributes:
        state: Where it stands.
        generation: Number of attachments so far.
        deadline: Loop time at which a detached session expires; ``None`` while attached.
    """

    state: AttachmentState = AttachmentState.DETACHED
    generation: int = 0
    deadline: float | None = None

    def _step(self, event: AttachmentEvent) -> None:
        self.state = TRANSITIONS.advance(self.state, event)

    def attach(self) -> int:
        """Tie a connection to the session. Returns the new generation."""
        self._step(AttachmentEvent.ATTACH)
        self.deadline = None
        self.generation += 1
        return self.generation

    def detach(self, deadline: float) -> None:
        """Untie it; the session expires at ``deadline``, in loop time."""
        self._step(AttachmentEvent.DETACH)
        self.deadline = deadline

    def expire(self) -> None:
        """End the session."""
        self._step(AttachmentEvent.EXPIRE)

    def postpone(self, deadline: float) -> None:
        """Give it more time: the server stood still over the deadline that was."""
        if self.deadline is not None:
            self.deadline = deadline

    def stood_still(self, now: float) -> bool:
        """Whether the server was stopped, or did not get to run, when the deadline passed."""
        return self.deadline is not None and now - self.deadline > _STOOD_STILL_SECONDS

    def has_expired(self, now: float) -> bool:
        """Whether the session is over at loop time ``now``, even if no timer has said so."""
        return self.state is AttachmentState.EXPIRED or (
            self.deadline is not None and now >= self.deadline and not self.stood_still(now)
        )
