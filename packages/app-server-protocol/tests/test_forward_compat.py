"""Messages of a server that is newer than this package, made from captured ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from app_server_protocol.inbound import Inbound, from_client, from_server
from app_server_protocol.registry import SERVER_REQUESTS
from app_server_protocol.rpc import UNSET, decode, encode

Json = Any
Path = tuple[str | int, ...]


def _read(sample: Any, text: str) -> Inbound:
    read = from_server if sample.from_server else from_client
    return read(text, lambda _id: sample.method)


def _dump(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _payloads(sample: Any) -> tuple[str, Json, Json]:
    """Return the payload's key, the whole message and the payload."""
    message = json.loads(sample.raw)
    key = next((key for key in ("params", "result", "error") if key in message), "")
    return key, message, message.get(key)


def _walk(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))


def _replaced(value: Json, path: Path, change: Callable[[Json], Json]) -> Json:
    if not path:
        return change(value)
    head, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = _replaced(copy[head], tuple(rest), change)
    return copy


def _mutants(payload: Json, applies: Callable[[Path, Json], bool], change: Any) -> Iterator[Json]:
    for path, value in _walk(payload):
        if applies(path, value):
            yield _replaced(payload, path, change)


def _is_object(path: Path, value: Json) -> bool:
    return isinstance(value, dict)


def _is_text(path: Path, value: Json) -> bool:
    return isinstance(value, str)


def _is_tagged(path: Path, value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


_CHANGES: dict[str, tuple[Callable[[Path, Json], bool], Callable[[Json], Json]]] = {
    "a new field": (_is_object, lambda value: {**value, "newerField": {"x": None}}),
    "a new value": (_is_text, lambda value: "newerValue"),
    "a new item type": (_is_tagged, lambda value: {**value, "type": "newerType"}),
    "a field gone": (_is_object, lambda value: dict(list(value.items())[1:])),
    "null instead": (_is_text, lambda value: None),
}


@pytest.mark.parametrize("change", sorted(_CHANGES))
def test_a_changed_payload_is_passed_through(ours: Sequence[Any], change: str) -> None:
    applies, mutate = _CHANGES[change]
    count = flagged = 0
    for sample in ours:
        if sample.kind == "malformed" or not _payloads(sample)[0]:
            continue
        key, message, payload = _payloads(sample)
        if key == "error":  # it has no type, only an envelope: below
            continue
        for mutant in _mutants(payload, applies, mutate):
            text = _dump({**message, key: mutant})
            view = _read(sample, text)
            assert view.message is not None
            assert view.raw == text
            assert encode(view.message) == text
            assert view.payload == mutant
            flagged += bool(view.novelties())
            count += 1
    assert count > 100
    # Much is free text, or open, or optional; but a check that flags nothing is none.
    assert flagged > count // 20


def test_a_changed_error_is_passed_through(ours: Sequence[Any]) -> None:
    changes = [_CHANGES["a new field"], _CHANGES["a new value"]]
    count = 0
    for sample in ours:
        if sample.kind == "error":
            _, message, body = _payloads(sample)
            for applies, mutate in changes:
                for mutant in _mutants(body, applies, mutate):
                    text = _dump({**message, "error": mutant})
                    view = _read(sample, text)
                    assert (view.kind, view.raw) == ("error", text)
                    assert view.message is not None
                    assert encode(view.message) == text
                    count += 1
    assert count >= 50


def test_a_new_item_type_is_flagged_where_it_stands(ours: Sequence[Any]) -> None:
    found = 0
    for sample in ours:
        if sample.method == "item/started" and sample.kind == "notification":
            _, message, payload = _payloads(sample)
            item = {"type": "newerType", "id": "1"}
            view = _read(sample, _dump({**message, "params": {**payload, "item": item}}))
            assert [str(novelty) for novelty in view.novelties()] == ["unknown variant item"]
            assert view.is_known
            found += 1
    assert found


def test_every_notification_and_request_may_have_a_new_name(ours: Sequence[Any]) -> None:
    for sample in ours:
        if sample.from_server and sample.kind in ("notification", "server_request"):
            text = _dump({**json.loads(sample.raw), "method": "newer/method"})
            view = _read(sample, text)
            assert not view.is_known
            assert view.payload_type is None
            assert view.novelties() == ()
            assert view.message is not None
            assert encode(view.message) == text


def test_every_notification_may_have_a_new_member(ours: Sequence[Any]) -> None:
    for sample in ours:
        if sample.kind == "notification":
            text = _dump({**json.loads(sample.raw), "newer": [1]})
            assert encode(decode(text)) == text


def test_an_unknown_request_of_the_server_can_be_answered() -> None:
    view = from_server('{"method":"newer/ask","id":7,"params":{}}')
    assert encode(view.refusal()) == (
        '{"error":{"code":-32601,"message":"method not supported: newer/ask"},"id":7}'
    )
    assert view.method not in SERVER_REQUESTS
    assert view.payload == {}


def test_text_that_is_no_message_is_kept_with_the_reason() -> None:
    for data in ("nope", b"\xff"):
        view = from_server(data)
        assert view.kind == "malformed"
        assert view.problem is not None
        assert view.message is None
        assert view.payload is UNSET
        assert view.novelties() == ()
