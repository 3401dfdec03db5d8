"""The options about access of the ``exec-server`` program."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import get_args

from ..durations import DURATION, whole_seconds
from .settings import AccessSettings, AuthMode

__all__ = ["access_from_arguments", "add_access_arguments"]


def add_access_arguments(parser: ArgumentParser) -> None:
    """Add them, in groups."""
    _add_authentication(parser)
    _add_tls(parser)


def _add_authentication(parser: ArgumentParser) -> None:
    group = parser.add_argument_group(
        "authentication",
        "Clients send `Authorization: Bearer TOKEN`; a refused one gets HTTP 401. Files are\n"
        "  read at the start and again on SIGHUP; if that fails, what was loaded before stays.",
    )
    group.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        help="listen without authentication on an address that other machines can reach",
    )
    group.add_argument(
        "--ws-auth",
        choices=get_args(AuthMode),
        help="capability-token: one secret; signed-bearer-token: JSON web tokens",
    )
    group.add_argument(
        "--ws-token-file", metavar="FILE", help="capability token: the file that holds it"
    )
    group.add_argument(
        "--ws-token-sha256",
        metavar="HEX",
        help="capability token: its SHA-256 instead, so that it need not be on this machine",
    )
    group.add_argument(
        "--ws-shared-secret-file",
        metavar="FILE",
        help="signed token: secret of HS256, 32 bytes or more",
    )
    group.add_argument(
        "--ws-public-key-file",
        metavar="FILE",
        help="signed token: PEM public key, RSA, EC or Ed25519",
    )
    group.add_argument(
        "--ws-jwks-file", metavar="FILE", help="signed token: JSON web key set of public keys"
    )
    group.add_argument("--ws-issuer", metavar="TEXT", help="signed token: what `iss` must be")
    group.add_argument(
        "--ws-audience", metavar="TEXT", help="signed token: what `aud` must be or contain"
    )
    group.add_argument(
        "--ws-max-clock-skew-seconds",
        metavar=DURATION,
        type=whole_seconds,
        help="signed token: by how much clocks may differ (default: 30)",
    )
    group.add_argument(
        "--allow-insecure-permissions",
        action="store_true",
        help="take secrets that other users can read, and keys that they can change",
    )


def _add_tls(parser: ArgumentParser) -> None:
    group = parser.add_argument_group(
        "TLS", "The URL begins with wss:// then. Files are read again on SIGHUP as well."
    )
    group.add_argument("--tls-cert", metavar="FILE", help="PEM certificate chain of the server")
    group.add_argument("--tls-key", metavar="FILE", help="its PEM private key")
    group.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        help="PEM certificates; clients must show a certificate that one of these has signed, "
        "which counts as authentication",
    )


def access_from_arguments(arguments: Namespace) -> AccessSettings:
    """Return the settings that the options give.

    Raises:
        ConfigError: They contradict each other, or something is missing.
    """
    return AccessSettings(
        auth=arguments.ws_auth,
        token_file=arguments.ws_token_file,
        token_sha256=arguments.ws_token_sha256,
        shared_secret_file=arguments.ws_shared_secret_file,
        public_key_file=arguments.ws_public_key_file,
        jwks_file=arguments.ws_jwks_file,
        issuer=arguments.ws_issuer,
        audience=arguments.ws_audience,
        max_clock_skew=arguments.ws_max_clock_skew_seconds,
        tls_cert=arguments.tls_cert,
        tls_key=arguments.tls_key,
        tls_client_ca=arguments.tls_client_ca,
        allow_insecure_permissions=arguments.allow_insecure_permissions,
    )
