"""A client as users write one, for a type checker: what it must accept, infer and refuse.

``mypy --strict`` runs over this file, as over all tests. A ``type: ignore`` that is not needed is
an error to it, so each of them here is a mistake that a user is told about.
"""

from __future__ import annotations

from typing import Any, assert_type

import pytest
from app_server_protocol import (
    UNSET,
    Capabilities,
    ClientInfo,
    ErrorResponse,
    InitializeParams,
    Message,
    Notification,
    Request,
    RequestId,
    Response,
    Unset,
    decode,
    encode,
    outbound,
    types,
)
from app_server_protocol.errors import InvalidParamsError
from app_server_protocol.inbound import Inbound, from_server
from app_server_protocol.registry import CLIENT_METHODS, Method


def commands_of(thread: types.Thread) -> list[str]:
    """Unions are narrowed by their tag."""
    found = []
    for turn in thread["turns"]:
        for item in turn["items"]:
            if item["type"] == "commandExecution":
                assert_type(item, types.ThreadItemCommandExecution)
                found.append(item["command"])
            elif item["type"] == "agentMessage":
                assert_type(item["text"], str)
    return found


def started(method_of: dict[RequestId, str], text: str) -> str | None:
    """A reply is typed by the method that was asked; a notification by its own."""
    view = from_server(text, method_of.get)
    assert_type(view, Inbound)
    assert_type(view.entry, Method | None)
    if view.method == "thread/start" and view.kind == "response":
        return view.payload_as(types.ThreadStartResponse)["thread"]["id"]
    if view.method == "thread/closed":
        return view.payload_as(types.ThreadClosedNotification)["threadId"]
    return None


def describe(message: Message) -> str:
    """The four classes are all there are; what is absent has a type of its own."""
    match message:
        case Request():
            assert_type(message.id, int | str)
            return message.method
        case Notification():
            assert_type(message.emitted_at_ms, int | Unset)
            if message.emitted_at_ms is not UNSET:
                assert_type(message.emitted_at_ms, int)
            return message.method
        case Response():
            return "result"
        case ErrorResponse():
            return message.error.message


def test_what_is_right_is_accepted() -> None:
    params: types.ThreadStartParams = {
        "cwd": "/srv/ws",
        "approvalPolicy": "on-request",
        "sandbox": "workspace-write",
        "config": None,
    }
    turn: types.TurnStartParams = {
        "threadId": "t",
        "input": [{"type": "text", "text": "hello", "text_elements": []}],
    }
    decision: types.CommandExecutionRequestApprovalResponse = {"decision": "decline"}
    hello = InitializeParams(ClientInfo("me", "1"), Capabilities(experimental_api=True))
    requests = [
        hello.request(0),
        outbound.request(1, "thread/start", params),
        outbound.request(2, "turn/start", turn),
    ]
    assert [describe(decode(encode(request))) for request in requests] == [
        "initialize",
        "thread/start",
        "turn/start",
    ]
    assert describe(Response(0, decision)) == "result"


def test_results_and_notifications_have_their_types() -> None:
    text = '{"method":"thread/closed","params":{"threadId":"t"}}'
    assert started({}, text) == "t"
    assert started({}, '{"method":"newer/thing"}') is None
    assert CLIENT_METHODS["thread/start"].result == "ThreadStartResponse"


def test_what_is_wrong_is_refused_by_a_type_checker() -> None:
    """At run time these are dictionaries; the outbound check finds the same mistakes."""
    unknown: types.ThreadStartParams = {"cdw": "/"}  # type: ignore[typeddict-unknown-key]
    value: types.ThreadStartParams = {"sandbox": "workspaceWrite"}  # type: ignore[typeddict-item]
    missing: types.TurnStartParams = {"threadId": "t"}  # type: ignore[typeddict-item]
    kind: types.ThreadListParams = {"limit": "5"}  # type: ignore[typeddict-item]
    wrong: list[tuple[str, Any]] = [
        ("thread/start", unknown),
        ("thread/start", value),
        ("turn/start", missing),
        ("thread/list", kind),
    ]
    for method, params in wrong:
        with pytest.raises(InvalidParamsError):
            outbound.check(method, params)
    view = from_server('{"method":"mcpServer/elicitation/request","id":0,"params":{}}')
    with pytest.raises(TypeError, match="without its own class"):
        view.payload_as(types.McpServerElicitationRequestParams)  # type: ignore[arg-type]
    thread: types.Thread = {}  # type: ignore[typeddict-item]
    with pytest.raises(KeyError):
        commands_of(thread)
    with pytest.raises(AttributeError):
        Request(1, "m").id = 2  # type: ignore[misc]
