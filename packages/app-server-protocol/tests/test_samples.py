"""Captured messages of the real server, and of another one whose API only looks alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from app_server_protocol.inbound import Inbound, from_client, from_server
from app_server_protocol.rpc import (
    UNSET,
    MalformedMessageError,
    Message,
    Notification,
    decode,
    decode_lenient,
    encode,
)

# Text, the strict decoder's rule, what the real server took it for.
_MALFORMED: dict[str, tuple[str, Message | None]] = {
    "not json": ("json", None),
    '{"foo":1}': ("shape", None),
    "[]": ("object", None),
    '{"id":1.5,"method":"thread/list","params":{}}': ("id", Notification("thread/list", {})),
    '{"id":null,"method":"thread/list","params":{}}': ("id", Notification("thread/list", {})),
    '{"id":9223372036854775808,"method":"thread/loaded/list","params":{}}': (
        "id",
        Notification("thread/loaded/list", {}),
    ),
    '{"id":true,"method":"thread/loaded/list","params":{}}': (
        "id",
        Notification("thread/loaded/list", {}),
    ),
}

# Requests that were sent in order to be refused: where, and what is wrong.
_BAD_REQUESTS = {
    ("stdio-handshake-and-offline", 74): "wrong kind of value limit",
    ("stdio-experimental-mock-model", 420): "missing field environmentId",
    ("stdio-stable-client", 15): "unknown value sandbox",
    ("stdio-stable-client", 55): "missing field clientInfo.version",
    ("stdio-stable-client", 57): "missing field clientInfo.version",
}
# Sent without the params that are required, with paths that are not absolute, and with fields
# that the server ignores: refused, too, or not even that, but a type cannot tell.
_ODD_REQUESTS = {
    ("stdio-handshake-and-offline", 25): ("missing field",),
    ("stdio-stable-client", 42): ("unknown value path",),
    ("stdio-stable-client", 44): ("unknown value path",),
    ("stdio-stable-client", 59): ("unknown field capabilities.nope", "unknown field extra"),
}


def _view(sample: Any) -> Inbound:
    read = from_server if sample.from_server else from_client
    return read(sample.raw, lambda _id: sample.method)


def test_the_samples_are_the_ones_that_these_tests_were_written_for(samples: Sequence[Any]) -> None:
    ours = [sample for sample in samples if sample.server == "app-server"]
    assert (len(samples), len(ours), sum(sample.from_server for sample in ours)) == (317, 293, 184)


def test_every_line_of_the_server_encodes_to_the_same_bytes(ours: Sequence[Any]) -> None:
    for sample in ours:
        if sample.from_server:
            assert encode(decode(sample.raw)) == sample.raw


def test_every_line_of_a_client_encodes_to_its_compact_form(ours: Sequence[Any]) -> None:
    """Some of the clients put spaces between members; an encoder need not."""
    for sample in ours:
        if not sample.from_server and sample.kind != "malformed":
            compact = json.dumps(json.loads(sample.raw), separators=(",", ":"), ensure_ascii=False)
            assert encode(decode(sample.raw)) == compact
            assert _view(sample).raw == sample.raw


def test_malformed_text_is_refused_for_the_recorded_reason(ours: Sequence[Any]) -> None:
    found = [sample.raw for sample in ours if sample.kind == "malformed"]
    assert set(found) == set(_MALFORMED)
    for text in found:
        rule, taken_for = _MALFORMED[text]
        with pytest.raises(MalformedMessageError) as caught:
            decode(text)
        assert caught.value.rule == rule
        assert decode_lenient(text) == taken_for


def test_every_message_is_given_the_type_that_was_recorded(ours: Sequence[Any]) -> None:
    kinds = {
        "client_notification": "notification",
        "client_response": "response",
        "server_request": "request",
    }
    for sample in ours:
        view = _view(sample)
        assert view.kind == kinds.get(sample.kind, sample.kind)
        typed = sample.payload_type is not None and view.kind not in ("error", "malformed")
        if typed:
            assert view.payload_type == sample.payload_type


def test_every_payload_has_the_structure_of_its_type(ours: Sequence[Any]) -> None:
    odd = {}
    for sample in ours:
        if found := _view(sample).novelties():
            odd[sample.run, sample.seq] = tuple(map(str, found))
    assert odd == {**{key: (text,) for key, text in _BAD_REQUESTS.items()}, **_ODD_REQUESTS}


def test_every_payload_validates_but_for_five_deliberately_bad_requests(
    ours: Sequence[Any],
) -> None:
    validation = pytest.importorskip("app_server_protocol.validate", reason="needs pydantic")
    bad, good = [], 0
    for sample in ours:
        view = _view(sample)
        if view.payload_type is None or view.payload is UNSET:
            continue
        try:
            assert validation.validate(view.payload_type, view.payload) is view.payload
            good += 1
        except validation.ValidationError:
            bad.append((sample.run, sample.seq))
    assert sorted(bad) == sorted(_BAD_REQUESTS)
    assert good > 200  # nearly all samples have a typed payload


def test_messages_of_the_other_server_are_not_taken_for_ours(samples: Sequence[Any]) -> None:
    """Its API shares method names with this one, but not the types."""
    theirs = [sample for sample in samples if sample.server != "app-server"]
    assert len(theirs) == 24
    taken = []
    for sample in theirs:
        view = _view(sample)
        if view.payload_type is not None and not view.novelties():
            taken.append((sample.method, sample.kind, sample.raw))
    # A native path, which that server refuses, and a result that is the same in both.
    assert taken == [
        ("fs/readFile", "response", '{"id":"s","result":{"dataBase64":"aGVsbG8="}}'),
        (
            "fs/readFile",
            "request",
            '{"id": 5, "method": "fs/readFile", "params": {"path": "/srv/ws/a.txt"}}',
        ),
    ]
