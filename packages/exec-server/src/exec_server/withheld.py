"""Variables of the server's environment that no child gets, whatever its policy. Pure.

The one list: children inherit none of them, and no header of an ``http/request`` is filled from
one. What hands out variables in another way has to ask here as well.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXECUTOR_TOKENS", "is_withheld"]

EXECUTOR_TOKENS: Final = frozenset(
    {
        "CODEX_EXEC_SERVER_NOISE_AUTH_TOKEN",
        "NODE_REPL_AUTH_TOKEN",
        "OPENAI_FEDERATION_RULE_ID",
        "OPENAI_IDENTITY_TOKEN_FILE",
        "OPENAI_WORKLOAD_IDENTITY_CONTEXT",
        "EXEC_SERVER_TOKEN",
    }
)
"""Credentials of executors, ours and compatible ones, in upper case. No child ever sees a variable
of such a name, not even one that its own request sets."""


def is_withheld(name: str) -> bool:
    """Return whether the server keeps a variable to itself.

    These are the tokens of executors, and what the server shows to its collector:
    ``OTEL_EXPORTER_OTLP_HEADERS`` and those of each signal.

    Args:
        name: In any case.
    """
    name = name.upper()
    return name in EXECUTOR_TOKENS or (
        name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("_HEADERS")
    )
