"""Long messages: the payload cut out, the rest parsed."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from exec_server.runtime.payload import Payload
from exec_server.transport import large_message
from exec_server.transport.large_message import LargeMessage
from exec_server.transport.message_assembly import MessageAssembler
from exec_server_protocol.errors import MalformedMessageError, RequestTooLargeError
from exec_server_protocol.limits import REQUEST_MAX_TEXT_BYTES
from exec_server_protocol.rpc import Request
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

SIZE = REQUEST_MAX_TEXT_BYTES + 4


def _cut(text: bytes, places: list[int]) -> LargeMessage:
    marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return LargeMessage([text[a:b] for a, b in itertools.pairwise(marks)], len(text))


def _message(method: str = "fs/writeFile", member: str = "dataBase64", data: str = "QUJD") -> bytes:
    data *= SIZE // len(data) + 1
    params = {"path": "file:///x", member: data, "more": ["a", "b"]}
    return json.dumps({"id": "i", "method": method, "params": params}).encode()


TEXT = _message()


@given(st.lists(st.integers(0, len(TEXT)), max_size=4))
def test_a_payload_is_found_however_the_message_is_cut(places: list[int]) -> None:
    message, payload = _cut(TEXT, places).decode()
    assert isinstance(message, Request)
    assert message.params == {"path": "file:///x", "dataBase64": "", "more": ["a", "b"]}
    assert payload is not None
    assert b"".join(payload.pieces) == json.loads(TEXT)["params"]["dataBase64"].encode()


@pytest.mark.parametrize(
    "text",
    [
        _message(member="path2"),
        _message(method="fs/readFile"),
        b'{"id":1,"method":"fs/writeFile","params":{"dataBase64":""}}' + b" " * SIZE,
        b'{"id":1,"method":"environment/status","params":{"a":["' + b"A" * SIZE + b'"]}}',
        b'{"id":1,"method":"' + b"A" * SIZE + b'"}',
        b'{"id":1,"method":"fs/writeFile","params":["' + b"A" * SIZE + b'"]}',
        b'{"id":1,"method":"fs/writeFile","params":{"dataBase64":"a\\"' + b"A" * SIZE + b'"}}',
        b'{"id":1,"method":"environment/status","params":[' + b'"a",' * SIZE + b'""]}',
        b'{"id":1,"result":"' + b"A" * SIZE + b'"}',
        b"A" * SIZE,
    ],
)
def test_what_is_long_without_a_payload_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        _cut(text, [len(text) // 3]).decode()


def test_what_is_long_in_a_member_that_is_ignored_is_ignored() -> None:
    text = b'{"id":1,"method":"environment/status","pad":"' + b"A" * SIZE + b'"}'
    assert _cut(text, [1000, SIZE // 2]).decode() == (Request(1, "environment/status"), None)


def test_the_word_in_the_place_of_a_payload_cannot_be_used_from_outside() -> None:
    text = _message().replace(b'"more"', b'"' + large_message._MARK.encode() + b'"')
    message, _ = _cut(text, []).decode()
    assert isinstance(message, Request)
    assert message.params["dataBase64"] == ""
    with pytest.raises(RequestTooLargeError):
        _cut(_message(member="other"), []).decode()


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=5))
def test_pieces_decode_to_the_bytes_that_all_of_them_stand_for(
    data: bytes, places: list[int]
) -> None:
    text = base64.b64encode(data)
    marks = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [memoryview(text)[a:b] for a, b in itertools.pairwise(marks)]
    assert b"".join(Payload(pieces).decoded()) == data


@pytest.mark.parametrize(
    "pieces", [[b"QUJ"], [b"QQ==", b"QUJD"], [b"Q", b"Q==QUJD"], [b"QUJ\n"], [b"QR==", b""]]
)
def test_what_is_no_base64_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(ValueError, match="not valid base64"):
        list(Payload([memoryview(piece) for piece in pieces]).decoded())


def test_a_message_of_a_million_fragments_is_kept_in_few() -> None:
    assembler = MessageAssembler()
    opcode = Opcode.TEXT
    for _ in range(300_000):
        assert assembler.add(Frame(opcode, b"12345678", fin=False)) is None
        opcode = Opcode.CONT
    assert assembler.size == 2_400_000
    assert len(assembler._fragments) < 200
    whole = assembler.add(Frame(Opcode.CONT, b"", fin=True))
    assert isinstance(whole, LargeMessage)
    assert len(whole) == 2_400_000
