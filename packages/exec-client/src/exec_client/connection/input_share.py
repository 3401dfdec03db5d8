"""Share of each process in the unanswered input of a connection. Pure.

An answer to a write comes when the executor has queued it. Ours lets 64 MiB of requests wait
like that on one connection; beyond it nothing more of the connection is handled, not even what
would end those processes. So the input that waits for answers stays below, for as many
processes as a session can have, by sending less at a time the more there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["MOST_BYTES", "InputShare"]

MOST_BYTES: Final = 1024 * 1024
"""Executors take frames of 16 MiB; a larger piece gains nothing."""
_LEAST_BYTES: Final = 8 * 1024
"""For 1,024 processes that is 8 MiB."""
_ALL_BYTES: Final = 24 * 1024 * 1024
"""With those 8 MiB, and base64 around them, 43 MiB."""
_PART: Final = 8
"""Of what is left, for one piece."""


class InputShare:
    """Input of all processes of a client that was sent and not answered.

    Attributes:
        under_way: Its bytes.
    """

    def __init__(self) -> None:
        self.under_way = 0

    @property
    def piece(self) -> int:
        """Bytes that may be sent at once now."""
        return max(_LEAST_BYTES, min(MOST_BYTES, (_ALL_BYTES - self.under_way) // _PART))

    @contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """Count a piece for as long as its answer is waited for."""
        self.under_way += size
        try:
            yield
        finally:
            self.under_way -= size
