"""One place to run commands in: this machine, or an executor somewhere else.

An environment is cheap to make. It connects when it is first used, keeps that connection
through interruptions, and begins a fresh session when the old one is lost for good.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ClientError
from ..executor import Executor
from ..session.status import EnvironmentStatus
from .config import is_disabled, normalize_url
from .lazy import LazyClient
from .snapshot import EnvironmentConfigError
from .url_cell import UrlCell

if TYPE_CHECKING:
    from typing import Unpack

    from ..client import Client
    from ..options import ClientOptions
    from ..process.process import Process
    from ..process.start_arguments import Argument, Argv, StartOptions
    from ..session.session import Session

__all__ = ["Environment", "EnvironmentStatus"]


class Environment(Executor):
    """Runs commands on this machine or on an executor.

    Made with ``Environment.local()``, ``Environment.remote(url)`` or ``Environment.create(url)``,
    and used with ``async with`` or closed with ``aclose``. All methods may be called by several
    tasks at once; those that arrive while it is connecting share the attempt.

    Attributes:
        is_remote: Whether it is not this machine.
    """

    def __init__(
        self, dial: Callable[[AsyncExitStack], Awaitable[Client]], *, url_cell: UrlCell | None
    ) -> None:
        self._lazy = LazyClient(dial)
        self._url_cell = url_cell
        self.is_remote = url_cell is not None

    def __repr__(self) -> str:
        return f"<Environment {'remote' if self.is_remote else 'local'} {self._lazy!r}>"

    @classmethod
    def remote(cls, url: str | UrlCell, *, options: ClientOptions | None = None) -> Environment:
        """Return the environment of the executor at ``url``; nothing connects yet.

        Raises:
            EnvironmentConfigError: ``url`` is blank, or ``none``.
        """
        if isinstance(url, UrlCell):
            cell = url
        else:
            address = normalize_url(url)
            if address is None:
                raise EnvironmentConfigError("remote environment requires an exec-server url")
            if is_disabled(address):
                raise EnvironmentConfigError("disabled mode does not create an environment")
            cell = UrlCell(address)

        async def dial(stack: AsyncExitStack) -> Client:
            from ..client import connect

            return await stack.enter_async_context(connect(await cell.get(), options=options))

        return cls(dial, url_cell=cell)

    @classmethod
    def local(
        cls,
        *,
        program: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
    ) -> Environment:
        """Return the environment of this machine; nothing starts yet.

        Its first use starts an ``exec-server`` of its own, which ends with the environment.

        Args:
            program: The ``exec-server`` to start; see ``exec_client.embedded.find_program``.
            cwd: Folder in which it starts, and with it commands without a ``cwd``.
            options: How to connect to it.
        """

        async def dial(stack: AsyncExitStack) -> Client:
            from ..embedded import EmbeddedServer

            server = await stack.enter_async_context(EmbeddedServer(program=program, cwd=cwd))
            from ..client import connect

            return await stack.enter_async_context(
                connect(server.url, options=server.client_options(options))
            )

        return cls(dial, url_cell=None)

    @classmethod
    def create(cls, url: str | None, *, options: ClientOptions | None = None) -> Environment:
        """Return ``local()`` for no URL or a blank one, else ``remote(url)``.

        Raises:
            EnvironmentConfigError: ``url`` is ``none``, which asks for no environment.
        """
        if normalize_url(url) is None:
            return cls.local(options=options)
        return cls.remote(url or "", options=options)

    @property
    def exec_server_url(self) -> str | None:
        """URL of a remote environment, once it is known; ``None`` for the local one."""
        return self._url_cell.url if self._url_cell is not None else None

    @property
    def startup_finished(self) -> bool:
        """Whether the first attempt to connect has ended. The local one needs none."""
        return not self.is_remote or self._lazy.startup_finished

    @property
    def is_connected(self) -> bool:
        """Whether there is a client that has not failed; it may be recovering."""
        return self._lazy.usable is not None

    async def client(self) -> Client:
        """Return the client of this environment, connecting first where needed.

        Raises:
            ConnectError: The executor cannot be reached, or refuses.
        """
        return await self._lazy.get()

    def start_connecting(self) -> None:
        """Connect in the background, so that the first use waits less. Failing is silent."""
        self._lazy.start_connecting()

    async def wait_until_ready(self) -> None:
        """Connect where needed and return when the executor takes requests.

        Raises:
            ConnectError: The executor cannot be reached, or refuses.
        """
        await self.client()

    async def status(self) -> EnvironmentStatus:
        """Return how the environment is. Never connects; asks a connected executor."""
        client = self._lazy.usable
        if client is None:
            if self._lazy.is_connecting or not self._lazy.startup_finished:
                return EnvironmentStatus("pending")
            return EnvironmentStatus("disconnected", str(self._lazy.last_error or "lost"))
        try:
            return await client.status()
        except ClientError as error:
            return EnvironmentStatus("disconnected", str(error))

    async def start(self, argv: Argv[Argument], **options: Unpack[StartOptions]) -> Process:
        """Start a process; takes what ``Client.start`` takes."""
        return await (await self.client()).start(argv, **options)

    async def _client(self) -> Client:
        return await self.client()

    async def _get_session(self) -> Session:
        return await (await self.client())._get_session()

    async def aclose(self, *, reason: str | None = None) -> None:
        """End the connection, and the server of a local environment.

        Args:
            reason: Why it is unavailable, for whoever waits for it or uses it later. Without
                it they learn that it was closed.
        """
        await self._lazy.aclose(reason=reason)

    async def __aenter__(self) -> Environment:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
