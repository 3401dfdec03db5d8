"""The registry, and params that are decoded through it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from exec_server_protocol.errors import InvalidParamsError
from exec_server_protocol.methods import METHODS, NOTIFICATIONS, REQUESTS, Allowed, Direction
from exec_server_protocol.process import ProcessReadParams, ProcessStartParams

START: dict[str, Any] = {
    "processId": "p",
    "argv": ["true"],
    "cwd": "file:///",
    "env": {},
    "tty": False,
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_resolves_to_its_types(name: str) -> None:
    method = METHODS[name]
    assert method.params.__name__.endswith("Params" if method.kind == "request" else "Notification")
    assert (method.result is None) == (method.kind == "notification")


def test_requests_and_notifications_are_told_apart() -> None:
    assert {*REQUESTS, *NOTIFICATIONS} == set(METHODS)
    assert METHODS["initialize"].allowed is Allowed.BEFORE_INITIALIZE
    assert METHODS["process/output"].direction is Direction.SERVER_TO_CLIENT


def test_params_may_be_listed_by_position() -> None:
    by_name = METHODS["process/read"].decode_params({"processId": "p", "afterSeq": 3})
    assert METHODS["process/read"].decode_params(["p", 3]) == by_name
    with pytest.raises(InvalidParamsError, match="at most 5"):
        METHODS["process/read"].decode_params(["p", 3, None, None, None, None])
    with pytest.raises(InvalidParamsError, match="processId"):
        METHODS["process/read"].decode_params([])


def test_the_positions_of_a_start_are_those_of_the_wire() -> None:
    """Found by sending arrays of every length to the reference, and reading what it missed."""
    values: list[Any] = [
        "p",
        None,
        ["a"],
        "file:///",
        None,
        None,
        {},
        False,
        True,
        "x",
        None,
        False,
    ]
    decoded = METHODS["process/start"].decode_params(values)
    assert isinstance(decoded, ProcessStartParams)
    assert (decoded.argv, decoded.env, decoded.pipe_stdin, decoded.arg0) == (["a"], {}, True, "x")


@pytest.mark.parametrize("value", [None, {}])
def test_a_method_without_params_takes_nothing(value: Any) -> None:
    METHODS["environment/status"].decode_params(value)


@pytest.mark.parametrize("value", [[], {"x": 1}, 5, "", False])
def test_a_method_without_params_refuses_anything_else(value: Any) -> None:
    with pytest.raises(InvalidParamsError):
        METHODS["environment/status"].decode_params(value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"argv": "ls"}, "argv"),
        ({"argv": [1]}, "argv.0"),
        ({"env": {"A": 1}}, "env.A"),
        ({"tty": 1}, "tty"),
        ({"tty": None}, "tty"),
        ({"pipeStdin": None}, "pipeStdin"),
        ({"cwd": "/tmp"}, "cwd"),
        ({"cwd": 5}, "cwd"),
        ({"rows": 0}, "rows"),
        ({"metadata": {"threadId": "x"}}, "metadata.threadId"),
        ({"envPolicy": {"inherit": "all"}}, "envPolicy.exclude"),
        ({"outputPolicy": "other"}, "outputPolicy"),
    ],
)
def test_faults_name_the_member(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParamsError, match=named):
        METHODS["process/start"].decode_params({**START, **change})


def test_faults_never_quote_values() -> None:
    secret = "hunter2-hunter2"
    for change in ({"env": {"PASSWORD": [secret]}}, {"argv": [[secret]]}, {"tty": secret}):
        with pytest.raises(InvalidParamsError) as caught:
            METHODS["process/start"].decode_params({**START, **change})
        assert secret not in caught.value.message


def test_the_old_form_of_a_sandbox_is_refused_and_not_ignored() -> None:
    with pytest.raises(InvalidParamsError, match="sandboxPolicy"):
        METHODS["process/start"].decode_params({**START, "sandboxPolicy": {}})


def test_unknown_members_are_ignored_and_null_ones_are_absent() -> None:
    decoded = METHODS["process/start"].decode_params({**START, "future": [1], "arg0": None})
    assert decoded == METHODS["process/start"].decode_params(START)


def test_extensions_stay_out_of_the_json_when_unset() -> None:
    plain = ProcessStartParams.model_validate(START)
    assert not {"rows", "cols", "outputPolicy"} & plain.to_wire().keys()
    sized = plain.model_copy(update={"rows": 5, "output_policy": "back-pressure"})
    assert sized.to_wire()["rows"] == 5
    assert sized.to_wire()["outputPolicy"] == "back-pressure"


def test_sizes_are_unsigned_integers_of_64_bits() -> None:
    top = ProcessReadParams.model_validate({"processId": "p", "waitMs": 2**64 - 1})
    assert top.wait_ms == 2**64 - 1
    for bad in (-1, 2**64, 1.5, "1", True):
        with pytest.raises(InvalidParamsError):
            METHODS["process/read"].decode_params({"processId": "p", "waitMs": bad})


def test_the_table_alone_does_not_load_the_models() -> None:
    code = (
        "import sys, exec_server_protocol.methods; "
        "sys.exit('exec_server_protocol.filesystem' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_sent_again_after_a_lost_answer_changes_nothing_the_second_time() -> None:
    assert {method.name for method in METHODS.values() if method.repeatable} == {
        "environment/info",
        "environment/status",
        "environment/uptime",
        "fs/canonicalize",
        "fs/getMetadata",
        "fs/readDirectory",
        "fs/readFile",
        "fs/readLink",
        "fs/walk",
        "process/closeStdin",
        "process/list",
        "process/read",
        "process/resize",
    }
