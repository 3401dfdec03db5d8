"""Method name to handler, checked against the registry when a server starts."""

from __future__ import annotations

from collections.abc import Mapping

from exec_server_protocol.methods import REQUESTS

from ..handlers import environment, handshake, http, process
from ..handlers.files import FileMethods
from ..http.requests import HttpRequests
from .connection import Handler

__all__ = ["make_handlers"]


def make_handlers(
    info: environment.EnvironmentDescription, files: FileMethods, requests: HttpRequests
) -> Mapping[str, Handler]:
    """Return the handlers of a server.

    Args:
        info: What the server says about itself.
        files: The file operations.
        requests: The HTTP requests that it makes.

    Raises:
        RuntimeError: A method has no handler, or a handler stands under another name.
    """
    handlers: dict[str, Handler] = {
        "initialize": handshake.Initialize(info),
        "environment/info": environment.Info(info),
        "environment/status": environment.status,
        **process.HANDLERS,
        **files.handlers,
        **http.make_handlers(requests),
    }
    different = handlers.keys() ^ REQUESTS.keys()
    if different:
        raise RuntimeError(f"methods and handlers do not match: {sorted(different)}")
    return handlers
