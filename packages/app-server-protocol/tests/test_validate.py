"""Full validation with pydantic: strict, and complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from app_server_protocol import _scalars
from app_server_protocol._structure import findings
from app_server_protocol.registry import CLIENT_METHODS, SERVER_NOTIFICATIONS, SERVER_REQUESTS

validation = pytest.importorskip("app_server_protocol.validate", reason="needs pydantic")


def test_a_good_value_comes_back_itself_with_what_is_unknown() -> None:
    value = {"cwd": "/srv/ws", "newer": {"x": 1}}
    assert validation.validate("ThreadStartParams", value) is value
    assert value == {"cwd": "/srv/ws", "newer": {"x": 1}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ThreadListParams", {"limit": "5"}),
        ("ThreadListParams", {"limit": 1.0}),
        ("ThreadListParams", {"limit": True}),
        ("ThreadListParams", {"limit": -1}),
        ("ThreadListParams", {"limit": 2**32}),
        ("ThreadStartParams", {"sandbox": "workspaceWrite"}),
        ("TurnStartParams", {"threadId": "t"}),
        ("ThreadStartParams", []),
    ],
)
def test_validation_is_strict(name: str, value: Any) -> None:
    with pytest.raises(validation.ValidationError):
        validation.validate(name, value)


def test_limits_of_integers_are_those_of_their_width() -> None:
    validation.validate("ThreadListParams", {"limit": 2**32 - 1})
    assert set(_scalars.SCALARS) <= set(_scalars.__all__)


def test_validators_are_built_once() -> None:
    assert validation.adapter("ThreadListParams") is validation.adapter("ThreadListParams")
    with pytest.raises(KeyError):
        validation.adapter("NoSuchType")


def test_params_are_validated_by_method() -> None:
    validation.validate_params("thread/start", {})
    validation.validate_params("memory/reset")
    validation.validate_params("account/rateLimits/read", None)
    validation.validate_params("thread/closed", {"threadId": "t"})
    for method, params in (("thread/start", None), ("thread/closed", {})):
        with pytest.raises(validation.ValidationError):
            validation.validate_params(method, params)
    for method, params in (("nope/method", {}), ("memory/reset", {})):
        with pytest.raises(KeyError):
            validation.validate_params(method, params)


def test_results_are_validated_by_method() -> None:
    validation.validate_result("fs/readFile", {"dataBase64": ""})
    validation.validate_result(
        "getAuthStatus", dict.fromkeys(("authMethod", "authToken", "requiresOpenaiAuth"))
    )
    with pytest.raises(validation.ValidationError):
        validation.validate_result("fs/readFile", {})
    with pytest.raises(KeyError):
        validation.validate_result("thread/closed", {})


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_both_checks_accept_the_smallest_value_of_every_payload(
    smallest: Callable[[Any], Any],
) -> None:
    """The types, through pydantic, and the schema, through the structure check, agree."""
    for table in (CLIENT_METHODS, SERVER_REQUESTS, SERVER_NOTIFICATIONS):
        for method in table.values():
            for name in (method.params, method.result):
                if name is not None and not method.legacy:
                    value = smallest({"$ref": f"#/definitions/{name}"})
                    assert findings(value, name) == ()
                    validation.validate(name, value)
