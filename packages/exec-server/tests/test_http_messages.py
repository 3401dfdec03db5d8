"""Params → what is sent; a response → what is answered, and what follows it."""

from __future__ import annotations

import json
import string

import pytest
from exec_server.http.answers import BodyText, body_budget, head, headers_json, whole_answer
from exec_server.http.failures import RequestFailedError
from exec_server.http.memory import BodyMemory, Held
from exec_server.http.outgoing import OutgoingRequest, prepare
from exec_server.http.redirects import next_request
from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.http import HttpHeader, HttpRequestParams, HttpRequestResult
from exec_server_protocol.limits import DEFAULT_MAX_MESSAGE_BYTES
from exec_server_protocol.rpc import encode_result
from hypothesis import given
from hypothesis import strategies as st

TOKENS = st.text(string.ascii_letters + string.digits + "-!#$%&'*+.^_`|~", min_size=1, max_size=9)
ENVIRON = {"TOKEN": "value", "NOT_UTF8": "\udcff", "EVIL": "a\r\nInjected: b"}


def prepared(url: str = "http://h/", method: str = "GET", **members: object) -> OutgoingRequest:
    params = {"method": method, "url": url, "requestId": "r", **members}
    return prepare(HttpRequestParams.model_validate(params), ENVIRON)


@given(TOKENS, st.lists(st.tuples(TOKENS, st.text(string.ascii_letters, max_size=5)), max_size=5))
def test_methods_and_headers_are_sent_as_they_are(
    method: str, headers: list[tuple[str, str]]
) -> None:
    wire = [{"name": name, "value": value} for name, value in headers]
    kept = [(n, v) for n, v in headers if n.lower() not in ("content-length", "transfer-encoding")]
    if sum(name.lower() == "host" for name, _ in headers) < 2:
        request = prepared(method=method, headers=wire)
        assert request.method == method
        sent = [(name, value.decode()) for name, value in request.complete_headers()]
        assert sent[: len(kept)] == kept


@given(st.text(max_size=40))
def test_no_value_can_end_its_line(value: str) -> None:
    try:
        request = prepared(headers=[{"name": "X", "value": value}])
    except InvalidParamsError:
        return
    assert not set(request.headers[0][1]) & {0, 10, 13, 127}


@given(st.text(max_size=60))
def test_any_url_is_parsed_or_refused(url: str) -> None:
    for text in (url, f"http://{url}", f"http://host/{url}"):
        try:
            request = prepared(text)
        except InvalidParamsError:
            continue
        assert request.url.scheme in ("http", "https")
        assert request.url.raw_path.startswith(b"/")
        assert not set(request.url.raw_path) - set(range(0x21, 0x7F))


def test_variables_are_appended_and_may_hold_what_is_no_text() -> None:
    headers = [
        {"name": "A", "value": "pre/", "valueEnvVar": "TOKEN"},
        {"name": "B", "value": "", "valueEnvVar": "NOT_UTF8"},
    ]
    assert prepared(headers=headers).headers == (("A", b"pre/value"), ("B", b"\xff"))
    for variable in ("EVIL", "UNSET", ""):
        with pytest.raises(InvalidParamsError) as caught:
            prepared(headers=[{"name": "X-A", "value": "", "valueEnvVar": variable}])
        assert "X-A" in str(caught.value)
        assert "Injected" not in str(caught.value)


def test_a_length_is_ours_to_say() -> None:
    headers = [
        HttpHeader(name="Content-Length", value="99"),
        HttpHeader(name="transfer-encoding", value="chunked"),
    ]
    wire = [header.to_wire() for header in headers]
    request = prepared(method="POST", headers=wire, bodyBase64="YWJj")
    names = [name for name, _ in request.complete_headers()]
    assert names == ["accept", "host", "content-length"]
    assert dict(request.complete_headers())["content-length"] == b"3"


