"""Rows about files and sandboxes for ``compare.py``."""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from exec_testkit.door import UPGRADE_REQUEST
from exec_testkit.sandboxes import restricted_read

__all__ = ["measure_files"]

MIB = 1024 * 1024
BIG_MIB = 100


class Caller(Protocol):
    """What these rows need of a client."""

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result."""

    async def run(self, process_id: str, argv: list[str], **options: Any) -> None:
        """Run a command to its end."""


class RawSocket:
    """A WebSocket without a library or an event loop: a round trip, and nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(UPGRADE_REQUEST)
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._socket.recv(65536)
        self._buffer = self._buffer.partition(b"\r\n\r\n")[2]
        self.round_trip(b'{"id":1,"method":"initialize","params":{"clientName":"bench"}}')
        self._send(b'{"method":"initialized","params":{}}')

    def _send(self, text: bytes) -> None:
        # A key of zeros leaves the text as it is.
        size = len(text)
        head = struct.pack("!BBH", 0x81, 0xFE, size) if size > 125 else bytes([0x81, 0x80 | size])
        self._socket.sendall(head + b"\0\0\0\0" + text)

    def round_trip(self, text: bytes) -> bytes:
        """Send a request and return the next message."""
        self._send(text)
        return self.read()

    def read(self) -> bytes:
        """Return the next message that is no ping."""
        while True:
            opcode, payload = self._frame()
            if opcode == 1:
                return payload

    def discard(self, text: bytes) -> int:
        """Send a request and let go of the next message as it comes; return its length."""
        self._send(text)
        memory = memoryview(bytearray(MIB))
        length = 0
        while True:
            first, size = self._head()
            left = size - len(self._take(min(size, len(self._buffer))))
            while left:
                left -= self._socket.recv_into(memory[: min(left, MIB)])
            if first & 15 <= 2:  # no ping, and no close
                length += size
                if first & 128:
                    return length

    def _frame(self) -> tuple[int, bytes]:
        first, size = self._head()
        return first & 15, self._take(size)

    def _head(self) -> tuple[int, int]:
        first, size = self._take(2)
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        return first, size

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._socket.recv(65536)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def median(self, count: int, method: str, params: dict[str, Any]) -> float:
        """Return the median time of a request, in seconds."""
        text = json.dumps({"id": 2, "method": method, "params": params}).encode()
        times = []
        for _ in range(count):
            started = time.perf_counter()
            answer = self.round_trip(text)
            times.append(time.perf_counter() - started)
            if b'"result"' not in answer[:20] + answer[-40:]:
                raise RuntimeError(answer[:200].decode(errors="replace"))
        return statistics.median(times)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _base() -> Path:
    """Return where the files lie: not below /tmp, which policies treat in a way of their own."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    base.mkdir(parents=True, exist_ok=True)
    return base


async def _timed(action: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


async def measure_files(port: int, client: Caller) -> dict[str, float]:
    """Return figures by row.

    Args:
        port: Of the server, on loopback.
        client: An ordinary client of it.
    """
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=_base(), prefix="bench-files-") as folder:
        small, big = Path(folder) / "small", Path(folder) / "big"
        small.write_bytes(os.urandom(1024))
        big.write_bytes(os.urandom(MIB) * BIG_MIB)
        raw = RawSocket(port)
        policy = restricted_read(folder)
        plain = {"path": small.as_uri()}
        confined = {**plain, "sandbox": policy}
        written = {**confined, "dataBase64": "aGVsbG8K"}
        raw.median(100, "fs/getMetadata", plain)
        figures["metadata_raw_s"] = raw.median(2000, "fs/getMetadata", plain)
        figures["sandbox_read_first_s"] = raw.median(1, "fs/readFile", confined)
        figures["sandbox_read_s"] = raw.median(40, "fs/readFile", confined)
        figures["sandbox_write_s"] = raw.median(40, "fs/writeFile", written)
        whole = {"id": 3, "method": "fs/readFile", "params": {"path": big.as_uri()}}
        started = time.perf_counter()
        for _ in range(3):
            raw.discard(json.dumps(whole).encode())
        figures["read_100_MiB_raw_bytes_per_s"] = (
            3 * BIG_MIB * MIB / (time.perf_counter() - started)
        )
        raw.close()

        async def read_whole() -> None:
            await client.call("fs/readFile", {"path": big.as_uri()})

        async def read_blocks() -> None:
            await client.call("fs/open", {"handleId": "big", "path": big.as_uri()})
            for number in range(BIG_MIB):
                block = {"handleId": "big", "offset": number * MIB, "len": MIB}
                await client.call("fs/readBlock", block)
            await client.call("fs/close", {"handleId": "big"})

        figures["read_100_MiB_bytes_per_s"] = BIG_MIB * MIB / await _timed(read_whole)
        figures["blocks_100_MiB_bytes_per_s"] = BIG_MIB * MIB / await _timed(read_blocks)
        times = []
        for number in range(15):
            started = time.perf_counter()
            await client.run(f"confined{number}", ["/bin/true"], sandbox=policy)
            times.append(time.perf_counter() - started)
        figures["sandbox_true_quickack_s"] = statistics.median(times)
    return figures
