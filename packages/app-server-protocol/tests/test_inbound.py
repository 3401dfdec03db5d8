"""Views of what came in."""

from __future__ import annotations

import pytest
from app_server_protocol import types
from app_server_protocol.inbound import from_client, from_server
from app_server_protocol.rpc import UNSET, Notification, Request


def test_a_notification_has_its_type() -> None:
    text = '{"method":"thread/closed","params":{"threadId":"t"},"emittedAtMs":5}'
    view = from_server(text)
    assert (view.kind, view.payload_type) == ("notification", "ThreadClosedNotification")
    assert view.message == Notification("thread/closed", {"threadId": "t"}, 5)
    assert view.payload_as(types.ThreadClosedNotification)["threadId"] == "t"
    assert view.novelties() == ()


def test_a_payload_is_not_handed_out_under_another_type() -> None:
    view = from_server('{"method":"thread/closed","params":{"threadId":"t"}}')
    with pytest.raises(TypeError, match="ThreadClosedNotification, not ThreadStartedNotification"):
        view.payload_as(types.ThreadStartedNotification)


def test_a_reply_is_typed_by_the_request_that_it_answers() -> None:
    methods = {1: "fs/readFile"}
    text = '{"id":1,"result":{"dataBase64":""}}'
    assert from_server(text, methods.get).payload_type == "FsReadFileResponse"  # type: ignore[arg-type]  # only integer ids here
    assert from_server(text).payload_type is None
    assert from_server(text).method is None


def test_a_reply_to_the_server_is_typed_as_well() -> None:
    text = '{"id":0,"result":{"decision":"decline"}}'
    view = from_client(text, lambda _id: "item/commandExecution/requestApproval")
    assert view.payload_type == "CommandExecutionRequestApprovalResponse"
    assert view.novelties() == ()


def test_an_error_has_no_type_and_its_data_as_payload() -> None:
    view = from_server('{"error":{"code":1,"data":{"k":1},"message":""},"id":1}', lambda _id: "x")
    assert (view.kind, view.payload_type, view.payload) == ("error", None, {"k": 1})


def test_direction_decides_what_a_method_is() -> None:
    """``process/exited`` is announced by the server only."""
    text = '{"method":"process/exited","params":{}}'
    assert from_server(text).is_known
    assert not from_client(text).is_known


def test_params_may_be_absent_where_the_method_allows_it() -> None:
    assert from_client('{"id":1,"method":"account/rateLimits/read"}').novelties() == ()
    assert from_client('{"id":1,"method":"memory/reset","params":null}').novelties() == ()
    (missing,) = from_client('{"id":1,"method":"thread/loaded/list"}').novelties()
    assert str(missing) == "missing field"


def test_novelties_name_their_places() -> None:
    view = from_client(
        '{"id":1,"method":"thread/start","params":{"cwd":5,"sandbox":"workspaceWrite",'
        '"approvalPolicy":{"granular":{"rules":true,"sandbox_approval":1}},"typo":1}}'
    )
    assert [str(found) for found in view.novelties()] == [
        "wrong kind of value cwd",
        "unknown value sandbox",
        "missing field approvalPolicy.granular.mcp_elicitations",
        "wrong kind of value approvalPolicy.granular.sandbox_approval",
        "unknown field typo",
    ]


def test_novelties_are_bounded() -> None:
    fields = ",".join(f'"f{number}":1' for number in range(1000))
    view = from_client(f'{{"id":1,"method":"thread/start","params":{{{fields}}}}}')
    assert len(view.novelties()) == 100


def test_only_a_request_can_be_refused() -> None:
    with pytest.raises(TypeError):
        from_server('{"method":"thread/closed"}').refusal()
    refusal = from_client('{"id":"a","method":"x"}').refusal("not today")
    assert (refusal.id, refusal.error.message) == ("a", "not today")


def test_a_request_without_params_has_none() -> None:
    view = from_client('{"id":1,"method":"memory/reset"}')
    assert view.message == Request(1, "memory/reset")
    assert view.payload is UNSET
