"""TLS of a server: its certificate, and whose certificates its clients must show."""

from __future__ import annotations

import os
import ssl

from ..errors import ConfigError
from .private_files import check_permissions, reason_of
from .settings import AccessSettings

__all__ = ["make_tls_context"]


def make_tls_context(settings: AccessSettings) -> ssl.SSLContext | None:
    """Return the context for new connections; ``None`` when the server speaks no TLS.

    Raises:
        ConfigError: A file cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    if not settings.allow_insecure_permissions:
        _check("--tls-cert", settings.tls_cert, secret=False)
        _check("--tls-key", settings.tls_key, secret=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could have it done over and over
    try:
        # An encrypted key would ask for its passphrase on the terminal: it gets an empty one.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(f"--tls-cert, --tls-key: cannot use them: {_reason(error)}") from error
    if settings.tls_client_ca is not None:
        if not settings.allow_insecure_permissions:
            _check("--tls-client-ca", settings.tls_client_ca, secret=False)
        try:
            context.load_verify_locations(cafile=settings.tls_client_ca)
        except (OSError, ValueError) as error:
            raise ConfigError(f"--tls-client-ca: cannot use it: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check(option: str, path: str, *, secret: bool) -> None:
    try:
        check_permissions(option, path, os.stat(path), secret=secret)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: cannot open the file: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return reason_of(error)
