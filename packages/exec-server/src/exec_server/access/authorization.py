"""What a client shows at the door, and the answers that it can get there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

__all__ = ["Denial", "TokenVerifier", "bearer_token"]


class Denial(Enum):
    """Why a client is not let in. The one thing about a token that is ever logged."""

    MISSING = "no bearer token"
    MALFORMED = "malformed authorization header"
    WRONG = "wrong bearer token"
    INVALID = "invalid signed token"
    EXPIRED = "expired token"
    NOT_YET_VALID = "token is not valid yet"
    ISSUER = "token of another issuer"
    AUDIENCE = "token for another audience"


class TokenVerifier(Protocol):
    """Decides about tokens."""

    def verify(self, token: str) -> Denial | None:
        """Return why a token does not count; ``None`` when it does."""


def bearer_token(values: Sequence[str]) -> str | Denial:
    """Return the token in the ``Authorization`` headers of a request, or what is wrong.

    Args:
        values: The headers in their order; only the first one counts.
    """
    if not values:
        return Denial.MISSING
    scheme, space, rest = values[0].partition(" ")
    token = rest.strip()
    if not values[0].isascii() or scheme.lower() != "bearer" or not space or not token:
        return Denial.MALFORMED
    return token