def test_headers_are_grouped_in_lower_case_where_the_first_one_was() -> None:
    raw = [(b"B", b"1"), (b"a", b"2"), (b"b", b"3"), (b"X", b"\xff"), (b"T", b"\t")]
    assert json.loads(headers_json(raw)) == [
        {"name": "b", "value": "1"},
        {"name": "b", "value": "3"},
        {"name": "a", "value": "2"},
        {"name": "t", "value": "\t"},
    ]


def test_a_large_answer_is_made_in_pieces_that_take_little_time() -> None:
    body = BodyText()
    for _ in range(100):
        body.add(bytes(65_535))
    pieces = list(whole_answer(1, 200, b"[]", body))
    assert len(pieces) == 8
    assert max(map(len, pieces)) < 1_200_000
    assert json.loads(b"".join(pieces))["result"]["bodyBase64"] == "A" * (100 * 65_535 // 3 * 4)


def test_the_largest_body_just_fits_into_a_message() -> None:
    headers = headers_json([(b"x", b'"' * 500)] * 100)
    budget = body_budget(headers, DEFAULT_MAX_MESSAGE_BYTES)
    body = BodyText()
    body.add(bytes(budget))
    pieces = list(whole_answer("i" * 100, 200, headers, body))
    size = sum(map(len, pieces))
    assert DEFAULT_MAX_MESSAGE_BYTES - 1100 < size < DEFAULT_MAX_MESSAGE_BYTES - 500
    assert body_budget(headers, 10) == 0


@given(st.integers() | st.text(), st.lists(st.binary(max_size=9), max_size=9))
def test_an_answer_is_what_the_model_says(request_id: int | str, pieces: list[bytes]) -> None:
    headers = headers_json([(b"A", b"b")])
    result = HttpRequestResult(
        status=404, headers=[HttpHeader(name="a", value="b")], body_base64=b"".join(pieces)
    )
    body = BodyText()
    for piece in pieces:
        body.add(piece)
    answer = b"".join(whole_answer(request_id, 404, headers, body))
    assert answer == encode_result(request_id, result.to_json())
    assert json.loads(head(404, headers)) == {**result.to_wire(), "bodyBase64": ""}


def test_nothing_is_told_in_the_clear_about_a_secure_page() -> None:
    secure = prepared("https://h/secret?q")
    assert next_request(secure, 302, b"http://h/").headers == ()  # type: ignore[union-attr]
    followed = next_request(secure, 302, b"https://h:443/x#f")
    assert followed is not None
    assert followed.headers == (("referer", b"https://h/secret?q"),)
    assert followed.url.raw_path == b"/x"


def test_a_secret_stays_with_the_origin_that_it_was_for() -> None:
    given = [("Authorization", "Basic x"), ("Cookie", "c"), ("Host", "other"), ("A", "a")]
    headers = [
        *({"name": name, "value": value} for name, value in given),
        {"name": "X-Key", "value": "", "valueEnvVar": "TOKEN"},
    ]
    request = prepared("http://h/", headers=headers)
    for location, expected in [
        (b"/x", ["Authorization", "Cookie", "Host", "A", "X-Key"]),
        (b"http://h:81/", ["A"]),
        (b"http://other/", ["A"]),
        (b"https://h/", ["A"]),
    ]:
        followed = next_request(request, 307, location)
        assert followed is not None
        assert [name for name, _ in followed.headers if name != "referer"] == expected


@given(st.binary(max_size=30))
def test_any_location_is_followed_refused_or_the_end(location: bytes) -> None:
    request = prepared("http://h/a/b?c")
    try:
        followed = next_request(request, 307, location)
    except RequestFailedError:
        return
    if followed is not None:
        assert followed.url.scheme in ("http", "https")
        assert not set(followed.url.raw_path) - set(range(0x21, 0x7F))


def test_memory_is_refused_beyond_its_capacity_and_comes_back() -> None:
    memory = BodyMemory(10)
    one, other = Held(memory), Held(memory)
    one.take(6)
    other.take(4)
    with pytest.raises(RequestFailedError) as caught:
        other.take(1)
    assert caught.value.kind == "limit"
    other.release()
    other.release()
    one.take(4)
    assert memory.used == 10
    one.release()
    assert memory.used == 0
