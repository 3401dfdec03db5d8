"""Floods of frames that say nothing: whoever asks beside them is answered all the same.

Counted, not timed: how often somebody else got an answer while a number of frames was handled.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

FRAMES: Final = 150_000
"""Handled in one or two seconds. A read brings up to 257 KiB, 37,000 of the short ones: unless it
is held back, there are five turns for others meanwhile."""
TURNS: Final = 30
WAIT_S: Final = 60.0

HEAD: Final = (
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def _masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + length + bytes(4) + payload


def _text(message: dict[str, Any]) -> bytes:
    return _masked(1, json.dumps(message).encode())


BEGIN: Final = _masked(1, b"", fin=False)
FLOODS: Final[dict[str, tuple[bytes, bytes, int]]] = {
    "fragments": (BEGIN, _masked(0, b"x", fin=False), FRAMES),
    "empty-fragments": (BEGIN, _masked(0, b"", fin=False), FRAMES),
    "pings": (b"", _masked(9, b""), FRAMES),
    "pongs": (b"", _masked(10, b""), FRAMES),
    "behind-long-ones": (
        BEGIN,
        _masked(0, bytes(60_000), fin=False) + _masked(0, b"", fin=False) * 20_000,
        FRAMES // 20_000,
    ),
}


class Flooder:
    """A client that is in, on a plain socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(WAIT_S)
        hello = {"id": 1, "method": "initialize", "params": {"clientName": "flood"}}
        self.socket.sendall(HEAD + _text(hello) + _text({"method": "initialized"}))
        heard = b""
        while b"sessionId" not in heard:
            heard += self.socket.recv(65_536)

    def send(self, first: bytes, frame: bytes, times: int) -> None:
        """Send it all; a pong that comes back shows that it was handled."""
        self.socket.sendall(first + frame * times + _masked(9, b"the end"))
        heard = b""
        while b"the end" not in heard:
            piece = self.socket.recv(1 << 20)
            assert piece, "the server ended the connection"
            heard = heard[-16:] + piece


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


@pytest.mark.parametrize("kind", FLOODS)
async def test_others_are_answered_while_a_flood_of_frames_is_handled(
    server: ServerProcess, kind: str
) -> None:
    client = await WireClient.ready(server.url)
    flooder = Flooder(server.port)
    flood = asyncio.create_task(asyncio.to_thread(flooder.send, *FLOODS[kind]))
    answers = 0
    while not flood.done():
        await client.call("environment/status")
        answers += 1
    await flood
    flooder.socket.close()
    await client.close()
    assert answers >= TURNS


async def test_who_sends_pings_and_takes_no_pongs_costs_no_memory(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    flooder = Flooder(server.port)
    before = server.resident_bytes
    pings = _masked(9, bytes(125)) * 10_000
    for _ in range(40):  # 50 MB of pongs
        await asyncio.to_thread(flooder.socket.sendall, pings)
    await client.call("environment/status")
    assert server.resident_bytes - before < 24 * 1024 * 1024
    await asyncio.to_thread(flooder.send, b"", b"", 0)  # the last one is answered
    flooder.socket.close()
    await client.close()


async def test_a_message_in_many_pieces_is_one_message(server: ServerProcess) -> None:
    flooder = Flooder(server.port)
    text = json.dumps({"id": 7, "method": "environment/status", "pad": "x" * 3000}).encode()
    pieces = [_masked(0, text[at : at + 1], fin=False) for at in range(len(text))]
    flooder.socket.sendall(BEGIN + b"".join(pieces) + _masked(0, b""))
    heard = b""
    while b'"id":7' not in heard.replace(b" ", b""):
        heard += flooder.socket.recv(65_536)
    flooder.socket.close()
    assert b"ready" in heard
