"""The handshake's classes, and that they have the fields of the wire."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from app_server_protocol import (
    INITIALIZED,
    Capabilities,
    ClientInfo,
    ErrorResponse,
    InitializeParams,
    InitializeResponse,
    MalformedMessageError,
    Response,
    encode,
    types,
)
from app_server_protocol._peer import Peer
from app_server_protocol.handshake import _camel

_RESULT = {
    "userAgent": "me/0.169.0 (Debian 12.0.0; x86_64) unknown (me; 1)",
    "codexHome": "/home/u/.codex",
    "platformFamily": "unix",
    "platformOs": "linux",
}


@pytest.mark.parametrize(
    ("mine", "wire"),
    [
        (ClientInfo, types.ClientInfo),
        (Capabilities, types.InitializeCapabilities),
        (InitializeParams, types.InitializeParams),
        (InitializeResponse, types.InitializeResponse),
    ],
)
def test_the_classes_have_exactly_the_fields_of_the_wire(mine: Any, wire: Any) -> None:
    assert {_camel(part.name) for part in fields(mine)} == set(wire.__annotations__)


def test_a_request_holds_only_what_was_set() -> None:
    params = InitializeParams(ClientInfo("me", "1"), Capabilities(experimental_api=True))
    assert encode(params.request(0)) == (
        '{"id":0,"method":"initialize","params":{"clientInfo":{"name":"me","version":"1"},'
        '"capabilities":{"experimentalApi":true}}}'
    )
    assert encode(INITIALIZED) == '{"method":"initialized"}'


@pytest.mark.parametrize(
    "wire",
    [
        {"clientInfo": {"name": "me", "version": "1"}},
        {"clientInfo": {"name": "me", "version": "1", "title": None}, "capabilities": None},
        {
            "clientInfo": {"name": "me", "version": "1"},
            "capabilities": {"optOutNotificationMethods": ["a"], "extensions": {"x": 1}},
        },
    ],
)
def test_params_come_back_as_they_were(wire: dict[str, Any]) -> None:
    assert InitializeParams.from_wire(wire).to_wire() == wire


def test_capabilities_that_are_not_known_are_ignored() -> None:
    assert Capabilities.from_wire({"newer": True}) == Capabilities()


@pytest.mark.parametrize("wire", [None, [], {}, {"clientInfo": {"name": "me"}}])
def test_params_that_do_not_name_the_client_are_refused(wire: object) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        InitializeParams.from_wire(wire)
    assert caught.value.rule == "params"


_INFO = {"name": "me", "version": "1"}
_VALUES: tuple[Any, ...] = (None, True, 5, "a", [], [5], {})


@pytest.mark.parametrize(
    "wire",
    [
        {"clientInfo": {**_INFO, "title": 5}},
        {"clientInfo": _INFO, "capabilities": 5},
        {"clientInfo": _INFO, "capabilities": {"experimentalApi": "yes"}},
        {"clientInfo": _INFO, "capabilities": {"experimentalApi": None}},
        {"clientInfo": _INFO, "capabilities": {"requiredHumanApproval": None}},
        {"clientInfo": _INFO, "capabilities": {"optOutNotificationMethods": [5]}},
        {"clientInfo": _INFO, "capabilities": {"optOutNotificationMethods": "a"}},
        {"clientInfo": _INFO, "capabilities": {"extensions": []}},
    ],
)
def test_params_of_the_wrong_type_are_refused_as_by_the_server(wire: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError, match="wrong type"):
        InitializeParams.from_wire(wire)


@pytest.mark.process
@pytest.mark.slow
def test_the_server_refuses_every_member_of_the_wrong_type(codex_bin: Path) -> None:
    with Peer(codex_bin) as peer:
        for part in fields(Capabilities):
            for value in _VALUES:
                wire = {"clientInfo": _INFO, "capabilities": {_camel(part.name): value}}
                if value == [] and part.name != "opt_out_notification_methods":
                    continue  # it would read an empty array as an object
                try:
                    InitializeParams.from_wire(wire)
                except MalformedMessageError:
                    reply = peer.call("initialize", wire)
                    assert isinstance(reply, ErrorResponse)
                    assert "invalid type" in reply.error.message
        reply = peer.call("initialize", {"clientInfo": _INFO})
        assert isinstance(reply, Response)


def test_the_server_s_version_is_read_from_its_user_agent() -> None:
    response = InitializeResponse.from_wire({**_RESULT, "newer": 1})
    assert response.server_version == "0.169.0"
    assert response.to_wire() == _RESULT


def test_a_user_agent_without_a_version_has_none() -> None:
    response = InitializeResponse.from_wire({**_RESULT, "userAgent": "something else"})
    assert response.server_version is None


@pytest.mark.parametrize("missing", sorted(_RESULT))
def test_a_result_without_a_required_member_is_refused(missing: str) -> None:
    wire = {key: value for key, value in _RESULT.items() if key != missing}
    with pytest.raises(MalformedMessageError, match=missing):
        InitializeResponse.from_wire(wire)
