"""Environment variables of a child, by the policy of its request. Pure.

Without a policy a child gets exactly what the request lists. With one, a selection of the
server's own environment comes first and the request's variables are laid over it.

The names, the patterns and their numbers are up to a peer. Comparing them is bounded, and still
too long for the event loop at the bound: it belongs in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

from ..errors import SpawnError
from ..wildcards import Matcher, fold, stars_and_marks
from ..withheld import EXECUTOR_TOKENS, is_withheld

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

_NEVER_EXACT: Final = frozenset({"CODEX_EXEC_SERVER_EXIT_ON_STDIN_CLOSE"})


_TRACE: Final = frozenset({"TRACEPARENT", "TRACESTATE"})
"""Belong together: one of them beside the other of another trace would be a lie."""


_PATTERNS_MAX_CHARACTERS: Final = 8192
"""Of all patterns of a list: hundreds of usual length."""
_MATCHING_MAX: Final = 1 << 28
"""Characters of names, times characters of patterns: a third of a second of a thread's time.
Twenty patterns of usual length with five thousand variables, which a machine of a large cluster
may have, are a third of it."""
_PER_CHARACTER: Final = 256
"""What each character of a name costs by itself, in characters of patterns."""


@cache
def _own_matcher(patterns: tuple[str, ...]) -> Matcher:
    return _matcher(patterns)


def _matcher(patterns: Iterable[str]) -> Matcher:
    """Return what matches names against globs: ``*`` and ``?`` only, any case."""
    return Matcher(stars_and_marks(fold(pattern)) for pattern in patterns)


def _check_time(names: Iterable[str], patterns: Iterable[str]) -> None:
    size = sum(map(len, patterns))
    if size > _PATTERNS_MAX_CHARACTERS or (
        sum(map(len, names)) * (size + _PER_CHARACTER) > _MATCHING_MAX
    ):
        raise SpawnError("envPolicy has too many patterns, or there are too many variables")


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

    Raises:
        SpawnError: Comparing the names with the patterns would take too long.
    """
    result: dict[str, str] = dict(trace or {})
    if policy is not None:
        result = _inherited(policy, server_env)
        if trace:
            result = {k: v for k, v in result.items() if k not in _TRACE} | dict(trace)
        if not policy.ignore_default_excludes:
            result = _without(result, _own_matcher(_DEFAULT_EXCLUDES))
        if policy.exclude:
            _check_time(result, policy.exclude)
            result = _without(result, _matcher(policy.exclude))
        result = _laid_over(result, policy.set)
        if policy.include_only:
            _check_time(result, policy.include_only)
            keep = _matcher(policy.include_only)
            result = {name: value for name, value in result.items() if keep.matches(fold(name))}
    result = _laid_over(result, env)
    return {
        name: value
        for name, value in result.items()
        if name.upper() not in EXECUTOR_TOKENS and name not in _NEVER_EXACT
    }


def _laid_over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    if not _TRACE.isdisjoint(above):
        below = {name: value for name, value in below.items() if name not in _TRACE}
    return {**below, **above}


def _inherited(policy: EnvironmentPolicy, server_env: Mapping[str, str]) -> dict[str, str]:
    if policy.inherit == "none":
        return {}
    if policy.inherit == "all":
        # Of the collector's headers a request may set its own; the server's are not inherited.
        return {name: value for name, value in server_env.items() if not is_withheld(name)}
    return {name: value for name, value in server_env.items() if name.upper() in _CORE}


def _without(env: Mapping[str, str], drop: Matcher) -> dict[str, str]:
    return {name: value for name, value in env.items() if not drop.matches(fold(name))}
