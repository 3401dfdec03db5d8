"""A client of nothing but the wire: sends what it is told, well-formed or not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from typing import Any, Final

from exec_server_protocol._scalars import decode_base64
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["WireClient", "WireError"]

_WAIT_SECONDS: Final = 20.0


class WireError(Exception):
    """An error answer.

    Attributes:
        code: Its code.
        data: What it says for programs, if anything.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.data: Any = error.get("data")


class WireClient:
    """One connection. Messages that nobody has asked for yet are kept in their order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.session_id = ""
        self.info: dict[str, Any] = {}
        self.notifications: deque[dict[str, Any]] = deque()
        self._answers: dict[Any, dict[str, Any]] = {}
        self._next_id = 1

    @classmethod
    async def dial(
        cls, url: str, *, token: str | None = None, tls: ssl.SSLContext | None = None
    ) -> WireClient:
        """Connect without saying anything."""
        connection = await connect(
            url,
            compression=None,
            max_size=None,
            max_queue=None,
            ping_interval=None,
            proxy=None,
            additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
            ssl=tls,
        )
        return cls(connection)

    @classmethod
    async def ready(
        cls,
        url: str,
        resume: str | None = None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> WireClient:
        """Connect and go through the handshake."""
        client = await cls.dial(url, token=token, tls=tls)
        await client.initialize(resume)
        await client.send_raw('{"method":"initialized"}')
        return client

    async def initialize(self, resume: str | None = None) -> dict[str, Any]:
        """Send ``initialize`` and remember the session."""
        params = {"clientName": "testkit", "resumeSessionId": resume}
        result: dict[str, Any] = await self.call("initialize", params)
        self.session_id = result["sessionId"]
        self.info = result["environmentInfo"]
        return result

    async def send_raw(self, text: str | bytes) -> None:
        """Send one frame as it is."""
        await self.connection.send(text)

    async def request(self, method: str, params: Any = None) -> int:
        """Send a request; returns its id."""
        request_id = self._next_id
        self._next_id += 1
        await self.send_raw(json.dumps({"id": request_id, "method": method, "params": params}))
        return request_id

    async def answer(self, request_id: Any) -> Any:
        """Return the result of a request.

        Raises:
            WireError: It is an error.
        """
        async with asyncio.timeout(_WAIT_SECONDS):
            while request_id not in self._answers:
                await self._take()
        message = self._answers.pop(request_id)
        if "error" in message:
            raise WireError(message["error"])
        return message["result"]

    async def call(self, method: str, params: Any = None) -> Any:
        """Send a request and return its result."""
        return await self.answer(await self.request(method, params))

    async def outcome(self, request_id: Any) -> int:
        """Wait for an answer; returns 0, or the code of the error that it is."""
        try:
            await self.answer(request_id)
        except WireError as error:
            return error.code
        return 0

    async def refused(self, method: str, params: Any = None) -> int:
        """Send a request that has to fail; returns the code."""
        try:
            result = await self.call(method, params)
        except WireError as error:
            return error.code
        raise AssertionError(f"{method} was not refused: {str(result)[:200]}")

    async def _take(self) -> None:
        message = json.loads(await self.connection.recv())
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            self.notifications.append(message)

    async def notification(self) -> dict[str, Any]:
        """Return the next notification."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while not self.notifications:
                await self._take()
        return self.notifications.popleft()

    async def closed(self) -> tuple[int, str]:
        """Wait until the server ends the connection; returns close code and reason."""
        async with asyncio.timeout(_WAIT_SECONDS):
            try:
                while True:
                    await self._take()
            except ConnectionClosed:
                return self.connection.close_code or 0, self.connection.close_reason or ""

    # ------------------------------------------------------------------ processes

    async def start(self, process_id: str, argv: list[str], **members: Any) -> dict[str, Any]:
        """Start a process with little around it."""
        params = {
            "processId": process_id,
            "argv": argv,
            "cwd": "file:///",
            "env": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
            "tty": False,
            **members,
        }
        result: dict[str, Any] = await self.call("process/start", params)
        return result

    async def output_until(self, wanted: bytes) -> bytes:
        """Collect output, of whatever process, until ``wanted`` is in it."""
        received = b""
        while wanted not in received:
            note = await self.notification()
            if note["method"] == "process/output":
                received += decode_base64(note["params"]["chunk"])
        return received

    async def finish(self, process_id: str) -> tuple[dict[str, bytes], int, list[int]]:
        """Follow a process to its end: output by stream, exit code, numbers of its events."""
        output: dict[str, bytes] = {"stdout": b"", "stderr": b"", "pty": b""}
        code = -1
        numbers: list[int] = []
        while True:
            note = await self.notification()
            params = note["params"]
            if params["processId"] != process_id:
                continue
            numbers.append(params["seq"])
            if note["method"] == "process/output":
                output[params["stream"]] += decode_base64(params["chunk"])
            elif note["method"] == "process/exited":
                code = params["exitCode"]
            else:
                return output, code, numbers

    def abort(self) -> None:
        """Drop the connection with a reset."""
        self.connection.transport.abort()

    async def close(self) -> None:
        """End it politely."""
        await self.connection.close()
