"""The head of a request, in any pieces, under every version of the library."""

from __future__ import annotations

from http import HTTPStatus
from itertools import pairwise

import pytest
from exec_server.transport.opening_handshake import HandshakeProtocol
from exec_server.transport.request_head import UpgradeRequest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LINE = b"a" * 8200


def protocol_with(data: bytes, pieces: list[int] | None = None) -> HandshakeProtocol:
    protocol = HandshakeProtocol(message_bytes=100, frame_bytes=40)
    cuts = sorted({min(at, len(data)) for at in pieces or []} | {0, len(data)})
    for start, end in pairwise(cuts):
        protocol.receive_data(data[start:end])
    return protocol


def answered(protocol: HandshakeProtocol) -> bytes:
    return b"".join(protocol.data_to_send())


@given(st.lists(st.integers(0, len(UPGRADE) + 40), max_size=12))
def test_a_request_is_the_same_in_whatever_pieces_it_comes(pieces: list[int]) -> None:
    protocol = protocol_with(UPGRADE, pieces)
    (request,) = protocol.events_received()
    assert isinstance(request, UpgradeRequest)
    assert (request.method, request.path, request.protocol) == ("GET", "/", "HTTP/1.1")
    assert request.headers["host"] == "a"
    assert protocol.accept(request).status_code == HTTPStatus.SWITCHING_PROTOCOLS


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "X-ANY"])
def test_other_methods_are_read_too(method: str) -> None:
    (request,) = protocol_with(f"{method} /readyz HTTP/1.0\r\n\r\n".encode()).events_received()
    assert isinstance(request, UpgradeRequest)
    assert (request.method, request.protocol) == (method, "HTTP/1.0")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + LINE, 414),
        (b"GET / HTTP/1.1\r\nCookie: " + LINE, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 129, 431),
        (b"GET / HTTP/1.1\r\nauthorization: Bearer " + LINE, 401),
    ],
    ids=["line", "header", "headers", "token"],
)
def test_what_is_too_large_is_answered(data: bytes, status: int) -> None:
    protocol = protocol_with(data)
    assert answered(protocol).startswith(f"HTTP/1.1 {status} ".encode())
    assert protocol.events_received() == []
    protocol.receive_data(b"more of it")
    assert protocol.events_received() == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_answered(data: bytes) -> None:
    protocol = protocol_with(data)
    assert answered(protocol) == b""
    assert protocol.events_received() == []
    assert protocol.handshake_exc is not None


def test_a_header_with_bytes_beyond_ascii_is_taken_as_it_is() -> None:
    data = UPGRADE[:-2] + "X-Name: é\r\nContent-Length: 0\r\n\r\n".encode()
    (request,) = protocol_with(data).events_received()
    assert isinstance(request, UpgradeRequest)
    assert request.headers["x-name"].encode("iso-8859-1") == "é".encode()


def opened() -> HandshakeProtocol:
    protocol = protocol_with(UPGRADE)
    (request,) = protocol.events_received()
    assert isinstance(request, UpgradeRequest)
    protocol.send_response(protocol.accept(request))
    answered(protocol)
    return protocol


def frame(opcode: Opcode, size: int, *, fin: bool) -> bytes:
    return bytes(Frame(opcode, b"x" * size, fin).serialize(mask=True))


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [([40, 40, 20], 3), ([41], 0), ([40, 41], 1), ([40, 40, 21], 2), ([1] * 100, 100)],
)
def test_frames_and_messages_have_limits_of_their_own(sizes: list[int], taken: int) -> None:
    protocol = opened()
    for number, size in enumerate(sizes):
        opcode = Opcode.CONT if number else Opcode.TEXT
        protocol.receive_data(frame(opcode, size, fin=number + 1 == len(sizes)))
    assert len(protocol.events_received()) == taken
    refused = protocol.close_sent.code if protocol.close_sent is not None else None
    assert refused == (None if taken == len(sizes) else CloseCode.MESSAGE_TOO_BIG)
