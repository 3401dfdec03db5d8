"""The URL of an environment that may become known only after the environment does.

A machine that is being provisioned has a name long before it has an address. Whoever uses
it waits here; the URL, or the reason why there is none, arrives once.
"""

from __future__ import annotations

import asyncio

from ..errors import ClientError, ConnectError

__all__ = ["EnvironmentUnavailableError", "UrlCell", "UrlNotPendingError"]


class EnvironmentUnavailableError(ConnectError):
    """The environment will not get a URL. Retrying with the same object does not help."""


class UrlNotPendingError(ClientError):
    """A URL was supplied, or refused, for the second time."""


class UrlCell:
    """A URL that is known, awaited, or given up.

    Args:
        url: The URL when it is known already.
    """

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._failure: str | None = None
        self._settled = asyncio.Event()
        if url is not None:
            self._settled.set()

    def __repr__(self) -> str:
        state = "pending" if self.is_pending else "failed" if self._failure is not None else "ready"
        return f"<UrlCell {state}>"

    @property
    def url(self) -> str | None:
        """The URL, once it is known."""
        return self._url

    @property
    def is_pending(self) -> bool:
        """Whether neither a URL nor a failure has arrived."""
        return not self._settled.is_set()

    def complete(self, url: str) -> None:
        """Supply the URL and wake everybody who waits for it.

        Raises:
            UrlNotPendingError: It was supplied or refused before.
        """
        self._settle()
        self._url = url

    def fail(self, message: str) -> None:
        """Say why there will be no URL; all waiters, later ones too, get the same text.

        Raises:
            UrlNotPendingError: It was supplied or refused before.
        """
        self._settle()
        self._failure = f"environment unavailable: {message}"

    async def get(self) -> str:
        """Return the URL, waiting for it without limit. Cancelling is safe.

        Raises:
            EnvironmentUnavailableError: There will be none.
        """
        await self._settled.wait()
        if self._failure is not None:
            raise EnvironmentUnavailableError(self._failure)
        assert self._url is not None  # noqa: S101  # settled, and not by a failure
        return self._url

    def _settle(self) -> None:
        if not self.is_pending:
            raise UrlNotPendingError("exec-server URL is not pending")
        self._settled.set()
