"""Frames between server and worker: round trips, cuts anywhere, hostile bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from exec_server_protocol.errors import (
    LocalProtocolError,
    MalformedMessageError,
    MessageTooLargeError,
)
from exec_server_protocol.helper import (
    BULK_RESULTS,
    DATA_BYTES,
    FRAME_VERSION,
    FROM_SERVER,
    FROM_WORKER,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    PIECE_BYTES,
    REQUEST_ID_MAX,
    Frame,
    FrameDecoder,
    FrameKind,
    HelperError,
    Ready,
    Request,
    decode_error,
    decode_ready,
    decode_request,
    encode_error,
    encode_frame,
    encode_header,
    encode_ready,
    encode_request,
    encode_request_data,
)
from exec_server_protocol.limits import FILE_BLOCK_MAX_BYTES
from hypothesis import given
from hypothesis import strategies as st

EVERYTHING = frozenset(FrameKind)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    kind = draw(st.sampled_from(FrameKind))
    request_id = 0 if kind is FrameKind.READY else draw(st.integers(1, REQUEST_ID_MAX))
    return Frame(kind, request_id, draw(st.binary(max_size=40)))


PARTS = {
    FrameKind.REQUEST_DATA: FrameKind.REQUEST_DATA,
    FrameKind.REQUEST_DATA_LAST: FrameKind.REQUEST_DATA,
    FrameKind.RESULT_DATA: FrameKind.RESULT_DATA,
    FrameKind.RESULT_DATA_LAST: FrameKind.RESULT_DATA,
}


def without_cuts(frames: list[Frame]) -> list[Frame]:
    """Join the data frames that belong together: they may be cut anywhere."""
    joined: list[Frame] = []
    for frame in frames:
        part = PARTS.get(frame.kind), frame.request_id
        if joined and part == (joined[-1].kind, joined[-1].request_id):
            joined[-1] = frame._replace(payload=joined[-1].payload + frame.payload)
        else:
            joined.append(frame)
    return joined


@given(st.lists(frames(), max_size=6), st.lists(st.integers(0, 300)))
def test_frames_survive_being_cut_anywhere(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode_frame(*frame) for frame in sent)
    places = sorted({min(cut, len(data)) for cut in cuts})
    decoder = FrameDecoder(EVERYTHING)
    received: list[Frame] = []
    memory = bytearray(len(data))
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        # What was fed may be overwritten at once, as by whoever reads into the same memory.
        memory[: end - start] = data[start:end]
        received += decoder.feed(memoryview(memory)[: end - start])
        memory[:] = bytes(len(memory))
    assert without_cuts(received) == without_cuts(sent)
    assert [frame for frame in received if frame.kind not in PARTS] == [
        frame for frame in sent if frame.kind not in PARTS
    ]
    decoder.finish()


@given(st.binary(min_size=1, max_size=60), st.integers(1, 20), st.booleans())
def test_data_are_handed_out_as_they_come(payload: bytes, step: int, last: bool) -> None:
    kind = FrameKind.RESULT_DATA_LAST if last else FrameKind.RESULT_DATA
    data = encode_frame(kind, 7, payload)
    decoder = FrameDecoder(FROM_WORKER)
    got = b""
    for start in range(0, len(data), step):
        end = min(start + step, len(data))
        frames = decoder.feed(data[start:end])
        got += b"".join(frame.payload for frame in frames)
        assert got == payload[: max(end - HEADER_BYTES, 0)]
        assert all(frame.payload for frame in frames)
        ended = end == len(data)
        assert [frame.kind for frame in frames] == [kind if ended else FrameKind.RESULT_DATA] * (
            end > HEADER_BYTES
        )


def test_a_block_takes_four_frames_and_base64_leaves_no_rest() -> None:
    assert set(BULK_RESULTS) == {"fs/readFile", "fs/readBlock"}
    assert DATA_BYTES % 3 == 0
    assert 3 * DATA_BYTES < FILE_BLOCK_MAX_BYTES <= 4 * DATA_BYTES
    assert DATA_BYTES <= MAX_PAYLOAD_BYTES


def test_the_shape_of_a_frame_is_fixed() -> None:
    assert encode_frame(FrameKind.RESULT, 258, b"{}") == b"\0\0\0\2\x06\0\0\1\2{}"
    assert HEADER_BYTES == 9
    assert [kind.value for kind in FrameKind] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert encode_ready("1.2.3") == (
        b'\0\0\0\x2a\x01\0\0\0\0{"frameVersion":2,"helperVersion":"1.2.3"}'
    )
    assert encode_request(1, "fs/close", {})[HEADER_BYTES:] == b'{"op":"fs/close","params":{}}'
    assert encode_error(1, -32004, "x")[HEADER_BYTES:] == b'{"code":-32004,"message":"x"}'


def test_every_kind_has_one_direction() -> None:
    assert FROM_SERVER | FROM_WORKER == EVERYTHING
    assert not FROM_SERVER & FROM_WORKER
    for kind in FrameKind:
        data = encode_frame(kind, 0 if kind is FrameKind.READY else 1, b"")
        right, wrong = (
            (FROM_SERVER, FROM_WORKER) if kind in FROM_SERVER else (FROM_WORKER, FROM_SERVER)
        )
        assert FrameDecoder(right).feed(data)[0].kind is kind
        with pytest.raises(MalformedMessageError):
            FrameDecoder(wrong).feed(data)


def test_the_largest_payload_passes_and_a_larger_one_is_refused_from_its_header() -> None:
    decoder = FrameDecoder(FROM_WORKER)
    payload = bytes(MAX_PAYLOAD_BYTES)
    assert decoder.feed(encode_frame(FrameKind.RESULT, 1, payload)) == [
        Frame(FrameKind.RESULT, 1, payload)
    ]
    with pytest.raises(MessageTooLargeError):
        decoder.feed((MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big") + b"\x06\0\0\0\1")
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameKind.RESULT, 1, bytes(MAX_PAYLOAD_BYTES + 1))


@pytest.mark.parametrize(
    "header",
    [
        b"\0\0\0\0\0\0\0\0\1",  # kind 0
        b"\0\0\0\0\x0a\0\0\0\1",  # a kind too many
        b"\0\0\0\0\xff\0\0\0\1",
        b"\0\0\0\0\x06\0\0\0\0",  # an answer to nothing
        b"\0\0\0\0\x01\0\0\0\1",  # ready, on request
    ],
)
def test_a_hostile_header_breaks_the_stream_for_good(header: bytes) -> None:
    decoder = FrameDecoder(EVERYTHING)
    with pytest.raises(MalformedMessageError):
        decoder.feed(header)
    with pytest.raises(MalformedMessageError):
        decoder.feed(encode_ready("1"))
    with pytest.raises(MalformedMessageError):
        decoder.finish()


def test_frames_before_a_hostile_one_are_not_lost() -> None:
    decoder = FrameDecoder(FROM_WORKER)
    good = encode_frame(FrameKind.RESULT, 1, b"{}")
    assert decoder.feed(good + b"\xff" * HEADER_BYTES) == [Frame(FrameKind.RESULT, 1, b"{}")]
    assert isinstance(decoder.error, MalformedMessageError)
    with pytest.raises(MalformedMessageError):
        decoder.feed(b"")


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    decoder = FrameDecoder(FROM_WORKER)
    try:
        received = decoder.feed(data)
        decoder.finish()
    except (MalformedMessageError, MessageTooLargeError):
        return
    assert b"".join(encode_frame(*frame) for frame in received) == data


@pytest.mark.parametrize("cut", [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1])
def test_an_end_inside_a_frame_is_noticed(cut: int) -> None:
    decoder = FrameDecoder(FROM_WORKER)
    decoder.finish()
    assert decoder.feed(encode_frame(FrameKind.RESULT, 1, b"{}")[:cut]) == []
    with pytest.raises(MalformedMessageError):
        decoder.finish()


@pytest.mark.parametrize("request_id", [-1, 0, REQUEST_ID_MAX + 1])
def test_an_id_that_no_request_has_cannot_be_encoded(request_id: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request(request_id, "fs/close", {})
    with pytest.raises(LocalProtocolError):
        encode_header(FrameKind.READY, 1, 0)
    with pytest.raises(LocalProtocolError):
        encode_header(FrameKind.RESULT, 1, -1)


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=4))
def test_what_is_asked_arrives(op: str, params: dict[str, object]) -> None:
    (frame,) = FrameDecoder(FROM_SERVER).feed(encode_request(REQUEST_ID_MAX, op, params))
    assert frame.payload.isascii()
    assert decode_request(frame.payload) == Request(op, params)


@given(st.integers(), st.text(), st.none() | st.integers(1, 4095))
def test_what_went_wrong_arrives(code: int, message: str, number: int | None) -> None:
    (frame,) = FrameDecoder(FROM_WORKER).feed(encode_error(1, code, message, number))
    assert decode_error(frame.payload) == HelperError(code, message, number)


@pytest.mark.parametrize("number", ["0", "-1", "4096", "1.0", "true", '"2"', "[]"])
def test_a_number_that_no_system_has_is_malformed(number: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode_error(f'{{"code":1,"message":"","errno":{number}}}'.encode())


def test_versions_arrive() -> None:
    (frame,) = FrameDecoder(FROM_WORKER).feed(encode_ready("0.1.0"))
    assert decode_ready(frame.payload) == Ready(FRAME_VERSION, "0.1.0")


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b"{}", b"{", b"\xff", b"[" * 100_000,
        b'{"op":1,"params":{}}', b'{"op":"x"}', b'{"op":"x","params":null}',
        b'{"code":"1","message":""}', b'{"code":true,"message":""}', b'{"code":1}',
        b'{"frameVersion":"1","helperVersion":""}', b'{"frameVersion":true,"helperVersion":""}',
        b'{"frameVersion":1}',
    ],
)  # fmt: skip
def test_payloads_of_another_shape_are_refused(payload: bytes) -> None:
    for decode in (decode_ready, decode_request, decode_error):
        with pytest.raises(MalformedMessageError):
            decode(payload)


@pytest.mark.parametrize(
    ("size", "pieces"),
    [(0, 1), (1, 1), (PIECE_BYTES, 1), (PIECE_BYTES + 1, 2), (3 * PIECE_BYTES, 3)],
)
def test_bulk_text_is_cut_into_pieces_and_the_last_is_marked(size: int, pieces: int) -> None:
    text = bytes(range(256)) * (size // 256 + 1)
    received = FrameDecoder(FROM_SERVER).feed(b"".join(encode_request_data(5, text[:size])))
    assert b"".join(frame.payload for frame in received) == text[:size]
    assert [frame.kind for frame in received] == (
        [FrameKind.REQUEST_DATA] * (pieces - 1) + [FrameKind.REQUEST_DATA_LAST]
    )
    assert {frame.request_id for frame in received} == {5}


def test_the_light_modules_load_nothing_heavy() -> None:
    modules = ", ".join(
        f"exec_server_protocol.{name}" for name in ("helper", "path_uri", "limits", "errors")
    )
    code = f"import sys, {modules}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True, timeout=20
    ).stdout.split()
    heavy = {"pydantic", "pydantic_core", "pybase64", "asyncio", "dataclasses", "inspect"}
    assert not heavy & set(loaded)
    assert "exec_server_protocol.rpc" not in loaded
