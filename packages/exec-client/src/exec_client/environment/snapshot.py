"""Snapshot of environments that a provider hands to the manager: ids, URLs, the default.

Data and its rules only, so that a provider of one's own needs no other module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from ..errors import ClientError

__all__ = [
    "LOCAL_ID",
    "REMOTE_ID",
    "EnvironmentConfigError",
    "EnvironmentProvider",
    "EnvironmentSnapshot",
    "RemoteEnvironment",
]

LOCAL_ID: Final = "local"
"""This machine. No provider may name an environment so."""
REMOTE_ID: Final = "remote"
"""The executor that a variable names."""


class EnvironmentConfigError(ClientError, ValueError):
    """Environments are configured wrongly. Retrying does not help."""


@dataclass(frozen=True, slots=True)
class RemoteEnvironment:
    """An executor on another machine, or at least in another process.

    Attributes:
        id: Its name among the environments.
        url: WebSocket URL.
        connect_timeout: Seconds for TCP, TLS and the upgrade; ``None`` for the client's default.
        initialize_timeout: Seconds for the handshake; ``None`` for the client's default.
        auth_bearer_token: Token to show there; ``None`` for the client's default.
    """

    id: str
    url: str
    connect_timeout: float | None = None
    initialize_timeout: float | None = None
    auth_bearer_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EnvironmentSnapshot:
    """Environments to begin with.

    Attributes:
        remotes: In the order in which they are shown.
        default: Id of the environment that is used when none is named; ``None`` for no default.
        include_local: Whether ``local`` exists as well.
    """

    remotes: tuple[RemoteEnvironment, ...] = ()
    default: str | None = None
    include_local: bool = False

    def validate(self) -> None:
        """Check what every provider must respect, whatever its own format allows.

        Raises:
            EnvironmentConfigError: An id is empty, reserved or taken, or the default is unknown.
        """
        known = {LOCAL_ID} if self.include_local else set()
        for remote in self.remotes:
            check_remote_id(remote.id)
            if remote.id in known:
                raise EnvironmentConfigError(f"environment `{remote.id}` is configured twice")
            if not remote.url.strip():
                raise EnvironmentConfigError(f"environment `{remote.id}` has no url")
            known.add(remote.id)
        if self.default is not None and self.default not in known:
            raise EnvironmentConfigError(f"the default environment `{self.default}` is unknown")


class EnvironmentProvider(Protocol):
    """Knows which environments there are."""

    def snapshot(self) -> EnvironmentSnapshot:
        """Return the environments to begin with.

        Raises:
            EnvironmentConfigError: They are configured wrongly.
        """
        ...


def check_remote_id(environment_id: str) -> None:
    """Refuse ids that no remote environment may have.

    Raises:
        EnvironmentConfigError: It is empty or ``local``.
    """
    if not environment_id:
        raise EnvironmentConfigError("the id of an environment must not be empty")
    if environment_id == LOCAL_ID:
        raise EnvironmentConfigError(f"the id `{LOCAL_ID}` is reserved for this machine")
