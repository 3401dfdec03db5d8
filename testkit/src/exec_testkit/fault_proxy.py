"""A TCP proxy that knows WebSocket frames and cuts the link where it is told to.

Frames are counted in each direction from the first one after the upgrade. A fault is
applied just before its frame is passed on: every boundary between two frames can be hit.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Literal

__all__ = ["Cut", "Direction", "FaultProxy", "Kind", "Plan"]

Direction = Literal["to-client", "to-server"]
_READ_BYTES: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that turns closing into a reset."""


class Kind(Enum):
    """How a link dies."""

    RESET = "reset"
    FIN = "fin"
    HALF_OPEN = "half-open"
    """The client's side is closed; the server goes on thinking that all is well, for a while."""
    STALL = "stall"
    """Nothing passes for a while, then the link is reset."""
    TORN = "torn"
    """Half of the frame passes, then the link is reset."""
    DELAY = "delay"
    """The frame and all behind it come late; the link lives on."""
    DROP = "accept-and-drop"
    """The link is reset, and so are new ones for a while, as soon as they are made."""
    REFUSED = "refused"
    """The link is reset, and for a while nobody listens."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One fault of one connection.

    Attributes:
        direction: Whose frames are counted.
        frame: Number of the frame that does not get through, from 0.
        kind: How the link dies.
        seconds: How long a half-open link, a stall, a delay or an outage lasts.
    """

    direction: Direction
    frame: int
    kind: Kind = Kind.RESET
    seconds: float = 0.05


Plan = Callable[[int], Cut | tuple[Cut, ...] | None]
"""From the number of a connection to its faults. Behind a delay, which a link survives, there
may be more."""


class _FrameCounter:
    """Finds where frames begin in a stream of bytes, after an HTTP head."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_head = True
        self._skip = 0
        self.frames = 0

    def split(self, data: bytes, before: Callable[[int], bool]) -> tuple[bytes, bool]:
        """Return the bytes up to the first frame for which ``before`` says stop, and whether."""
        passed = b""
        self._buffer += data
        while self._buffer:
            if self._in_head:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return passed, False
                self._in_head = False
                passed += self._take(end + 4)
            elif self._skip:
                taken = self._take(self._skip)
                self._skip -= len(taken)
                passed += taken
            else:
                size = self._frame_size()
                if size is None:
                    return passed, False
                if before(self.frames):
                    return passed, True
                self.frames += 1
                self._skip = size
        return passed, False

    def half(self) -> bytes:
        """Return the first half of the frame that was stopped, as far as it is here."""
        size = self._frame_size() or 0
        return self._take(min(size // 2, len(self._buffer)))

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _frame_size(self) -> int | None:
        if len(self._buffer) < 2:
            return None
        length = self._buffer[1] & 127
        head = 2 + {126: 2, 127: 8}.get(length, 0)
        if len(self._buffer) < head:
            return None
        if length > 125:
            length = int.from_bytes(self._buffer[2:head], "big")
        return head + (4 if self._buffer[1] & 128 else 0) + length


class FaultProxy:
    """Listens on loopback and passes connections on to a server.

    Args:
        port: The server's port on loopback.
        plan: Called with the number of each connection, from 0; returns its faults, if any.
        opaque: Pass bytes on as they are, as TLS needs it; there are no frames then.

    Attributes:
        bytes_per_second: What a link carries to the client; ``None`` for everything.
        connections: How many were accepted.
        applied: How many faults of the plan have come to pass.
        refusing: Whether new connections are reset at once.
        frames: Frames of the latest connection that were passed on so far.
        bytes: Bytes of all connections that were passed on so far, but for torn frames.
    """

    def __init__(self, port: int, plan: Plan = lambda _: None, *, opaque: bool = False) -> None:
        self._port = port
        self._opaque = opaque
        self._plan = plan
        self._holder: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.applied = 0
        self.refusing = False
        self.bytes_per_second: float | None = None
        self.frames: dict[Direction, int] = {"to-client": 0, "to-server": 0}
        self.bytes: dict[Direction, int] = {"to-client": 0, "to-server": 0}

    @property
    def url(self) -> str:
        """Where clients connect to."""
        assert self._holder is not None
        return f"ws://127.0.0.1:{self._holder.getsockname()[1]}"

    async def __aenter__(self) -> FaultProxy:
        self._holder = _bind(0)  # the port stays ours while nobody listens on it
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._holder is not None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.stop_listening()
        self.cut_all()
        self._holder.close()

    async def listen(self) -> None:
        """Take connections."""
        assert self._holder is not None
        sock = _bind(self._holder.getsockname()[1])
        self._server = await asyncio.start_server(self._accept, sock=sock)

    def stop_listening(self) -> None:
        """Let the system refuse new connections. Links that exist go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut_all(self) -> None:
        """Reset every link, now."""
        for writer in list(self._open):
            _reset(writer)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(writer)
            return
        number = self.connections
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            _reset(writer)
            return
        self._open |= {writer, back}
        try:
            plan = self._plan(number)
            cuts = (plan,) if isinstance(plan, Cut) else plan or ()
            await self._link(cuts, (reader, writer), (there, back))
        finally:
            self._open -= {writer, back}
            _reset(writer)
            _reset(back)

    async def _link(
        self,
        cuts: tuple[Cut, ...],
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        ways = [
            asyncio.ensure_future(self._pass("to-server", client[0], server[1], cuts)),
            asyncio.ensure_future(self._pass("to-client", server[0], client[1], cuts)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        cut = next((cut for way in done if (cut := way.result()) is not None), None)
        if cut is None:
            return
        self.applied += 1
        if cut.kind is Kind.FIN:
            client[1].close()
            server[1].close()
        elif cut.kind is Kind.HALF_OPEN:
            _reset(client[1])
            await asyncio.sleep(cut.seconds)
        elif cut.kind is Kind.STALL:
            await asyncio.sleep(cut.seconds)
        elif cut.kind in (Kind.DROP, Kind.REFUSED):
            self._keep(asyncio.ensure_future(self._outage(cut)))

    async def _outage(self, cut: Cut) -> None:
        if cut.kind is Kind.DROP:
            self.refusing = True
        else:
            self.stop_listening()
        await asyncio.sleep(cut.seconds)
        if cut.kind is Kind.DROP:
            self.refusing = False
        elif self._server is None:
            await self.listen()

    async def _pass(
        self,
        direction: Direction,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        cuts: tuple[Cut, ...],
    ) -> Cut | None:
        """Pass bytes on. Returns the fault that ended it."""
        counter = _FrameCounter()
        ahead = {cut.frame: cut for cut in cuts if cut.direction == direction}
        with suppress(OSError):
            while data := await source.read(_READ_BYTES):
                if self._opaque:
                    target.write(data)
                    await target.drain()
                    continue
                while True:
                    passed, stopped = counter.split(data, lambda frame: frame in ahead)
                    target.write(passed)
                    self.bytes[direction] += len(passed)
                    cut = ahead.pop(counter.frames) if stopped else None
                    if cut is not None and cut.kind is Kind.TORN:
                        target.write(counter.half())
                    self.frames[direction] = counter.frames
                    await target.drain()
                    if self.bytes_per_second is not None and direction == "to-client":
                        await asyncio.sleep(len(passed) / self.bytes_per_second)
                    if cut is None:
                        break
                    if cut.kind is not Kind.DELAY:
                        return cut
                    self.applied += 1
                    await asyncio.sleep(cut.seconds)
                    data = b""
        return None


def _bind(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
