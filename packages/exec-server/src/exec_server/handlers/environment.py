"""``environment/*``: what the executor says about itself."""

from __future__ import annotations

import hashlib
import os
import pwd
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from exec_server_protocol.capabilities import (
    CAPABILITY_FILE_WRITE_STREAMING,
    CAPABILITY_SANDBOXED_FILE_STREAMING,
    CAPABILITY_WATCH_MISSING,
    EXTENSIONS,
    REFERENCE,
    TREES_BY_GROUP,
    TREES_SUPERVISED,
)
from exec_server_protocol.methods import ENVIRONMENT_INFO, ENVIRONMENT_STATUS, ENVIRONMENT_UPTIME
from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.rpc import encode_json

from ..launching.login_shell import login_shell
from ..version import VERSION

if TYPE_CHECKING:
    from exec_server_protocol.handshake import (
        EnvironmentInfoParams,
        EnvironmentStatusParams,
        EnvironmentUptimeParams,
    )

    from ..rpc.connection import Connection, Handler

__all__ = ["CAPABILITIES", "EnvironmentDescription", "make_handlers"]

_OFFERED: Final = frozenset(
    {
        CAPABILITY_FILE_WRITE_STREAMING,
        CAPABILITY_SANDBOXED_FILE_STREAMING,
        CAPABILITY_WATCH_MISSING,
        "httpHeaderEnvVars",
    }
)
"""The flags of the reference that hold here."""

CAPABILITIES: Final[Mapping[str, bool]] = {
    **{flag: flag in _OFFERED for flag in REFERENCE},
    **dict.fromkeys(EXTENSIONS, True),
}
"""Every flag that compatible executors announce, and ours after them."""


def _home(environ: Mapping[str, str]) -> str:
    if environ.get("HOME"):
        return environ["HOME"]
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


class EnvironmentDescription:
    """The answer to ``environment/info``, made once.

    Args:
        environ: The server's environment variables.
        means: What ends processes that their server did not, ``group``, ``supervisor`` or ``none``.

    Attributes:
        json: The answer, ready to send.
    """

    def __init__(self, environ: Mapping[str, str], means: str = "none") -> None:
        shell = login_shell()
        temporary = environ.get("TMPDIR")
        provider = hashlib.sha256(f"exec-server {VERSION}".encode()).hexdigest()
        self.json = encode_json(
            {
                "shell": {"name": os.path.basename(shell), "path": shell},
                "executorVersion": VERSION,
                "providerId": f"sha256:{provider}",
                "cwd": _uri(os.getcwdb()),
                "userHomeDir": _uri(os.path.abspath(_home(environ))),
                "platformOs": "macos" if sys.platform == "darwin" else sys.platform,
                "prependPathDirs": [],
                "temporaryDirectories": [_uri(os.path.abspath(temporary))] if temporary else [],
                "tempDir": _uri(os.path.abspath(temporary or "/tmp")),  # noqa: S108
                "capabilities": {
                    **CAPABILITIES,
                    TREES_BY_GROUP: means == "group",
                    TREES_SUPERVISED: means != "none",
                },
            }
        )


def _uri(path: str | bytes) -> str:
    return str(PathUri.from_native(path))


def make_handlers(description: EnvironmentDescription, started: float) -> Mapping[str, Handler]:
    """Return the handlers by method.

    Args:
        description: What is there.
        started: ``time.monotonic()`` when the server began to listen.
    """

    def info(connection: Connection, params: EnvironmentInfoParams) -> bytes:
        """Return the description that ``initialize`` has given already."""
        return description.json

    def status(connection: Connection, params: EnvironmentStatusParams) -> bytes:
        """Return that the server takes requests: it could not answer otherwise."""
        return b'{"status":"ready"}'

    def uptime(connection: Connection, params: EnvironmentUptimeParams) -> bytes:
        """Return for how long the server has listened."""
        return encode_json({"seconds": time.monotonic() - started})

    return {
        ENVIRONMENT_INFO.name: info,
        ENVIRONMENT_STATUS.name: status,
        ENVIRONMENT_UPTIME.name: uptime,
    }
