"""What a start takes, and what it says about anything else."""

from __future__ import annotations

import dataclasses
import inspect
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from exec_client.client import Client
from exec_client.process import start_arguments
from exec_client.process.running import Order
from exec_client.process.start_arguments import RunOptions, StartOptions
from exec_server_protocol._names import SignalName
from exec_server_protocol._plain import ProcessStartParams
from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.sandbox import SandboxContext
from hypothesis import given
from hypothesis import strategies as st

PARTS: dict[str, Callable[[Any], object]] = {
    "argv": start_arguments.argv_texts,
    "env": start_arguments.env_texts,
    "cwd": start_arguments.cwd_uri,
    "inherit_env": start_arguments.environment_policy,
    "sandbox": start_arguments.sandbox_context,
    "signal": start_arguments.signal_name,
    "timeout": lambda value: start_arguments.seconds(value, "timeout"),
    "input": lambda value: start_arguments.stdin_bytes(value, "input"),
}
OF_THE_WRONG_TYPE: list[tuple[str, object]] = [
    ("argv", "ls -l"),
    ("argv", b"ls"),
    ("argv", Path("/bin/ls")),
    ("argv", None),
    ("argv", {"ls", "-l"}),
    ("argv", ["echo", 3]),
    ("argv", ["echo", None]),
    ("env", {"A": None}),
    ("env", {"A": 1}),
    ("env", {1: "a"}),
    ("env", ["A=1"]),
    ("cwd", 3),
    ("inherit_env", None),
    ("sandbox", "read-only"),
    ("signal", None),
    ("signal", True),
    ("timeout", "5"),
    ("input", 5),
]
OF_THE_WRONG_VALUE: list[tuple[str, object]] = [
    ("argv", []),
    ("argv", [""]),
    ("argv", ["a\0b"]),
    ("argv", ["echo", b"\xff"]),
    ("argv", ["echo", "\udcff"]),
    ("env", {"": "a"}),
    ("env", {"A": "\0"}),
    ("cwd", "tmp"),
    ("cwd", Path("tmp")),
    ("inherit_env", "some"),
    ("signal", "SIGTERM"),
    ("signal", 99),
    ("timeout", -1),
    ("timeout", float("nan")),
]


@pytest.mark.parametrize(
    ("grace", "wire"), [(0, None), (0.0001, 1), (1.5, 1500), (3600, 3_600_000)]
)
def test_grace_is_never_less_than_was_asked_for(grace: float, wire: int | None) -> None:
    assert start_arguments.grace_to_wire(grace) == wire


@pytest.mark.parametrize(("name", "value"), OF_THE_WRONG_TYPE)
def test_an_argument_of_the_wrong_type_is_named(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        PARTS[name](value)


@pytest.mark.parametrize(("name", "value"), OF_THE_WRONG_VALUE)
def test_an_argument_with_a_value_that_cannot_be_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
        PARTS[name](value)
    assert not type(caught.value).__module__.startswith("pydantic")


def test_a_command_line_as_one_text_is_told_what_to_pass() -> None:
    with pytest.raises(TypeError, match=r'\["sh", "-c", line\]'):
        start_arguments.argv_texts("ls -l")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("member", "value", "kind", "text"),
    [
        ("rows", 0, ValueError, r"^rows: "),
        ("rows", "a", TypeError, r"^rows: "),
        ("arg0", 3, TypeError, r"^arg0: "),
        ("output_policy", "x", ValueError, r"^output_policy: "),
        ("tty", "yes", TypeError, r"^tty: "),
        ("pipe_stdin", 3, TypeError, r"^stdin: "),
        ("argv", ["ls", 3], TypeError, r"^argv\[1\]: "),
        ("arg0", "\udcff", ValueError, r"^arg0: "),
    ],
)
def test_what_only_the_model_refuses_is_told_by_argument(
    member: str, value: object, kind: type[Exception], text: str
) -> None:
    members: dict[str, Any] = {
        "process_id": "p",
        "argv": ["ls"],
        "cwd": PathUri.parse("file:///"),
        "env": {},
        "tty": False,
        "arg0": None,
        member: value,
    }
    with pytest.raises(kind, match=text), start_arguments.arguments_named():
        ProcessStartParams(**members)


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_text_is_taken_as_it_is_also_as_bytes(words: list[str]) -> None:
    words = ["program", *words]
    assert start_arguments.argv_texts(words) == words
    assert start_arguments.argv_texts([word.encode() for word in words]) == words


def test_paths_are_taken_in_commands_and_as_folders() -> None:
    assert start_arguments.argv_texts(("ls", Path("/tmp"))) == ["ls", "/tmp"]
    assert start_arguments.cwd_uri(Path("/srv")) == start_arguments.cwd_uri("/srv")
    assert start_arguments.cwd_uri("file:///srv") == PathUri.parse("file:///srv")


@pytest.mark.parametrize("name", get_args(SignalName))
def test_each_signal_is_taken_by_name_and_by_number(name: SignalName) -> None:
    numbers = {
        "interrupt": signal.SIGINT,
        "terminate": signal.SIGTERM,
        "kill": signal.SIGKILL,
        "hangup": signal.SIGHUP,
        "quit": signal.SIGQUIT,
        "usr1": signal.SIGUSR1,
        "usr2": signal.SIGUSR2,
    }
    assert start_arguments.signal_name(name) == name
    assert start_arguments.signal_name(numbers[name]) == name
    assert start_arguments.signal_name(int(numbers[name])) == name


def test_a_policy_and_none_stay_what_they_are() -> None:
    policy = SandboxContext.read_only()
    assert start_arguments.sandbox_context(policy) is policy
    assert start_arguments.sandbox_context(None) is None
    assert start_arguments.seconds(None, "timeout") is None


def test_typed_keywords_are_those_that_the_methods_take() -> None:
    def keywords(function: Callable[..., object]) -> set[str]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}

    start = keywords(Client.start)
    assert set(get_type_hints(StartOptions)) == start
    assert {"text", "encoding"} == keywords(Client.run)  # typed apart: they decide the result
    run = {field.name for field in dataclasses.fields(Order)} - {"encoding"}
    assert set(get_type_hints(RunOptions)) == start | run
