"""All environments of a program by id, with one of them as the default."""

from __future__ import annotations

import asyncio
import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .config import normalize_url
from .environment import Environment
from .snapshot import (
    LOCAL_ID,
    EnvironmentConfigError,
    EnvironmentSnapshot,
    RemoteEnvironment,
    check_remote_id,
)
from .url_cell import UrlCell, UrlNotPendingError

if TYPE_CHECKING:
    from ..options import ClientOptions

__all__ = ["EnvironmentManager"]


class EnvironmentManager:
    """Owns environments: makes them from a snapshot, replaces them, closes them.

    Used with ``async with``; entering it starts connecting to every remote environment in the
    background. Lives on one event loop.

    Args:
        snapshot: Environments to begin with, from a provider or from ``load_snapshot``.
        options: How to connect; an environment's own timeouts and token go before these.

    Raises:
        EnvironmentConfigError: The snapshot breaks a rule.
    """

    def __init__(
        self, snapshot: EnvironmentSnapshot, *, options: ClientOptions | None = None
    ) -> None:
        snapshot.validate()
        self._options = options
        self._default = snapshot.default
        self._environments: dict[str, Environment] = {}
        self._pending: dict[str, UrlCell] = {}
        self._replaced: list[Environment] = []
        if snapshot.include_local:
            self._environments[LOCAL_ID] = Environment.local(options=options)
        for remote in snapshot.remotes:
            self._environments[remote.id] = self._make(remote)

    @property
    def default_id(self) -> str | None:
        """Id of the default environment; ``None`` when there is no default."""
        return self._default

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, the default first and the others in the order they were added."""
        others = (name for name in self._environments if name != self._default)
        return (*([self._default] if self._default is not None else []), *others)

    def get(self, environment_id: str | None = None) -> Environment | None:
        """Return the environment with this id, or the default; ``None`` when there is none.

        The same object each time, until it is replaced.
        """
        wanted = self._default if environment_id is None else environment_id
        return None if wanted is None else self._environments.get(wanted)

    async def upsert(
        self,
        environment_id: str,
        url: str,
        *,
        connect_timeout: float | None = None,
        initialize_timeout: float | None = None,
        auth_bearer_token: str | None = None,
    ) -> Environment:
        """Add a remote environment or replace one, and start connecting to it.

        The default stays what it is. Processes that were started through the replaced object
        go on until the manager is closed; its attempt to connect is cancelled, and whoever
        waited for its URL gets an error.

        Raises:
            EnvironmentConfigError: The id is empty or ``local``, or there is no URL.
        """
        check_remote_id(environment_id)
        address = normalize_url(url)
        if address is None:
            raise EnvironmentConfigError("remote environment requires an exec-server url")
        remote = RemoteEnvironment(
            environment_id, address, connect_timeout, initialize_timeout, auth_bearer_token
        )
        environment = self._make(remote)
        cell = self._pending.pop(environment_id, None)
        reason = f"environment `{environment_id}` was replaced"
        if cell is not None:
            cell.fail(reason)
        replaced = self._environments.get(environment_id)
        self._environments[environment_id] = environment
        environment.start_connecting()
        if replaced is not None:
            await self._retire(replaced, reason)
        return environment

    def register_pending(self, environment_id: str) -> Environment:
        """Add a remote environment whose URL is not known yet; using it waits for the URL.

        Raises:
            EnvironmentConfigError: The id is empty, ``local``, or taken.
        """
        check_remote_id(environment_id)
        if environment_id in self._environments:
            raise EnvironmentConfigError(f"environment `{environment_id}` already exists")
        cell = UrlCell()
        self._pending[environment_id] = cell
        environment = Environment.remote(cell, options=self._options)
        self._environments[environment_id] = environment
        return environment

    def complete_pending(self, environment_id: str, url: str) -> None:
        """Supply the URL of a pending environment and start connecting to it.

        Raises:
            EnvironmentConfigError: There is no URL in ``url``.
            UrlNotPendingError: Nothing waits for it: unknown, supplied before, or replaced.
        """
        address = normalize_url(url)
        if address is None:
            raise EnvironmentConfigError("remote environment requires an exec-server url")
        self._take_pending(environment_id).complete(address)
        self._environments[environment_id].start_connecting()

    def fail_pending(self, environment_id: str, message: str) -> None:
        """Give up a pending environment: its waiters get an error, its id is free again.

        Raises:
            UrlNotPendingError: Nothing waits for it: unknown, supplied before, or replaced.
        """
        self._take_pending(environment_id).fail(message)
        self._replaced.append(self._environments.pop(environment_id))
        if self._default == environment_id:
            self._default = None

    async def aclose(self) -> None:
        """Close every environment; waiters for a URL get an error."""
        reasons = {name: f"environment `{name}` was closed" for name in self._pending}
        for name, cell in self._pending.items():
            cell.fail(reasons[name])
        closing = [
            *(item.aclose(reason=reasons.get(name)) for name, item in self._environments.items()),
            *(item.aclose() for item in self._replaced),
        ]
        self._pending.clear()
        self._environments.clear()
        self._replaced.clear()
        self._default = None
        # All of them get their turn even when one fails; then the first failure is reported.
        results = await asyncio.gather(*closing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def __aenter__(self) -> EnvironmentManager:
        for environment in self._environments.values():
            if environment.exec_server_url is not None:
                environment.start_connecting()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _make(self, remote: RemoteEnvironment) -> Environment:
        return Environment.remote(remote.url, options=self.options_for(remote))

    def options_for(self, remote: RemoteEnvironment) -> ClientOptions | None:
        """Return how to connect to ``remote``: its own timeouts and token before the manager's."""
        own: dict[str, Any] = {
            name: seconds
            for name in ("connect_timeout", "initialize_timeout")
            if (seconds := getattr(remote, name)) is not None
        }
        if remote.auth_bearer_token is not None:
            own["token"] = remote.auth_bearer_token
        if not own:
            return self._options
        from ..options import ClientOptions

        return dataclasses.replace(self._options or ClientOptions(), **own)

    def _take_pending(self, environment_id: str) -> UrlCell:
        cell = self._pending.pop(environment_id, None)
        if cell is None:
            raise UrlNotPendingError("exec-server URL is not pending")
        return cell

    async def _retire(self, environment: Environment, reason: str) -> None:
        """Keep a replaced environment only while somebody may still use its processes."""
        finished = [old for old in self._replaced if not old.is_connected]
        self._replaced = [old for old in self._replaced if old.is_connected]
        if environment.is_connected:
            self._replaced.append(environment)
        else:
            finished.append(environment)
        for old in finished:
            await old.aclose(reason=reason)
