"""Which variables a child gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from exec_server.launching.environment_policy import _NEVER_EXACT, child_environment
from exec_server.withheld import EXECUTOR_TOKENS
from exec_server_protocol.process import EnvironmentPolicy
from hypothesis import assume, given
from hypothesis import strategies as st

SERVER = {
    "PATH": "/bin",
    "HOME": "/home/u",
    "TERM": "xterm",
    "API_KEY": "k",
    "Monkey": "m",
    "my_secret": "s",
    "PLAIN": "p",
}


def _policy(**changes: Any) -> EnvironmentPolicy:
    members: dict[str, Any] = {
        "inherit": "none",
        "ignore_default_excludes": True,
        "exclude": [],
        "set": {},
        "include_only": [],
    }
    return EnvironmentPolicy(**{**members, **changes})


@given(st.dictionaries(st.text(), st.text()))
def test_without_a_policy_the_environment_is_the_request_s(env: Mapping[str, str]) -> None:
    assume(not {name.upper() for name in env} & (EXECUTOR_TOKENS | _NEVER_EXACT))
    assert child_environment(env, None, SERVER) == env


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"inherit": "none"}, set()),
        ({"inherit": "core"}, {"PATH", "HOME"}),
        ({"inherit": "all"}, set(SERVER)),
        ({"inherit": "all", "ignore_default_excludes": False}, {"PATH", "HOME", "TERM", "PLAIN"}),
        ({"inherit": "all", "exclude": ["p*", "?erm"]}, {"HOME", "API_KEY", "Monkey", "my_secret"}),
        ({"inherit": "all", "exclude": ["[P]LAIN"]}, set(SERVER)),
        ({"inherit": "all", "include_only": ["pl*"], "set": {"NEW": "1"}}, {"PLAIN"}),
        ({"set": {"A_TOKEN": "t"}, "ignore_default_excludes": False}, {"A_TOKEN"}),
    ],
)
def test_the_steps_of_a_policy(changes: dict[str, Any], names: set[str]) -> None:
    assert set(child_environment({}, _policy(**changes), SERVER)) == names


def test_the_request_is_laid_over_what_the_policy_gives() -> None:
    policy = _policy(inherit="all", exclude=["*"], include_only=["NOTHING"])
    assert child_environment({"PLAIN": "mine", "T_KEY": "x"}, policy, SERVER) == {
        "PLAIN": "mine",
        "T_KEY": "x",
    }


@pytest.mark.parametrize("name", ["EXEC_SERVER_TOKEN", "exec_server_token", "NODE_REPL_AUTH_TOKEN"])
def test_credentials_of_executors_never_reach_a_child(name: str) -> None:
    policy = _policy(inherit="all", set={name: "1"})
    assert name not in child_environment({name: "1"}, policy, {name: "1"})


def test_a_pattern_of_many_stars_is_matched_in_good_time() -> None:
    policy = _policy(inherit="all", exclude=["*" * 2000 + "x"])
    assert "PATH" in child_environment({}, policy, SERVER)


TRACE = {"TRACEPARENT": "00-ours", "TRACESTATE": "a=ours"}


def test_a_child_learns_its_trace_with_and_without_a_policy() -> None:
    policy = _policy(inherit="none")
    assert child_environment({"A": "1"}, None, {}, TRACE) == {"A": "1", **TRACE}
    assert child_environment({"A": "1"}, policy, {}, TRACE) == {"A": "1", **TRACE}


def test_the_trace_replaces_that_of_the_server_whole() -> None:
    policy = _policy(inherit="all")
    server = {"TRACEPARENT": "00-server", "TRACESTATE": "b=server"}
    ours = {"TRACEPARENT": "00-ours"}
    assert child_environment({}, policy, server, ours) == ours
    assert child_environment({}, policy, server) == server


@pytest.mark.parametrize("name", ["TRACEPARENT", "TRACESTATE"])
def test_a_trace_in_the_request_wins_and_is_not_mixed(name: str) -> None:
    own = {name: "theirs"}
    policy = _policy(inherit="all", set=own)
    assert child_environment(own, None, {}, TRACE) == own
    assert child_environment({}, policy, {}, TRACE) == own


def test_a_policy_can_keep_the_trace_out() -> None:
    without = _policy(inherit="all", exclude=["TRACE*"])
    only = _policy(inherit="all", include_only=["PATH"])
    for policy in (without, only):
        assert child_environment({}, policy, {"PATH": "/bin"}, TRACE) == {"PATH": "/bin"}


def test_what_the_server_shows_to_its_collector_is_not_inherited() -> None:
    policy = _policy(inherit="all")
    server = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=x",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=x",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
    }
    assert child_environment({}, policy, server) == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}
    own = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=own"}
    assert child_environment(own, policy, {}) == own
