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
) -> dict[str, str]:
    """Return the environment of a child.

    Args:
        env: Variables of the request; they win over everything.
        policy: What to take from the server; ``None`` takes nothing.
        server_env: The server's own environment.
    """
    result: dict[str, str] = {}
    if policy is not None:
        result = _inherited(policy, server_env)
        if not policy.ignore_default_excludes:
            result = _without(result, _DEFAULT_EXCLUDES)
        result = _without(result, policy.exclude)
        result.update(policy.set)
        if policy.include_only:
            keep = _matcher(policy.include_only)
            result = {name: value for name, value in result.items() if keep.fullmatch(name)}
    result.update(env)
    return {
        name: value
        for name, value in result.items()
        if name.upper() not in _NEVER and name not in _NEVER_EXACT
    }


def _inherited(policy: EnvironmentPolicy, server_env: Mapping[str, str]) -> dict[str, str]:
    if policy.inherit == "none":
        return {}
    if policy.inherit == "all":
        return dict(server_env)
    return {name: value for name, value in server_env.items() if name.upper() in _CORE}


def _without(env: dict[str, str], patterns: Iterable[str]) -> dict[str, str]:
    drop = _matcher(patterns)
    return {name: value for name, value in env.items() if not drop.fullmatch(name)}
