"""An HTTP origin on a raw socket: it says exactly what the test wants, well-formed or not."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

__all__ = ["Exchange", "Origin", "Reply", "chunked", "reply"]

_WAIT_SECONDS: Final = 20.0
_HEAD_BYTES: Final = 1024 * 1024


def reply(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole response; ``headers`` are lines."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*headers: str, status: str = "200 OK") -> bytes:
    """Return the head of a chunked response."""
    lines = [f"HTTP/1.1 {status}", *headers, "Transfer-Encoding: chunked", "", ""]
    return "\r\n".join(lines).encode()


@dataclass(eq=False)
class Exchange:
    """One request, and the connection to answer it on.

    Attributes:
        line: Request line.
        headers: Header lines as they came, in order, as (name, value).
        body: The whole body.
        gone: Set when the other side has closed or reset the connection.
    """

    line: str
    headers: list[tuple[str, bytes]]
    body: bytes
    gone: asyncio.Event
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    watcher: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.watcher = asyncio.get_running_loop().create_task(_watch(self._reader, self.gone))

    @property
    def path(self) -> str:
        """What was asked for."""
        return self.line.split(" ")[1]

    def header(self, name: str) -> bytes | None:
        """Return the first value of a header, whatever its case."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), None)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; an empty one ends it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on to another connection and back, until one side ends."""
        try:
            self.watcher.cancel()
            await asyncio.wait([self.watcher])
            pumps = [
                asyncio.ensure_future(_pump(self._reader, writer)),
                asyncio.ensure_future(_pump(reader, self._writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            writer.close()

    def cut(self) -> None:
        """Drop the connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._writer.transport.abort()

    async def wait_gone(self) -> None:
        """Wait until the other side has gone."""
        async with asyncio.timeout(_WAIT_SECONDS):
            await self.gone.wait()


Reply = bytes | Callable[[Exchange], Awaitable[None]]
"""What to send, or who sends it; the connection is closed afterwards."""


class Origin:
    """Listens on loopback and answers by path.

    Args:
        replies: By path, without the query; everything else is a 404.
        tls: Serve https with this.

    Attributes:
        port: Where it listens.
        seen: Every request so far.
    """

    def __init__(self, replies: dict[str, Reply], tls: ssl.SSLContext | None = None) -> None:
        self._replies = replies
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._news = asyncio.Event()
        self.port = 0
        self.seen: list[Exchange] = []

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._tls, limit=_HEAD_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._errors and error is None:
            raise self._errors[0]

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of a path."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{host}:{self.port}{path}"

    async def wait_seen(self, count: int = 1) -> Exchange:
        """Wait for a number of requests; returns the last of them."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while len(self.seen) < count:
                self._news.clear()
                await self._news.wait()
        return self.seen[count - 1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange: Exchange | None = None
        try:
            exchange = await self._read(reader, writer)
            self.seen.append(exchange)
            self._news.set()
            answer = self._replies.get(exchange.path.partition("?")[0], reply(status="404 No"))
            if isinstance(answer, bytes):
                await exchange.send(answer)
            else:
                await answer(exchange)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            if exchange is not None:
                exchange.gone.set()  # which is for the test to check
        except Exception as error:  # noqa: BLE001 - reported where the test can see it
            self._errors.append(error)
        finally:
            if exchange is not None:
                exchange.watcher.cancel()
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
        line, *lines = head.split(b"\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        headers = [(name.decode(), value.strip(b" ")) for name, _, value in map(_split, lines)]
        return Exchange(line.decode(), headers, body, asyncio.Event(), reader, writer)


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    try:
        while await reader.read(65536):
            continue
    except (ConnectionError, ssl.SSLError):
        pass
    gone.set()
