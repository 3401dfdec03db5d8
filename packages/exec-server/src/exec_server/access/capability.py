"""One secret that every client sends. Pure."""

from __future__ import annotations

import hashlib
import hmac

from .authorization import UNNAMED, Denial, Owner

__all__ = ["CapabilityToken"]


class CapabilityToken:
    """Compares tokens with the digest of the right one.

    Digests have one length and say nothing about the token, so that the time which the
    comparison takes does not either.

    Args:
        digest: SHA-256 of the token, 32 bytes.
    """

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    @classmethod
    def of(cls, token: str) -> CapabilityToken:
        """Return what accepts ``token``."""
        return cls(hashlib.sha256(token.encode()).digest())

    def verify(self, token: str) -> Owner | Denial:
        """Return the owner of a token, the same for all clients, or the reason to refuse it."""
        digest = hashlib.sha256(token.encode()).digest()
        return UNNAMED if hmac.compare_digest(digest, self._digest) else Denial.WRONG
