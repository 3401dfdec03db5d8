"""Settings of tokens and TLS. Pure: no file is looked at here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from ..errors import ConfigError

__all__ = ["AccessSettings", "AuthMode"]

AuthMode = Literal["capability-token", "signed-bearer-token"]

MAX_CLOCK_SKEW_SECONDS: Final = 2**63 - 1
"""More means nothing: claims are signed 64-bit numbers as well."""

_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")
_CAPABILITY_SETTINGS: Final = ("token_file", "token_sha256")
_KEY_SETTINGS: Final = ("shared_secret_file", "public_key_file", "jwks_file")
_CLAIM_SETTINGS: Final = ("issuer", "audience", "max_clock_skew")


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Authentication and TLS of a server. The files are read when it starts, and on reload.

    Args:
        auth: ``capability-token``: one secret that every client sends. ``signed-bearer-token``:
            JSON web tokens. ``None``: whoever connects may come in.
        token_file: Holds the secret; surrounding space is ignored.
        token_sha256: Or its SHA-256 as 64 hex digits, so that it need not be on this machine.
        shared_secret_file: Key of HS256 signatures, 32 bytes or more.
        public_key_file: PEM public key; RSA, EC and Ed25519, each with its own algorithms.
        jwks_file: A JSON web key set of such keys, chosen by ``kid``.
        issuer: What ``iss`` must be; blank for anything.
        audience: What ``aud`` must be or contain; blank for anything.
        max_clock_skew: Seconds by which clocks may differ; ``None`` for 30.
        tls_cert: PEM certificate chain of the server. With it the URL begins with ``wss://``.
        tls_key: Its PEM private key.
        tls_client_ca: PEM certificates; every client must show one that these have signed.
        allow_insecure_permissions: Take files that other users can read or change.

    Raises:
        ConfigError: They contradict each other, or something is missing.
    """

    auth: AuthMode | None = None
    token_file: str | None = None
    token_sha256: str | None = None
    shared_secret_file: str | None = None
    public_key_file: str | None = None
    jwks_file: str | None = None
    issuer: str | None = None
    audience: str | None = None
    max_clock_skew: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    allow_insecure_permissions: bool = False

    def __post_init__(self) -> None:
        if self.auth is None:
            self._refuse(
                (*_CAPABILITY_SETTINGS, *_KEY_SETTINGS, *_CLAIM_SETTINGS),
                "mean nothing without --ws-auth",
            )
        elif self.auth == "capability-token":
            self._refuse((*_KEY_SETTINGS, *_CLAIM_SETTINGS), "need --ws-auth signed-bearer-token")
            self._check_capability()
        elif self.auth == "signed-bearer-token":
            self._refuse(_CAPABILITY_SETTINGS, "need --ws-auth capability-token")
            self._check_signed()
        else:
            raise ConfigError(f"--ws-auth is one of {', '.join(get_args(AuthMode))}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key belong together: give both")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")

    def _refuse(self, names: tuple[str, ...], why: str) -> None:
        given = [_option(name) for name in names if getattr(self, name) is not None]
        if given:
            raise ConfigError(f"{', '.join(given)}: {why}")

    def _check_capability(self) -> None:
        if (self.token_file is None) == (self.token_sha256 is None):
            raise ConfigError(
                "--ws-auth capability-token needs --ws-token-file or --ws-token-sha256, one of them"
            )
        if self.token_sha256 is not None and not _SHA256.fullmatch(self.token_sha256):
            raise ConfigError("--ws-token-sha256 is a SHA-256 digest: 64 hex digits")

    def _check_signed(self) -> None:
        if sum(getattr(self, name) is not None for name in _KEY_SETTINGS) != 1:
            keys = ", ".join(_option(name) for name in _KEY_SETTINGS)
            raise ConfigError(f"--ws-auth signed-bearer-token needs one of {keys}")
        skew = self.max_clock_skew
        if skew is not None and not 0 <= skew <= MAX_CLOCK_SKEW_SECONDS:
            raise ConfigError("--ws-max-clock-skew-seconds must be 0 or more, and fit in 64 bits")

    @property
    def authenticates(self) -> bool:
        """Whether a client has to prove anything before it may come in."""
        return self.auth is not None or self.tls_client_ca is not None

    @property
    def uses_tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls_cert is not None

    @property
    def secret_files(self) -> tuple[str, ...]:
        """Files that nobody else may read."""
        paths = (self.token_file, self.shared_secret_file, self.tls_key)
        return tuple(path for path in paths if path is not None)

    @property
    def trusted_files(self) -> tuple[str, ...]:
        """Files that nobody else may change."""
        paths = (self.public_key_file, self.jwks_file, self.tls_cert, self.tls_client_ca)
        return tuple(path for path in paths if path is not None)

    @property
    def uses_files(self) -> bool:
        """Whether anything could be read again."""
        keys = (self.token_file, *(getattr(self, name) for name in _KEY_SETTINGS), self.tls_cert)
        return any(path is not None for path in keys)


def _option(name: str) -> str:
    suffix = "-seconds" if name == "max_clock_skew" else ""
    return f"--ws-{name.replace('_', '-')}{suffix}"
