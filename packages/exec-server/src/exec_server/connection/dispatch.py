"""Method name to handler, checked against the registry when a server starts."""

from __future__ import annotations

from collections.abc import Mapping

from exec_server_protocol.methods import REQUESTS

from ..handlers import environment, handshake, http, process, unavailable
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
        RuntimeError: A handler stands under a name that the registry does not have.
    """
    handlers: dict[str, Handler] = {
        **unavailable.HANDLERS,
        "initialize": handshake.Initialize(info),
        "environment/info": environment.Info(info),
        "environment/status": environment.status,
        **process.HANDLERS,
        **files.handlers,
        **http.make_handlers(requests),
    }
    unknown = handlers.keys() - REQUESTS.keys()
    if unknown:
        raise RuntimeError(f"handlers of unknown methods: {sorted(unknown)}")
    return handlers
