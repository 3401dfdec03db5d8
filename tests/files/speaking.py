"""File requests in few words."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

__all__ = ["DENIED", "Files", "b64", "files_of", "of_b64"]

DENIED = frozenset({-32600, -32603, -32004})
"""Permission denied, a read-only file system, or nothing to be seen there."""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def of_b64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class Files:
    """One connection whose file requests carry a sandbox, or none."""

    def __init__(self, client: WireClient, sandbox: dict[str, Any] | None) -> None:
        self.client = client
        self.sandbox = sandbox

    def _params(self, members: dict[str, Any]) -> dict[str, Any]:
        params = {
            name: value.as_uri() if isinstance(value, Path) else value
            for name, value in members.items()
        }
        return {**params, "sandbox": self.sandbox}

    async def send(self, op: str, **members: Any) -> int:
        return await self.client.request(f"fs/{op}", self._params(members))

    async def call(self, op: str, **members: Any) -> Any:
        return await self.client.answer(await self.send(op, **members))

    async def code(self, op: str, **members: Any) -> int:
        """The code of the error that it is; 0 for none."""
        return await self.client.outcome(await self.send(op, **members))

    async def read(self, path: Path, **members: Any) -> bytes:
        return of_b64((await self.call("readFile", path=path, **members))["dataBase64"])

    async def write(self, path: Path, data: bytes, **members: Any) -> Any:
        return await self.call("writeFile", path=path, dataBase64=b64(data), **members)

    async def write_code(self, path: Path, data: bytes = b"new", **members: Any) -> int:
        return await self.code("writeFile", path=path, dataBase64=b64(data), **members)

    async def stream(self, path: Path, block: int = 1024 * 1024) -> list[bytes]:
        """The blocks of a file, read one after the other until one is short."""
        await self.call("open", handleId="s", path=path)
        blocks: list[bytes] = []
        while True:
            offset = sum(map(len, blocks))
            answer = await self.call("readBlock", handleId="s", offset=offset, len=block)
            blocks.append(of_b64(answer["chunk"]))
            if answer["eof"]:
                await self.call("close", handleId="s")
                return blocks


@asynccontextmanager
async def files_of(
    server: ServerProcess, sandbox: dict[str, Any] | None = None
) -> AsyncIterator[Files]:
    client = await WireClient.ready(server.url)
    try:
        yield Files(client, sandbox)
    finally:
        await client.close()
