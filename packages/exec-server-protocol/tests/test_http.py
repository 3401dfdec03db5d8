"""``http/request`` and its body deltas: recorded messages, defaults, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.http import (
    HttpBodyDeltaNotification,
    HttpHeader,
    HttpRequestParams,
    HttpRequestResult,
)
from exec_server_protocol.methods import METHODS
from pydantic import ValidationError

CORPUS = json.loads((Path(__file__).parent / "corpus" / "http.json").read_text())
RECORDED = [(name, message) for name, messages in CORPUS.items() for message in messages]
SMALLEST = {"method": "GET", "url": "http://127.0.0.1:1/", "requestId": "r"}


def decode(value: Any) -> HttpRequestParams:
    decoded = METHODS["http/request"].decode_params(value)
    assert isinstance(decoded, HttpRequestParams)
    return decoded


@pytest.mark.parametrize(("name", "message"), RECORDED)
def test_recorded_messages_come_back_as_they_were(name: str, message: dict[str, Any]) -> None:
    method = METHODS[name]
    wire = method.decode_params(message["params"]).to_wire()
    assert {**message["params"], **wire} == wire
    assert all(wire[member] is None for member in wire.keys() - message["params"].keys())
    if "result" in message:
        assert method.result is not None
        assert method.result.model_validate(message["result"]).to_wire() == message["result"]


def test_the_smallest_request_is_buffered_follows_redirects_and_never_times_out() -> None:
    assert decode(SMALLEST).to_wire() == {
        "method": "GET",
        "url": "http://127.0.0.1:1/",
        "headers": [],
        "bodyBase64": None,
        "timeoutMs": None,
        "redirectPolicy": "follow",
        "requestId": "r",
        "streamResponse": False,
    }


def test_members_keep_their_positions() -> None:
    positions = ["PUT", "http://x/", [], "YQ==", 5, "stop", "r", True]
    assert decode(positions) == HttpRequestParams(
        method="PUT",
        url="http://x/",
        body_base64=b"a",
        timeout_ms=5,
        redirect_policy="stop",
        request_id="r",
        stream_response=True,
    )


@pytest.mark.parametrize("member", SMALLEST)
def test_a_required_member_can_be_neither_absent_nor_null(member: str) -> None:
    rest = {key: value for key, value in SMALLEST.items() if key != member}
    for params in (rest, {**rest, member: None}, {**rest, member: 5}):
        with pytest.raises(InvalidParamsError, match=member):
            decode(params)


@pytest.mark.parametrize("member", ["bodyBase64", "timeoutMs"])
def test_an_optional_member_may_be_null(member: str) -> None:
    assert decode({**SMALLEST, member: None}) == decode(SMALLEST)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("headers", None),
        ("headers", {}),
        ("headers", [{"name": "a"}]),
        ("headers", [{"value": "a"}]),
        ("headers", [{"name": "a", "value": "b", "valueEnvVar": 5}]),
        ("redirectPolicy", None),
        ("redirectPolicy", "error"),
        ("streamResponse", None),
        ("streamResponse", "x"),
        ("timeoutMs", "5"),
        ("timeoutMs", -1),
        ("timeoutMs", 1.5),
        ("timeoutMs", 2**64),
        ("bodyBase64", "*"),
        ("bodyBase64", "YQ"),
        ("bodyBase64", 5),
    ],
)
def test_what_is_refused(member: str, value: Any) -> None:
    with pytest.raises(InvalidParamsError, match=member):
        decode({**SMALLEST, member: value})


def test_headers_keep_their_order_and_their_repeats() -> None:
    headers = [{"name": "b", "value": "1"}, {"name": "A", "value": ""}, {"name": "b", "value": "1"}]
    assert decode({**SMALLEST, "headers": headers}).to_wire()["headers"] == headers


def test_a_header_names_a_variable_only_when_it_has_one() -> None:
    assert HttpHeader(name="a", value="b").to_wire() == {"name": "a", "value": "b"}
    secret = {"name": "authorization", "value": "Bearer ", "valueEnvVar": "TOKEN"}
    header = HttpHeader.model_validate(secret)
    assert header.value_env_var == "TOKEN"
    assert header.to_wire() == secret
    null = {"name": "a", "value": "b", "valueEnvVar": None}
    assert HttpHeader.model_validate(null) == HttpHeader(name="a", value="b")


def test_unknown_members_are_ignored() -> None:
    headers = [{"name": "a", "value": "b", "x": 1}]
    assert decode({**SMALLEST, "x": 1, "headers": headers}).headers == [
        HttpHeader(name="a", value="b")
    ]


def test_bodies_are_bytes_in_python_and_base64_on_the_wire() -> None:
    assert decode({**SMALLEST, "bodyBase64": "aGk="}).body_base64 == b"hi"
    assert decode({**SMALLEST, "bodyBase64": ""}).body_base64 == b""
    result = HttpRequestResult(status=200, headers=[], body_base64=b"hello")
    assert result.to_wire() == {"status": 200, "headers": [], "bodyBase64": "aGVsbG8="}


def test_a_delta_always_has_all_five_members() -> None:
    delta = HttpBodyDeltaNotification(request_id="s1", seq=1, delta_base64=b"chunk,", done=False)
    wire = {
        "requestId": "s1",
        "seq": 1,
        "deltaBase64": "Y2h1bmss",
        "done": False,
        "error": None,
    }
    assert delta.to_wire() == wire
    failed = {**wire, "seq": 2, "deltaBase64": "", "done": True, "error": "cut"}
    assert HttpBodyDeltaNotification.model_validate(failed).to_wire() == failed
    for member in ("requestId", "seq", "deltaBase64", "done"):
        rest = {key: value for key, value in wire.items() if key != member}
        with pytest.raises(ValidationError, match=member):
            HttpBodyDeltaNotification.model_validate(rest)
