"""Which variables a child gets. Pure.

Without a policy a child gets exactly what the request lists. With one, a selection of the
server's own environment comes first and the request's variables are laid over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exec_server_protocol.process import EnvironmentPolicy

__all__ = ["child_environment"]

_CORE: Final = frozenset(
    [
        "PATH",
        "SHELL",
        "TMPDIR",
        "TEMP",
        "TMP",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "LOGNAME",
        "USER",
    ]
)
_DEFAULT_EXCLUDES: Final = ("*KEY*", "*SECRET*", "*TOKEN*")

_NEVER: Final = frozenset(
    {
        "CODEX_EXEC_SERVER_NOISE_AUTH_TOKEN",
        "NODE_REPL_AUTH_TOKEN",
        "OPENAI_FEDERATION_RULE_ID",
        "OPENAI_IDENTITY_TOKEN_FILE",
        "OPENAI_WORKLOAD_IDENTITY_CONTEXT",
        "EXEC_SERVER_TOKEN",
    }
)
"""Credentials of executors, ours and compatible ones: no child ever sees them."""

_NEVER_EXACT: Final = frozenset({"CODEX_EXEC_SERVER_EXIT_ON_STDIN_CLOSE"})


_TRACE: Final = frozenset({"TRACEPARENT", "TRACESTATE"})
"""Belong together: one of them beside the other of another trace would be a lie."""

_COLLECTOR_CREDENTIALS: Final = "OTEL_EXPORTER_OTLP*_HEADERS"
"""What the server shows to its collector is not inherited; a request may set its own."""


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for names that match any glob: ``*`` and ``?`` only, any case."""
    globs = [
        "".join(
            ".*" if c == "*" else "." if c == "?" else re.escape(c)
            for c in re.sub(r"\*+", "*", glob)
        )
        for glob in patterns
    ]
    return re.compile("|".join(f"(?:{g})" for g in globs) or r"(?!)", re.IGNORECASE | re.DOTALL)


def child_environment(
    env: Mapping[str, str],
    policy: EnvironmentPolicy | None,
    server_env: Mapping[str, str],
    trace: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of a child.

    Args:
        env: Variables of the request; they win over everything.
        policy: What to take from the server; ``None`` takes nothing.
        server_env: The server's own environment.
        trace: Variables that tie the child to a trace. They replace what is inherited, and
            give way when the request has a trace of its own or does not want the variable.
    """
    result: dict[str, str] = dict(trace or {})
    if policy is not None:
        result = _inherited(policy, server_env)
        if trace:
            result = {k: v for k, v in result.items() if k not in _TRACE} | dict(trace)
        if not policy.ignore_default_excludes:
            result = _without(result, _DEFAULT_EXCLUDES)
        result = _without(result, policy.exclude)
        result = _laid_over(result, policy.set)
        if policy.include_only:
            keep = _matcher(policy.include_only)
            result = {name: value for name, value in result.items() if keep.fullmatch(name)}
    result = _laid_over(result, env)
    return {
        name: value
        for name, value in result.items()
        if name.upper() not in _NEVER and name not in _NEVER_EXACT
    }


def _laid_over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    if not _TRACE.isdisjoint(above):
        below = {name: value for name, value in below.items() if name not in _TRACE}
    return {**below, **above}


def _inherited(policy: EnvironmentPolicy, server_env: Mapping[str, str]) -> dict[str, str]:
    if policy.inherit == "none":
        return {}
    if policy.inherit == "all":
        return _without(server_env, (_COLLECTOR_CREDENTIALS,))
    return {name: value for name, value in server_env.items() if name.upper() in _CORE}


def _without(env: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    drop = _matcher(patterns)
    return {name: value for name, value in env.items() if not drop.fullmatch(name)}
