"""Environments: where commands run, by id, configured by variables or a file.

The names below are loaded on first use: reading a variable must not import a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exec_server_protocol._exports import lazy_exports

if TYPE_CHECKING:
    from .config import load_snapshot as load_snapshot
    from .config import parse_environments_toml as parse_environments_toml
    from .config import snapshot_from_url as snapshot_from_url
    from .config import url_from_environ as url_from_environ
    from .environment import Environment as Environment
    from .environment import EnvironmentStatus as EnvironmentStatus
    from .manager import EnvironmentManager as EnvironmentManager
    from .snapshot import LOCAL_ID as LOCAL_ID
    from .snapshot import REMOTE_ID as REMOTE_ID
    from .snapshot import EnvironmentConfigError as EnvironmentConfigError
    from .snapshot import EnvironmentProvider as EnvironmentProvider
    from .snapshot import EnvironmentSnapshot as EnvironmentSnapshot
    from .snapshot import RemoteEnvironment as RemoteEnvironment
    from .url_cell import EnvironmentUnavailableError as EnvironmentUnavailableError
    from .url_cell import UrlNotPendingError as UrlNotPendingError

_EXPORTS = {
    "LOCAL_ID": "snapshot",
    "REMOTE_ID": "snapshot",
    "Environment": "environment",
    "EnvironmentConfigError": "snapshot",
    "EnvironmentManager": "manager",
    "EnvironmentProvider": "snapshot",
    "EnvironmentSnapshot": "snapshot",
    "EnvironmentStatus": "environment",
    "EnvironmentUnavailableError": "url_cell",
    "RemoteEnvironment": "snapshot",
    "UrlNotPendingError": "url_cell",
    "load_snapshot": "config",
    "parse_environments_toml": "config",
    "snapshot_from_url": "config",
    "url_from_environ": "config",
}

__all__ = list(_EXPORTS)

__getattr__ = lazy_exports(__name__, _EXPORTS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
