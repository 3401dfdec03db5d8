"""Envelopes: what is refused and why, what the lenient decoder makes of it, round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest
from app_server_protocol.rpc import (
    MAX_INTEGER_ID,
    MIN_INTEGER_ID,
    UNSET,
    ErrorData,
    ErrorResponse,
    MalformedMessageError,
    Message,
    Notification,
    Request,
    Response,
    Trace,
    decode,
    decode_lenient,
    encode,
)
from hypothesis import given
from hypothesis import strategies as st

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc\u00e9\u2603"), inner),
    max_leaves=10,
)
_IDS = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(
    MIN_INTEGER_ID, MAX_INTEGER_ID
)
_TEXTS = st.none() | st.just(UNSET) | st.text("0123456789abcdef-")
_PARAMS = st.just(UNSET) | _JSON
_MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Request,
        _IDS,
        st.text("abc/"),
        _PARAMS,
        st.none() | st.just(UNSET) | st.builds(Trace, _TEXTS, _TEXTS),
    ),
    st.builds(
        Notification,
        st.text("abc/"),
        _PARAMS,
        st.just(UNSET) | st.integers(),
        st.dictionaries(st.sampled_from(["newer", "newest"]), _JSON),
    ),
    st.builds(Response, _IDS, _JSON),
    st.builds(
        ErrorResponse,
        st.builds(
            ErrorData,
            st.integers(-9, 9),
            st.text("ab"),
            _PARAMS,
            st.dictionaries(st.sampled_from(["newer", "newest"]), _JSON),
        ),
        _IDS,
    ),
)


@given(_MESSAGES)
def test_what_is_encoded_decodes_to_the_same_message(message: Message) -> None:
    text = encode(message)
    assert "\n" not in text
    again = decode(text)
    assert again == message
    assert encode(again) == text
    assert decode(text.encode()) == message


@given(st.text() | st.binary())
def test_whatever_comes_in_is_a_message_or_malformed(data: str | bytes) -> None:
    rule = ""
    try:
        decode(data)
    except MalformedMessageError as error:
        rule = error.rule
    if rule:
        assert decode_lenient(data) is None or rule in ("id", "method", "trace")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b'{"method":"\xff"}', "utf-8"),
        ("not json", "json"),
        ('{"id":NaN,"method":"a"}', "json"),
        ('{"id":' + "9" * 5000 + ',"method":"a"}', "id"),
        ('{"method":"\\ud800"}', "surrogate"),
        ("[" * 200_000, "depth"),
        ("[]", "object"),
        ('{"id":1.5,"method":"a"}', "id"),
        ('{"id":1.0,"method":"a"}', "id"),
        ('{"id":true,"method":"a"}', "id"),
        ('{"id":null,"method":"a"}', "id"),
        (f'{{"id":{MAX_INTEGER_ID + 1},"method":"a"}}', "id"),
        (f'{{"id":{MIN_INTEGER_ID - 1},"method":"a"}}', "id"),
        ('{"result":1}', "id"),
        ('{"method":1}', "method"),
        ('{"id":1,"method":null}', "method"),
        ('{"id":1,"method":"a","trace":1}', "trace"),
        ('{"id":1,"method":"a","trace":{"traceparent":5}}', "trace"),
        ('{"id":1,"error":1}', "error"),
        ('{"id":1,"error":{"code":true,"message":"m"}}', "error"),
        ('{"id":1,"error":{"code":1}}', "error"),
        ('{"foo":1}', "shape"),
        ('{"id":1}', "shape"),
    ],
)
def test_the_strict_decoder_says_which_rule_was_broken(text: str | bytes, rule: str) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        decode(text)
    assert caught.value.rule == rule


@pytest.mark.parametrize("bad_id", ["1.5", "true", "null", "[]", str(2**63)])
def test_the_lenient_decoder_takes_a_request_with_a_bad_id_for_a_notification(bad_id: str) -> None:
    taken = decode_lenient(f'{{"id":{bad_id},"method":"thread/list","params":{{}}}}')
    assert taken == Notification("thread/list", {})


def test_the_lenient_decoder_takes_a_request_with_a_bad_trace_for_a_notification() -> None:
    taken = decode_lenient('{"id":1,"method":"a","trace":{"traceparent":5}}')
    assert taken == Notification("a")


def test_the_lenient_decoder_falls_through_to_a_reply() -> None:
    assert decode_lenient('{"id":1,"method":5,"result":2}') == Response(1, 2)
    assert decode_lenient('{"id":true,"result":2}') is None
    assert decode_lenient('{"id":1,"error":{"code":1,"message":"m"}}') == ErrorResponse(
        ErrorData(1, "m"), 1
    )


def _nested(levels: int) -> str:
    return '{"id":1,"method":"a","params":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


@pytest.mark.parametrize(
    "text",
    [
        *("not json", "[]", '{"foo":1}', '{"id":1}', "", "5", "null", '[1,"a",{},null,5]'),
        *('{"method":"a","method":"a"}', '{"id":1,"method":"a","params":{},"params":{}}'),
        *('{"id":1,"error":[1,"m"]}', '{"id":1,"error":null}', '{"id":1,"error":"m"}'),
        *('{"id":1,"id":1,"result":2}', _nested(128)),
    ],
)
def test_the_lenient_decoder_drops_what_fits_no_shape(text: str) -> None:
    assert decode_lenient(text) is None


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('[1,"a"]', Request(1, "a")),
        ('[1,"a",{},["p",null]]', Request(1, "a", {}, Trace("p", None))),
        ('{"id":1,"method":"a","trace":[]}', Request(1, "a", trace=Trace())),
        ('{"id":1,"method":"a","trace":["p","s",5]}', Notification("a")),
        ('["a",{}]', Notification("a", {})),
        ("[1,2]", Response(1, 2)),
        ('[[1,null,"m"],5]', ErrorResponse(ErrorData(1, "m", None), 5)),
        ('{"id":1,"id":1,"method":"a"}', Notification("a")),
        ('{"id":1,"method":"a","trace":{"traceparent":"p","traceparent":"p"}}', Notification("a")),
        ('{"id":1,"method":"a","x":1,"x":2,"params":{"k":1,"k":2}}', Request(1, "a", {"k": 2})),
    ],
)
def test_the_lenient_decoder_reads_arrays_and_repeated_members_like_the_server(
    text: str, taken: Message
) -> None:
    assert decode_lenient(text) == taken


def test_the_lenient_decoder_reads_as_deep_as_the_server() -> None:
    assert isinstance(decode_lenient(_nested(127)), Request)


def test_an_integer_of_any_length_is_a_number() -> None:
    message = decode('{"id":1,"method":"a","params":' + "9" * 5000 + "}")
    assert message == Request(1, "a", float("inf"))


@pytest.mark.parametrize("request_id", ["", "x", 0, -5, MAX_INTEGER_ID, MIN_INTEGER_ID])
def test_ids_come_back_unchanged(request_id: int | str) -> None:
    message = decode(json.dumps({"id": request_id, "method": "a"}))
    assert isinstance(message, Request)
    assert message.id == request_id
    assert type(message.id) is type(request_id)


@pytest.mark.parametrize("request_id", [True, 1.0, None, 2**63, -(2**63) - 1])
def test_a_message_cannot_be_made_with_an_unusable_id(request_id: Any) -> None:
    for make in (
        lambda: Request(request_id, "a"),
        lambda: Response(request_id, None),
        lambda: ErrorResponse(ErrorData(1, "m"), request_id),
    ):
        with pytest.raises(ValueError, match="request id"):
            make()


def test_a_message_with_a_method_an_id_and_a_result_is_a_request() -> None:
    assert decode('{"id":1,"method":"a","params":{},"result":3}') == Request(1, "a", {})


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"method":"a"}',
        '{"id":1,"method":"a","params":null}',
        '{"method":"a","id":1,"params":{"b":null,"a":1}}',
        '{"id":1,"method":"a","trace":null}',
        '{"id":1,"method":"a","trace":{}}',
        '{"id":1,"method":"a","trace":{"traceparent":"00-1","tracestate":null}}',
        '{"method":"a","params":{},"emittedAtMs":5}',
        '{"emittedAtMs":5,"method":"a"}',
        '{"method":"a","newer":{"x":[1]},"emittedAtMs":"soon"}',
        '{"method":"a","trace":{"traceparent":"p"},"result":1}',
        '{"id":"","result":null}',
        '{"error":{"code":-32600,"data":{"k":1},"message":"m\u00e9"},"id":1}',
        '{"error":{"code":1,"data":null,"message":""},"id":1}',
        '{"id":1,"error":{"code":1,"message":""}}',
        '{"id":1,"error":{"newer":[null],"message":"m","code":1,"data":2}}',
    ],
)
def test_absent_and_null_and_the_order_of_members_survive(text: str) -> None:
    assert encode(decode(text)) == text


def test_extra_members_cannot_replace_the_envelope_s_own() -> None:
    message = Notification("a", 1, extra={"method": "b", "newer": 2})
    assert encode(message) == '{"method":"a","params":1,"newer":2}'
    error = ErrorData(1, "m", extra={"code": 2})
    assert encode(ErrorResponse(error, 1)) == '{"error":{"code":1,"message":"m"},"id":1}'


def test_unknown_members_survive_on_a_notification_only() -> None:
    assert decode('{"method":"a","newer":1}') == Notification("a", extra={"newer": 1})
    assert encode(decode('{"id":1,"method":"a","jsonrpc":"2.0"}')) == '{"id":1,"method":"a"}'
    assert encode(decode('{"id":1,"result":2,"newer":1}')) == '{"id":1,"result":2}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_no_json_text_can_hold_is_not_encoded(value: object) -> None:
    with pytest.raises(ValueError):  # json's own
        encode(Notification("a", [value]))


def test_unset_is_false_and_says_what_it_is() -> None:
    assert not UNSET
    assert repr(UNSET) == "UNSET"
