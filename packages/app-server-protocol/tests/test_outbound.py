"""Requests are checked before they are sent."""

from __future__ import annotations

from typing import Any

import pytest
from app_server_protocol.errors import (
    ExperimentalApiError,
    InvalidParamsError,
    UnknownMethodError,
)
from app_server_protocol.outbound import check, request
from app_server_protocol.rpc import UNSET, Request


def test_a_good_request_is_made() -> None:
    made = request(1, "thread/start", {"cwd": "/srv/ws", "sandbox": "workspace-write"})
    assert made == Request(1, "thread/start", {"cwd": "/srv/ws", "sandbox": "workspace-write"})


@pytest.mark.parametrize(
    ("method", "params", "problem"),
    [
        ("thread/start", {"cwdd": "/"}, "unknown field cwdd"),
        ("thread/start", {"sandbox": "workspaceWrite"}, "unknown value sandbox"),
        ("thread/start", {"approvalPolicy": {"granul": {}}}, "unknown variant approvalPolicy"),
        ("turn/start", {"threadId": "t"}, "missing field input"),
        ("turn/start", {"threadId": "t", "input": [{"type": "txt"}]}, "unknown variant input[0]"),
        ("thread/list", {"limit": True}, "wrong kind of value limit"),
        ("thread/list", {"limit": 1.0}, "wrong kind of value limit"),
        ("fs/readFile", {"path": "a.txt"}, "unknown value path"),
        ("fs/readFile", {"path": "file:///a.txt"}, "unknown value path"),
        ("thread/loaded/list", UNSET, "params are required, even when empty"),
        ("thread/loaded/list", None, "params are required, even when empty"),
        ("thread/list", [], "params are no object"),
        ("memory/reset", {}, "takes no params"),
    ],
)
def test_bad_params_are_refused_with_their_place(method: str, params: Any, problem: str) -> None:
    with pytest.raises(InvalidParamsError) as caught:
        check(method, params, experimental_api=True)
    assert caught.value.problems == (problem,)
    assert caught.value.method == method


def test_values_are_not_quoted_in_the_error() -> None:
    with pytest.raises(InvalidParamsError) as caught:
        check("thread/start", {"sandbox": "a secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("params", [UNSET, None])
def test_params_may_be_left_out_where_the_method_allows_it(params: Any) -> None:
    check("account/logout", params)
    check("account/rateLimits/read", params)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UnknownMethodError, match="nope/method"):
        check("nope/method", {})


def test_what_needs_the_capability_is_refused_without_it() -> None:
    check("thread/start", {"environments": []}, experimental_api=True)
    with pytest.raises(ExperimentalApiError) as caught:
        check("thread/start", {"environments": []})
    assert caught.value.descriptor == "thread/start.environments"
    assert str(caught.value) == "thread/start.environments requires experimentalApi capability"


def test_methods_of_the_first_api_may_be_called() -> None:
    assert request(1, "gitDiffToRemote", {"cwd": "/"}).method == "gitDiffToRemote"
