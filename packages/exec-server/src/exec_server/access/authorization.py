"""Token of a client, and the reasons to refuse one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

__all__ = ["UNNAMED", "Denial", "Owner", "TokenVerifier", "bearer_token"]


@dataclass(frozen=True, slots=True, repr=False)
class Owner:
    """Owner of sessions, by its token. Never logged: it is part of the token.

    Attributes:
        subject: ``sub`` as JSON; ``None`` where the token names nobody.
        issuer: ``iss``: one subject of two issuers is two people.
    """

    subject: str | None = None
    issuer: str | None = None


UNNAMED: Final = Owner()
"""The owner of everybody who is let in without a name: by the one shared secret, by a certificate
alone, or because nothing is asked for. Among these, the id of a session is what entitles to it."""


class Denial(Enum):
    """Reason to refuse a client. The one thing about a token that is ever logged."""

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

    def verify(self, token: str) -> Owner | Denial:
        """Return whose token it is, or why it does not count."""


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
