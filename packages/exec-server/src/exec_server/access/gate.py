"""Credentials in force: loaded from files at the start, and again on SIGHUP."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .authorization import UNNAMED, Denial, Owner, TokenVerifier, bearer_token
from .private_files import read_key_file, read_secret_file
from .settings import AccessSettings

if TYPE_CHECKING:
    from .keys import KeyRing

__all__ = ["Credentials", "Gate", "load_credentials"]


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Content of the files of the settings.

    Attributes:
        verifier: Decides about tokens; ``None`` when none are asked for.
        tls: For new connections; ``None`` without TLS.
    """

    verifier: TokenVerifier | None = None
    tls: ssl.SSLContext | None = None


class Gate:
    """Decides who may come in. What it decides by may be exchanged at any time.

    Args:
        settings: How clients prove themselves.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._credentials = Credentials()
        self._loaded = not settings.authenticates

    @property
    def authenticates(self) -> bool:
        """Whether a client that came in has proved anything."""
        return self._settings.authenticates

    @property
    def tls(self) -> ssl.SSLContext | None:
        """TLS for new connections."""
        return self._credentials.tls

    def use(self, credentials: Credentials) -> None:
        """Decide by these from now on. Who is in stays in."""
        self._credentials = credentials
        self._loaded = True

    def examine(self, authorization: Sequence[str]) -> Owner | Denial:
        """Return whose client it is, or why it may not come in.

        Args:
            authorization: Its ``Authorization`` headers. A client certificate, where one is
                needed, was checked before there was any header.
        """
        verifier = self._credentials.verifier
        if verifier is None:
            # Nothing was loaded: that must never mean that nothing is needed.
            return UNNAMED if self._loaded and self._settings.auth is None else Denial.INVALID
        token = bearer_token(authorization)
        return token if isinstance(token, Denial) else verifier.verify(token)


def load_credentials(settings: AccessSettings) -> Credentials:
    """Read the files that settings name. It may take a while where they are far away.

    Raises:
        ConfigError: One cannot be used.
    """
    tls = None
    if settings.uses_tls:
        from .tls import make_tls_context

        tls = make_tls_context(settings)
    return Credentials(_make_verifier(settings), tls)


def _make_verifier(settings: AccessSettings) -> TokenVerifier | None:
    if settings.auth is None:
        return None
    if settings.auth == "signed-bearer-token":
        return _make_signed_verifier(settings)
    from .capability import CapabilityToken

    if settings.token_sha256 is not None:
        return CapabilityToken(bytes.fromhex(settings.token_sha256))
    option = "--ws-token-file"
    secret = read_secret_file(
        option, settings.token_file or "", allow_insecure=settings.allow_insecure_permissions
    )
    if not all(ord(" ") < byte < 0x7F for byte in secret):
        raise ConfigError(
            f"{option}: a token is ASCII without spaces, since it travels in a header"
        )
    return CapabilityToken.of(secret.decode())


def _make_signed_verifier(settings: AccessSettings) -> TokenVerifier:
    from .signed import DEFAULT_CLOCK_SKEW_SECONDS, SignedToken

    if find_spec("jwt") is None:
        raise ConfigError("--ws-auth signed-bearer-token needs PyJWT: pip install pyjwt")
    skew = settings.max_clock_skew
    return SignedToken(
        _load_keys(settings),
        issuer=(settings.issuer or "").strip() or None,
        audience=(settings.audience or "").strip() or None,
        clock_skew=DEFAULT_CLOCK_SKEW_SECONDS if skew is None else skew,
        clock=time.time,
    )


def _load_keys(settings: AccessSettings) -> KeyRing:
    from . import keys

    insecure = settings.allow_insecure_permissions
    if settings.shared_secret_file is not None:
        option = "--ws-shared-secret-file"
        secret = read_secret_file(option, settings.shared_secret_file, allow_insecure=insecure)
        return keys.shared_secret(option, secret)
    if settings.public_key_file is not None:
        option = "--ws-public-key-file"
        pem = read_key_file(option, settings.public_key_file, allow_insecure=insecure)
        return keys.load_pem(option, pem)
    option = "--ws-jwks-file"
    text = read_key_file(option, settings.jwks_file or "", allow_insecure=insecure)
    return keys.load_jwks(option, text)
