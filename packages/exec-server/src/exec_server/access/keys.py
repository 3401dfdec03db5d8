"""Public keys that signed tokens are checked with, each pinned to the algorithms of its type.

The token names an algorithm, and whoever made the token chose it. So it only ever picks
among those that the key itself allows: a public key is never used as the secret of an HMAC,
and an HMAC secret is never anything else.

Loading a key needs the ``cryptography`` package, which is imported here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ConfigError

__all__ = [
    "HMAC_ALGORITHMS",
    "KeyRing",
    "VerificationKey",
    "load_jwks",
    "load_pem",
    "shared_secret",
]

HMAC_ALGORITHMS: Final = ("HS256",)
MIN_SECRET_BYTES: Final = 32
"""RFC 7518, section 3.2: as long as the digest."""

_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_MIN_RSA_BITS: Final = 2048
_CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MAX_KEYS: Final = 64
"""A set holds the keys of one issuer, old and new."""


@dataclass(frozen=True, slots=True, repr=False)
class VerificationKey:
    """A key and what it may be used for.

    Attributes:
        key: What PyJWT takes: bytes of an HMAC secret, or a public key object.
        algorithms: The only ones.
        key_id: ``kid`` of a key in a set.
    """

    key: Any
    algorithms: Sequence[str]
    key_id: str | None = None


class KeyRing:
    """Finds the key for a token.

    Args:
        keys: At least one.
        by_id: Whether tokens say which one they mean.
    """

    def __init__(self, keys: Sequence[VerificationKey], *, by_id: bool = False) -> None:
        self._only = keys[0] if len(keys) == 1 else None
        self._by_id = {key.key_id: key for key in keys} if by_id else None

    def find(self, key_id: object) -> VerificationKey | None:
        """Return the key for a token's ``kid``; ``None`` when there is none.

        A token without ``kid`` is checked with the only key, if there is only one.
        """
        if self._by_id is None or key_id is None:
            return self._only
        return self._by_id.get(key_id) if isinstance(key_id, str) else None


def shared_secret(option: str, secret: bytes) -> KeyRing:
    """Return the ring of an HMAC secret.

    Raises:
        ConfigError: It is too short, or a key of another kind.
    """
    if b"-----BEGIN " in secret:
        raise ConfigError(f"{option}: that is a key in PEM: --ws-public-key-file takes public ones")
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(f"{option}: the secret must be {MIN_SECRET_BYTES} bytes or more")
    return KeyRing([VerificationKey(secret, HMAC_ALGORITHMS)])


def load_pem(option: str, pem: bytes) -> KeyRing:
    """Return the ring of one public key in PEM.

    Raises:
        ConfigError: It is none, or not of a type that tokens are signed with.
    """
    _require_cryptography(option)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY-----" in pem:
        raise ConfigError(f"{option}: that is a private key; the server needs the public one")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{option}: not a public key in PEM") from error
    return KeyRing([VerificationKey(key, _algorithms_of(key, option))])


def load_jwks(option: str, text: bytes) -> KeyRing:
    """Return the ring of a JSON web key set (RFC 7517).

    Keys for other uses than signatures are left out.

    Raises:
        ConfigError: It is none, it has a key that cannot be used or is secret, or no key.
    """
    _require_cryptography(option)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{option}: not JSON") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{option}: not a JSON web key set: it has no list of `keys`")
    if len(entries) > _MAX_KEYS:
        raise ConfigError(f"{option}: more than {_MAX_KEYS} keys")
    keys = [_from_jwk(option, entry) for entry in entries if _is_for_signatures(entry)]
    if not keys:
        raise ConfigError(f"{option}: no key for signatures")
    if len({key.key_id for key in keys}) < len(keys):
        raise ConfigError(f"{option}: several keys need a `kid` each, and all different")
    return KeyRing(keys, by_id=True)


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use", "sig") == "sig" and (
        not isinstance(operations, list) or "verify" in operations
    )


def _from_jwk(option: str, entry: dict[str, Any]) -> VerificationKey:
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    key_id = entry.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise ConfigError(f"{option}: a `kid` that is not text")
    if entry.get("kty") not in ("RSA", "EC", "OKP"):
        raise ConfigError(f"{option}: a key that is neither RSA, EC nor OKP")
    if "d" in entry:
        raise ConfigError(f"{option}: a private key; the server needs public ones only")
    try:
        key = PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (PyJWTError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{option}: a key that makes no sense") from error
    algorithms = _algorithms_of(key, option)
    declared = entry.get("alg")
    if declared is not None:
        if declared not in algorithms:
            raise ConfigError(f"{option}: an `alg` that does not go with its key")
        algorithms = (declared,)
    return VerificationKey(key, algorithms, key_id)


def _algorithms_of(key: object, option: str) -> Sequence[str]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise ConfigError(f"{option}: an RSA key of less than {_MIN_RSA_BITS} bits")
        return _RSA_ALGORITHMS
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVE_ALGORITHMS:
        return (_CURVE_ALGORITHMS[key.curve.name],)
    if isinstance(key, Ed25519PublicKey):
        return ("EdDSA",)
    raise ConfigError(f"{option}: use RSA, EC (P-256, P-384, P-521) or Ed25519 keys")


def _require_cryptography(option: str) -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{option} needs the cryptography package: pip install 'exec-server[crypto]'"
        ) from error
