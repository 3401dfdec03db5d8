"""An executor: runs processes and file operations for remote clients over one WebSocket.

Run the program ``exec-server``, or embed a server in an asyncio program::

    async with serve(ServerConfig()) as server:
        print(server.url)
"""

from __future__ import annotations

from . import _import_path  # noqa: F401  # isort: skip - before the others

TYPE_CHECKING = False  # as of ``typing``, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from .access.settings import AccessSettings as AccessSettings
    from .config import Limits as Limits
    from .config import ServerConfig as ServerConfig
    from .errors import ConfigError as ConfigError
    from .errors import ServerError as ServerError
    from .server import Server as Server
    from .server import serve as serve

_EXPORTS = {
    "AccessSettings": "access.settings",
    "ConfigError": "errors",
    "Limits": "config",
    "Server": "server",
    "ServerConfig": "config",
    "ServerError": "errors",
    "serve": "server",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    from exec_server_protocol._exports import lazy_exports

    return lazy_exports(__name__, _EXPORTS)(name)
