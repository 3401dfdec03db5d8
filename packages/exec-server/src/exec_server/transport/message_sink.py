"""Interface between the transport of a connection and the handling of its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .large_message import LargeMessage  # it loads the table of methods

__all__ = ["MessageSink"]


class MessageSink(Protocol):
    """Receiver of an endpoint's messages."""

    def message_received(self, data: str | bytes | LargeMessage) -> None:
        """Take one whole message."""

    def answers_can_leave(self) -> None:
        """There is room again for answers."""

    def more_arrived(self) -> None:
        """The peer is known to have more of what was sent than before."""

    @property
    def waiting_bytes(self) -> int:
        """Of messages that were taken and not yet handled."""

    def connection_lost(self) -> None:
        """No message will come or go any more; called once."""
