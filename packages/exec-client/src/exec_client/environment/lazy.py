"""A client that is connected when it is first needed, and again when it has failed for good.

- The current client is given out as long as it has not failed; one that is recovering counts
  as usable, since its calls wait.
- Nobody dials twice: however many tasks ask at once, they share one attempt, which goes on
  when the one that began it is cancelled.
- A failure that another try may not repeat (nothing listens, a timeout) is forgotten once
  everybody who shared the attempt has seen it. One that it must repeat (the peer refused the
  handshake, the program is not installed) is remembered, and everybody gets that same error.
- A client that failed is replaced by a fresh one with a session of its own. The processes of
  the old session are not carried over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

from exec_server_protocol.errors import ProtocolError, RpcError

from ..connection.states import ClientState
from ..embedded import ServerProgramMissingError
from ..errors import ClientClosedError, ClientError, ConnectError, HandshakeRejectedError
from ..home import Home
from .url_cell import EnvironmentUnavailableError

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["Dial", "LazyClient", "is_retryable"]

_OVER: Final = (ClientState.FAILED, ClientState.CLOSED)

Dial: TypeAlias = "Callable[[AsyncExitStack], Awaitable[Client]]"
"""Connects once. What it opens on the way goes on the stack, which lives as long as the client."""


def is_retryable(error: BaseException) -> bool:
    """Return whether connecting again could end differently.

    Timeouts and connections that fail, HTTP refusals included, may pass. A peer that answers
    ``initialize`` with an error or with nonsense, or a program that is missing, stays as it is.
    """
    if isinstance(error, ServerProgramMissingError):
        return False
    if isinstance(error, HandshakeRejectedError):
        return not isinstance(error.__cause__, RpcError | ProtocolError | ValueError)
    return isinstance(error, ConnectError)


class LazyClient:
    """Shares one current client, and one attempt to get it, between any number of tasks.

    Args:
        dial: Connects; called once for each attempt.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._home = Home()
        self._resources = AsyncExitStack()
        self._client: Client | None = None
        self._attempt: asyncio.Task[Client] | None = None
        self._last_error: BaseException | None = None
        self._closed = False
        self._unavailable: str | None = None

    def __repr__(self) -> str:
        return f"<LazyClient {self._client!r}{' connecting' if self.is_connecting else ''}>"

    @property
    def current(self) -> Client | None:
        """The client of the last attempt that succeeded, whatever became of it since."""
        return self._client

    @property
    def usable(self) -> Client | None:
        """The current client, unless it failed or was closed."""
        client = self._client
        return client if client is not None and client.state not in _OVER else None

    @property
    def is_connecting(self) -> bool:
        """Whether an attempt is under way."""
        return self._attempt is not None and not self._attempt.done()

    @property
    def last_error(self) -> BaseException | None:
        """Error of the last attempt; ``None`` when it succeeded or there was none."""
        return self._last_error

    @property
    def startup_finished(self) -> bool:
        """Whether the first attempt has ended, in whatever way."""
        return self._client is not None or self._last_error is not None

    async def get(self) -> Client:
        """Return the current client, connecting if there is none or it has failed.

        Cancelling is safe: the attempt goes on for the others, and for the next caller.

        Raises:
            ConnectError: The attempt failed. ``is_retryable`` tells whether to ask again.
            ClientClosedError: ``aclose`` was called. With a reason: EnvironmentUnavailableError.
        """
        self._home.check()
        usable = self.usable
        if usable is not None and not self._closed:
            return usable
        attempt = self.start_connecting()
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise self._closed_error()
        # A task that re-raises its own exception resets the traceback each time, so an error
        # that is remembered for ever does not grow.
        return attempt.result()

    def start_connecting(self) -> asyncio.Task[Client]:
        """Begin an attempt in the background, or return the one that is under way.

        Must be called on the running loop. Nobody needs to await the result.
        """
        self._home.check()
        if self._closed:
            raise self._closed_error()
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._connect(), name="exec-client-connect")
            self._attempt.add_done_callback(self._settle)
        return self._attempt

    async def aclose(self, *, reason: str | None = None) -> None:
        """Close the client and whatever was opened for it. Repeating it does nothing.

        Args:
            reason: Why it is unavailable, for whoever waits for a client or asks for one
                later. Without it they learn that it was closed.
        """
        if not self._closed:
            self._unavailable = reason
        self._closed = True
        attempt = self._attempt
        if attempt is not None and not attempt.done():
            attempt.cancel()
            await asyncio.wait([attempt])
        resources, self._resources = self._resources, AsyncExitStack()
        await resources.aclose()

    def _closed_error(self) -> ClientError:
        if self._unavailable is not None:
            return EnvironmentUnavailableError(f"environment unavailable: {self._unavailable}")
        return ClientClosedError("the environment was closed")

    async def _connect(self) -> Client:
        previous, self._resources = self._resources, AsyncExitStack()
        await previous.aclose()
        async with AsyncExitStack() as stack:
            client = await self._dial(stack)
            self._resources = stack.pop_all()
        return client

    def _settle(self, attempt: asyncio.Task[Client]) -> None:
        if attempt.cancelled():
            self._attempt = None
            self._last_error = ClientError("connecting was cancelled")
            return
        error = attempt.exception()  # Also tells asyncio that somebody has looked.
        self._last_error = error
        if error is None:
            self._client = attempt.result()
        if error is None or is_retryable(error):
            self._attempt = None
