"""Hot notifications are what the models would have written."""

from __future__ import annotations

import pytest
from exec_server_protocol._scalars import ProcessId
from exec_server_protocol.http import HttpBodyDeltaNotification
from exec_server_protocol.notifications import (
    STREAMS,
    http_body_delta,
    http_body_end,
    process_closed,
    process_exited,
    process_id_json,
    process_output,
    process_stream_ended,
    split_http_body_delta,
    split_process_output,
)
from exec_server_protocol.process import (
    OutputStream,
    ProcessClosedNotification,
    ProcessExitedNotification,
    ProcessOutputNotification,
)
from exec_server_protocol.process_details import ProcessStreamEndedNotification
from exec_server_protocol.rpc import Notification, decode, encode_json, encode_notification
from hypothesis import given
from hypothesis import strategies as st

process_ids = st.text().map(ProcessId)
numbers = st.integers(1, 2**53)


@given(process_ids, numbers, st.sampled_from(sorted(STREAMS)), st.binary(max_size=3000))
def test_output(process_id: ProcessId, seq: int, stream: str, data: bytes) -> None:
    model = ProcessOutputNotification.model_validate(
        {"process_id": process_id, "seq": seq, "stream": stream, "chunk": data}
    )
    message = process_output(process_id_json(process_id), seq, STREAMS[stream], data)
    assert message == encode_notification("process/output", model.to_json())
    split = split_process_output(message)
    if split is not None:
        head, payload = split
        assert payload == data
        whole, empty = decode(message), decode(head)
        assert isinstance(whole, Notification)
        assert isinstance(empty, Notification)
        assert {**whole.params, "chunk": ""} == empty.params
    else:
        assert len(message) < 1024


@given(process_ids, numbers, st.integers(-1, 255), st.booleans(), st.none() | st.integers(1, 64))
def test_exited(
    process_id: ProcessId, seq: int, code: int, denied: bool, signal: int | None
) -> None:
    model = ProcessExitedNotification(
        process_id=process_id, seq=seq, exit_code=code, sandbox_denied=denied, signal=signal
    )
    message = process_exited(process_id_json(process_id), seq, code, denied, signal)
    assert message == encode_notification("process/exited", model.to_json())


@given(process_ids, st.sampled_from(sorted(STREAMS)), numbers)
def test_stream_ended(process_id: ProcessId, stream: OutputStream, last_seq: int) -> None:
    model = ProcessStreamEndedNotification(process_id=process_id, stream=stream, last_seq=last_seq)
    message = process_stream_ended(process_id_json(process_id), STREAMS[stream], last_seq)
    assert message == encode_notification("process/streamEnded", model.to_json())


@given(process_ids, numbers)
def test_closed(process_id: ProcessId, seq: int) -> None:
    model = ProcessClosedNotification(process_id=process_id, seq=seq)
    message = process_closed(process_id_json(process_id), seq)
    assert message == encode_notification("process/closed", model.to_json())


@given(st.text(), numbers, st.binary(max_size=3000))
def test_body_deltas(request_id: str, seq: int, data: bytes) -> None:
    model = HttpBodyDeltaNotification(
        request_id=request_id, seq=seq, delta_base64=data, done=False, error=None
    )
    message = http_body_delta(encode_json(request_id), seq, data)
    assert message == encode_notification("http/request/bodyDelta", model.to_json())
    split = split_http_body_delta(message)
    if split is not None:
        head, payload = split
        assert payload == data
        whole, empty = decode(message), decode(head)
        assert isinstance(whole, Notification)
        assert isinstance(empty, Notification)
        assert {**whole.params, "deltaBase64": ""} == empty.params
    else:
        assert len(message) < 1024


@given(st.text(), numbers, st.none() | st.text())
def test_the_end_of_a_body(request_id: str, seq: int, error: str | None) -> None:
    model = HttpBodyDeltaNotification(
        request_id=request_id, seq=seq, delta_base64=b"", done=True, error=error
    )
    message = http_body_end(encode_json(request_id), seq, error)
    assert message == encode_notification("http/request/bodyDelta", model.to_json())
    assert split_http_body_delta(message) is None


def test_a_payload_that_is_no_base64_is_noticed() -> None:
    message = process_output(process_id_json("p"), 1, b"stdout", b"x" * 3000)
    with pytest.raises(ValueError, match="base64"):
        split_process_output(message.replace(b"eHh4", b"e\\n4", 1))


@pytest.mark.parametrize(
    "message",
    [
        b'{"method":"process/output","params":{"chunk":"' + b"eHh4" * 500 + b'","seq":1}}',
        b'{"id":1,"result":"' + b"eHh4" * 500 + b'"}}',
        b'{"method":"process/output","params":{"seq":1,"note":"' + b"eHh4" * 500 + b'"}}',
    ],
)
def test_messages_of_another_shape_are_left_to_the_decoder(message: bytes) -> None:
    assert split_process_output(message) is None
    assert split_http_body_delta(message) is None
