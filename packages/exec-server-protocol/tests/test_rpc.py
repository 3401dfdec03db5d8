"""Envelopes: what is a message, what is malformed, and that both directions agree."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from exec_server_protocol.errors import MalformedMessageError, NotFoundError, RpcError
from exec_server_protocol.limits import (
    MAX_DEPTH,
    MAX_VALUES,
    REQUEST_MAX_CONTAINERS,
    REQUEST_MAX_MEMBERS,
    REQUEST_MAX_TEXT_BYTES,
    REQUEST_MAX_VALUES,
)
from exec_server_protocol.rpc import (
    MALFORMED_ID,
    ErrorData,
    ErrorResponse,
    Notification,
    Request,
    Response,
    Trace,
    decode,
    decode_from_client,
    encode_error,
    encode_json,
    encode_notification,
    encode_request,
    encode_result,
    id_of_start,
)
from hypothesis import example, given
from hypothesis import strategies as st

ids = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text())
texts = st.text()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(ids, texts, json_values, st.none() | texts, st.none() | texts)
def test_a_request_comes_back_as_it_was_sent(
    request_id: int | str, method: str, params: Any, parent: str | None, state: str | None
) -> None:
    trace = Trace(parent, state) if parent is not None else None
    message = decode(encode_request(request_id, method, encode_json(params), trace))
    assert message == Request(request_id, method, params, trace)


@given(texts, json_values)
def test_a_notification_comes_back_as_it_was_sent(method: str, params: Any) -> None:
    assert decode(encode_notification(method, encode_json(params))) == Notification(method, params)
    assert decode(encode_notification(method, None)) == Notification(method)


@given(ids, json_values)
def test_a_result_comes_back_as_it_was_sent(request_id: int | str, result: Any) -> None:
    message = decode(encode_result(request_id, encode_json(result)))
    assert message == Response(request_id, result)


@given(ids, st.integers(-(2**31), 2**31), texts, st.none() | json_values)
def test_an_error_comes_back_as_it_was_sent(
    request_id: int | str, code: int, text: str, data: Any
) -> None:
    error = ErrorData(code, text, data)
    assert decode(encode_error(request_id, error)) == ErrorResponse(request_id, error)


def test_the_order_of_members_and_the_spelling_are_the_wire_s() -> None:
    assert encode_request(7, "m", b"{}") == b'{"id":7,"method":"m","params":{}}'
    assert encode_result("a", b"{}") == b'{"id":"a","result":{}}'
    assert (
        encode_error(-1, ErrorData(-32600, "é")).decode()
        == '{"error":{"code":-32600,"message":"é"},"id":-1}'
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"id":1,"method":"m","result":1,"error":2}', Request),
        ('{"method":"m","result":1}', Notification),
        ('{"id":1,"result":null,"error":5}', Response),
        ('{"id":1,"error":{"code":1,"message":"x","more":2}}', ErrorResponse),
        ('\r\n\t {"jsonrpc":5,"id":1,"method":"m","unknown":[1e999]} \n', Request),
        ('{"id":1,"method":"m","x":' + "9" * 6000 + "}", Request),
    ],
)
def test_presence_of_members_decides_the_kind(text: str, kind: type) -> None:
    assert type(decode(text)) is kind
    assert type(decode(text.encode())) is kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "{",
        "hello",
        "{bad",
        "[]",
        "5",
        "null",
        '"s"',
        "{}",
        '{"id":1}',
        '{"id":1,"method":5}',
        '{"id":null,"method":"m"}',
        '{"id":true,"method":"m"}',
        '{"id":1.0,"method":"m"}',
        '{"id":1e2,"method":"m"}',
        '{"id":9223372036854775808,"method":"m"}',
        '{"id":NaN,"method":"m"}',
        '{"id":1,"method":"m","x":Infinity}',
        '{"id":1,"method":"m"} x',
        '{"id":1,"method":"m"}{}',
        '{"id":1,"method":"m",}',
        "{'id':1,'method':'m'}",
        '\ufeff{"id":1,"method":"m"}',
        '{"id":1,"method":"a\\ud800"}',
        '{"id":1,"method":"m","params":{"\\udfff":1}}',
        '{"id":1,"method":"a\nb"}',
        '{"result":1}',
        '{"error":{"code":1,"message":"m"}}',
        '{"id":1,"error":{"code":1.5,"message":"m"}}',
        '{"id":1,"error":{"code":1}}',
        '{"id":1,"error":"no"}',
        '{"id":1,"method":"m","trace":5}',
        '{"id":1,"method":"m","trace":{"traceparent":5}}',
        '{"id":1,"method":"m","trace":["p","s","more"]}',
        '{"id":1,"method":"m","trace":[5]}',
        '[{"id":1,"method":"m"}]',
    ],
)
def test_what_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"id":1,"method":"m"}',
        '{"id":1,"method":"m","params":{"a":1,"a":1}}',
        '{"id":1,"method":"m","x":[{"deep":{"k":1,"k":2}}]}',
        '{"id":1,"method":"m","params":{},"\\u0070arams":{}}',
    ],
)
def test_a_duplicate_key_is_malformed_at_any_depth(text: str) -> None:
    with pytest.raises(MalformedMessageError, match="duplicate"):
        decode(text)


_PIECES = [
    *('"a"', '"b"', '"a":', '"b":', '"":', '":"', '":a"', '"x:y"', '"\\u0061":', '"\\"":'),
    *("{", "}", "[", "]", ",", ":", " ", "\n", "1", "null", '"method":"m"', '"id":1', "1e999"),
]


def _outcome(text: str) -> Any:
    try:
        return decode(text)
    except MalformedMessageError:
        return "malformed"


@given(st.lists(st.sampled_from(_PIECES), max_size=14), st.booleans())
@example(['"a":', "1", ",", '"a"', " :", "2"], True)
@example(['"a":', "{", '"b":', "1", ",", '"b":', "1", "}"], True)
@example(['"a":', '":"'], True)
def test_blanks_around_a_text_change_nothing(pieces: list[str], is_member: bool) -> None:
    """Texts without them are read in a quicker way."""
    inner = "".join(pieces)
    text = f'{{"id":1,"method":"m",{inner}}}' if is_member else inner
    assert _outcome(text) == _outcome(f" {text}") == _outcome(f"{text}\r\n\t ")


@given(json_values)
def test_what_any_encoder_writes_is_read_alike(value: Any) -> None:
    members = {"id": 1, "method": "m", "params": value}
    texts = [json.dumps(members), json.dumps(members, ensure_ascii=False, indent=1)]
    texts.append(json.dumps(members, separators=(" ,", " : ")))
    assert {repr(decode(text)) for text in texts} == {repr(Request(1, "m", value))}


def test_bytes_that_are_no_utf_8_are_malformed() -> None:
    with pytest.raises(MalformedMessageError, match="UTF-8"):
        decode(b'{"id":1,"method":"\xff"}')


def test_a_bad_trace_of_a_notification_is_dropped() -> None:
    assert decode('{"method":"m","trace":5}') == Notification("m")


def test_a_trace_may_be_absent_null_or_partial() -> None:
    for trace, expected in (
        ("null", None),
        ("{}", Trace()),
        ('{"traceparent":"p","tracestate":null,"x":1}', Trace("p")),
        ("[]", Trace()),
        ('["p"]', Trace("p")),
        ('["p","s"]', Trace("p", "s")),
    ):
        message = decode(f'{{"id":1,"method":"m","trace":{trace}}}')
        assert isinstance(message, Request)
        assert message.trace == expected


def _nested(depth: int) -> str:
    return '{"id":1,"method":"m","x":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_the_limit_of_nesting_is_exact() -> None:
    decode(_nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 2000, 200_000):
        with pytest.raises(MalformedMessageError, match="deeper"):
            decode(_nested(depth))


def test_the_limit_of_values_is_exact() -> None:
    def message(values: int) -> str:  # root, id, method and the array count as well
        return '{"id":1,"method":"m","x":[' + ",".join(["1"] * (values - 4)) + "]}"

    decode(message(MAX_VALUES))
    with pytest.raises(MalformedMessageError, match="values"):
        decode(message(MAX_VALUES + 1))


def test_commas_and_brackets_inside_strings_do_not_count() -> None:
    decode(json.dumps({"id": 1, "method": "m", "x": '[{,"\\' * MAX_VALUES}))


def test_hostile_text_is_refused_in_good_time() -> None:
    started = time.process_time()
    for text in ('"' + "\\" * 5_000_001, "[" * 5_000_000, '{"a":[' + "[]," * 2_000_000):
        with pytest.raises(MalformedMessageError):
            decode(text)
    assert time.process_time() - started < 20


def test_an_error_becomes_the_exception_of_its_code() -> None:
    error = ErrorData(-32004, "gone", {"x": 1}).to_exception()
    assert type(error) is NotFoundError
    assert (error.code, error.message, error.data) == (-32004, "gone", {"x": 1})
    assert type(ErrorData(5, "odd").to_exception()) is RpcError


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ('"' + "a" * REQUEST_MAX_TEXT_BYTES + '"', "bytes, apart from"),
        ("[" + '"",' * REQUEST_MAX_VALUES + '""]', "JSON values"),
        ("[" + '"\\"",' * REQUEST_MAX_VALUES + '""]', "JSON values"),
        ("{" + ",".join(f'"{n}":""' for n in range(REQUEST_MAX_MEMBERS + 1)) + "}", "JSON members"),
        ("[" + "[]," * REQUEST_MAX_CONTAINERS + "[]]", "arrays and objects"),
        ("[" + "99," * 140_000 + "9]", "bytes of numbers"),
        ("[" + "1.5e300," * 60_000 + "1]", "bytes of numbers"),
        ("[" * 127 + "]" * 127, "nested deeper"),
    ],
)
def test_a_request_that_takes_long_to_parse_is_refused(params: str, problem: str) -> None:
    text = f'{{"id":1,"method":"m","params":{params}}}'
    with pytest.raises(MalformedMessageError, match=problem):
        decode_from_client(text)


@pytest.mark.parametrize(
    "params",
    [
        [*("x" for _ in range(REQUEST_MAX_VALUES - 10))],
        [*('\\",:[{' for _ in range(50_000))],
        {f"A{n}": "\\\\" for n in range(REQUEST_MAX_MEMBERS - 10)},
        ["[{,:" * 100_000],
    ],
)
def test_what_requests_need_is_decoded_like_anything_else(params: object) -> None:
    text = json.dumps({"id": 1, "method": "m", "params": params})
    assert decode_from_client(text) == decode(text)


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ('{"id":12,"method', 12),
        (' { "id" : "a b" , "x', "a b"),
        ('{"method":"x","id":1', MALFORMED_ID),
        ('{"id":1e5,', MALFORMED_ID),
        ("", MALFORMED_ID),
    ],
)
def test_an_id_is_found_where_requests_begin(start: str, found: object) -> None:
    assert id_of_start(start) == found
