"""An executor: runs processes and file operations for remote clients over one WebSocket.

Run the program ``exec-server``, or embed a server in an asyncio program::

    async with serve(ServerConfig()) as server:
        print(server.url)
"""

from __future__ import annotations

from . import _import_path  # noqa: F401  # isort: skip - before the others
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access.settings import AccessSettings as AccessSettings
    from .config import Limits as Limits
    from .config import ServerConfig as ServerConfig
    from .errors import ConfigError as ConfigError
    from .errors import ServerError as ServerError
    from .server import Server as Server
    from .server import serve as serve

_HOME = {
    "AccessSettings": "access.settings",
    "ConfigError": "errors",
    "Limits": "config",
    "Server": "server",
    "ServerConfig": "config",
    "ServerError": "errors",
    "serve": "server",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
