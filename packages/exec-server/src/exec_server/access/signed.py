"""JSON web tokens: first the signature, then the claims, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from .authorization import Denial, Owner
from .keys import KeyRing

__all__ = ["DEFAULT_CLOCK_SKEW_SECONDS", "SignedToken"]

DEFAULT_CLOCK_SKEW_SECONDS: Final = 30
_INT64: Final = range(-(2**63), 2**63)


class SignedToken:
    """Accepts tokens that a known key has signed and whose claims fit.

    ``exp`` must be there; ``nbf``, ``iss`` and ``aud`` are checked when they are, and must be
    there when the server expects something of them.

    Args:
        keys: Whose signatures count.
        issuer: What ``iss`` must be; ``None`` for anything.
        audience: What ``aud`` must be or contain; ``None`` for anything.
        clock_skew: Seconds by which the issuer's clock may differ from ours.
        clock: Seconds since the epoch. Claims are about the time of day: no monotonic clock
            would do.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str | None,
        audience: str | None,
        clock_skew: int,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock_skew = clock_skew
        self._clock = clock

    def verify(self, token: str) -> Owner | Denial:
        """Return whose token it is, or why it does not count.

        Tokens without ``sub`` have one owner for each issuer, as if all were of one person.
        """
        claims = self._signed_claims(token)
        if claims is None or not _are_well_formed(claims):
            return Denial.INVALID
        now = self._clock()
        if now > claims["exp"] + self._clock_skew:
            return Denial.EXPIRED
        not_before = claims.get("nbf")
        if not_before is not None and now < not_before - self._clock_skew:
            return Denial.NOT_YET_VALID
        if self._issuer is not None and claims.get("iss") != self._issuer:
            return Denial.ISSUER
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience or []
        if self._audience is not None and self._audience not in audiences:
            return Denial.AUDIENCE
        subject = claims.get("sub")
        # Whatever it is, it is somebody's: as JSON, so that 5 and "5" are two.
        return Owner(
            None if subject is None else json.dumps(subject, sort_keys=True), claims.get("iss")
        )

    def _signed_claims(self, token: str) -> dict[str, Any] | None:
        """Return what was signed, ``None`` unless one of our keys did it."""
        # Takes a tenth of a second: for the first token, not for a server that waits for one.
        from jwt import PyJWS
        from jwt.exceptions import PyJWTError

        signatures = PyJWS()
        try:
            header = signatures.get_unverified_header(token)
            key = self._keys.find(header.get("kid"))
            if key is None or "crit" in header:  # nothing that could be critical is known here
                return None
            payload = signatures.decode(token, key.key, algorithms=list(key.algorithms))
            claims = json.loads(payload)
        except (PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return claims if isinstance(claims, dict) else None


def _are_well_formed(claims: dict[str, Any]) -> bool:
    """Whether the claims that are looked at have the types that they must have."""
    not_before, issuer, audience = (claims.get(name) for name in ("nbf", "iss", "aud"))
    return (
        _is_time(claims.get("exp"))
        and (not_before is None or _is_time(not_before))
        and (issuer is None or isinstance(issuer, str))
        and (audience is None or isinstance(audience, str) or _is_list_of_text(audience))
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
