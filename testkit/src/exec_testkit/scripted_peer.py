"""A server that says what the test wants: legal, illegal, or nothing at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["PeerConnection", "ScriptedPeer"]

_WAIT_SECONDS: Final = 10.0


class PeerConnection:
    """One connection, from the server's side.

    Attributes:
        number: Which connection of the peer it is, from 0.
        received: Every message so far, parsed.
    """

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self.number = number
        self.received: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(_WAIT_SECONDS):
            message: dict[str, Any] = json.loads(await self._connection.recv())
        self.received.append(message)
        return message

    async def expect(self, method: str) -> dict[str, Any]:
        """Return the next message, which has to be of this method."""
        message = await self.receive()
        assert message["method"] == method, message
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self._connection.send(json.dumps(message))

    async def send_raw(self, data: str | bytes) -> None:
        """Send a frame as it is."""
        await self._connection.send(data)

    async def answer(self, request: dict[str, Any], result: Any) -> None:
        """Answer a request."""
        await self.send({"id": request["id"], "result": result})

    async def refuse(self, request: dict[str, Any], code: int, message: str = "no") -> None:
        """Answer a request with an error."""
        await self.send({"error": {"code": code, "message": message}, "id": request["id"]})

    async def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        await self.send({"method": method, "params": params})

    async def handshake(
        self, session_id: str = "session-1", capabilities: dict[str, bool] | None = None
    ) -> dict[str, Any]:
        """Go through the handshake; returns the ``initialize`` request."""
        request = await self.expect("initialize")
        info = {
            "shell": {"name": "sh", "path": "/bin/sh"},
            "cwd": "file:///",
            "capabilities": capabilities or {},
        }
        await self.answer(request, {"sessionId": session_id, "environmentInfo": info})
        await self.expect("initialized")
        return request

    def abort(self) -> None:
        """Drop the connection with no close frame."""
        self._connection.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the client has gone; what it still says is kept in ``received``."""
        async with asyncio.timeout(_WAIT_SECONDS):
            try:
                while True:
                    await self.receive()
            except ConnectionClosed:
                return


Script = Callable[[PeerConnection], Awaitable[None]]


class ScriptedPeer:
    """Listens on loopback and runs a script for each connection.

    A script that ends closes its connection. An error in a script fails the test, when the
    peer is left.

    Args:
        *scripts: For the first, second, ... connection; the last one serves all others.

    Attributes:
        connections: Those made so far.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._server: Server | None = None
        self._errors: list[BaseException] = []
        self.connections: list[PeerConnection] = []

    @property
    def url(self) -> str:
        """Where clients connect to."""
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def __aenter__(self) -> ScriptedPeer:
        self._server = await serve(
            self._run, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        for connection in self.connections:
            connection.abort()
        self._server.close()
        await self._server.wait_closed()
        if self._errors and error is None:
            raise self._errors[0]

    async def _run(self, websocket: ServerConnection) -> None:
        connection = PeerConnection(websocket, len(self.connections))
        self.connections.append(connection)
        script = self._scripts[min(connection.number, len(self._scripts) - 1)]
        try:
            await script(connection)
        except ConnectionClosed:
            return  # the client left; what it should have said is the test's to check
        except Exception as error:  # noqa: BLE001 - reported where the test can see it
            self._errors.append(error)
