"""The client and what it starts, without ``async``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .executor import SyncExecutor
from .output import OutputStream
from .portal import Portal, PortalIterator, timeout
from .process import Process

if TYPE_CHECKING:
    from typing import Self

    from exec_server_protocol._model import WireModel
    from exec_server_protocol.handshake import EnvironmentInfo

    from .. import client as _client
    from .. import environment as _environment
    from ..connection.states import ClientState, StateChange
    from ..options import ClientOptions

__all__ = ["Client", "Environment", "OutputStream", "Process", "connect", "timeout"]


def connect(
    url: str, *, options: ClientOptions | None = None, session_id: str | None = None
) -> Client:
    """Connect to the executor at ``url``; close the result, or use it with ``with``.

    Args:
        url: ``ws://`` or ``wss://``.
        options: Settings; ``None`` for the defaults.
        session_id: A detached session to attach to; ``None`` opens a new one.

    Raises:
        ConnectError: The executor cannot be reached, or refuses.
    """
    from ..client import connect as connect_async

    portal = Portal()
    try:
        return Client(
            portal, portal.enter(connect_async(url, options=options, session_id=session_id))
        )
    except BaseException:
        portal.close()
        raise


class _Owner:
    """Closes a portal with the object that owns it."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def close(self) -> None:
        """End the connection and the thread behind it. Repeating it does nothing."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Client(_Owner, SyncExecutor):
    """``exec_client.Client`` without ``async``. Made by ``connect``."""

    def __init__(self, portal: Portal, client: _client.Client) -> None:
        super().__init__(portal)
        self._client = client

    def __repr__(self) -> str:
        return f"<sync {self._client!r}>"

    @property
    def url(self) -> str:
        """Address of the executor."""
        return self._client.url

    @property
    def session_id(self) -> str:
        """The session that this client is attached to."""
        return self._client.session_id

    @property
    def environment_info(self) -> EnvironmentInfo:
        """Description that the executor gave of itself when the connection was made."""
        return self._client.environment_info

    @property
    def state(self) -> ClientState:
        """State of the connection."""
        return self._client.state

    def _asynchronous(self) -> _client.Client:
        return self._client

    def state_changes(self) -> Iterator[StateChange]:
        """Return each change of ``state`` from now on."""
        return PortalIterator(self._portal, self._client.state_changes())

    def call(self, method: str, params: WireModel | None = None) -> dict[str, Any]:
        """Send a request of the protocol and return its result as it came."""
        return self._portal.call(self._client.call(method, params))


class Environment(_Owner, SyncExecutor):
    """``exec_client.environment.Environment`` without ``async``."""

    def __init__(self, make: Callable[[], _environment.Environment]) -> None:
        super().__init__(Portal())

        async def enter() -> _environment.Environment:
            return make()

        try:
            self._environment = self._portal.call(enter())
            self._portal.enter(self._environment)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<sync {self._environment!r}>"

    @classmethod
    def remote(cls, url: str, *, options: ClientOptions | None = None) -> Self:
        """Return the environment of the executor at ``url``; nothing connects yet."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.remote(url, options=options))

    @classmethod
    def local(
        cls,
        *,
        program: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
    ) -> Self:
        """Return the environment of this machine; nothing starts yet."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.local(program=program, cwd=cwd, options=options))

    @classmethod
    def create(cls, url: str | None, *, options: ClientOptions | None = None) -> Self:
        """Return ``local()`` for no URL or a blank one, else ``remote(url)``."""
        from ..environment import Environment as AsyncEnvironment

        return cls(lambda: AsyncEnvironment.create(url, options=options))

    @property
    def is_remote(self) -> bool:
        """Whether it is not this machine."""
        return self._environment.is_remote

    @property
    def exec_server_url(self) -> str | None:
        """URL of a remote environment; ``None`` for the local one."""
        return self._environment.exec_server_url

    def wait_until_ready(self) -> None:
        """Connect where needed and return when the executor takes requests."""
        self._portal.call(self._environment.wait_until_ready())

    def _asynchronous(self) -> _environment.Environment:
        return self._environment
