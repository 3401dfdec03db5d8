"""W3C trace context as text: reading what a peer sent, writing what a child gets. Pure.

Source: W3C Trace Context, level 1. A ``traceparent`` of a later version is read as far as
this one goes. A ``tracestate`` that is not well-formed is dropped and the rest is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Carrier", "environment", "parse"]

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_TRACEPARENT_CHARACTERS: Final = 256
"""55 in this version; a later one may add to it."""

_MAX_TRACESTATE_CHARACTERS: Final = 512
"""What the specification asks everybody to pass on; anything longer is dropped."""
_MAX_MEMBERS: Final = 32
_MEMBER: Final = re.compile(
    r"((?:[a-z][a-z0-9_\-*/]{0,255})|(?:[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}))"
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)

_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Carrier:
    """A span somewhere else.

    Attributes:
        trace_id: 128 bits, not 0.
        span_id: 64 bits, not 0.
        sampled: Whether spans of this trace are recorded.
        state: Members of ``tracestate``, in their order.
    """

    trace_id: int
    span_id: int
    sampled: bool
    state: tuple[tuple[str, str], ...] = ()


def parse(traceparent: str | None, tracestate: str | None) -> Carrier | None:
    """Return what two texts of a peer mean, or ``None`` when that is nothing."""
    if traceparent is None or len(traceparent) > _MAX_TRACEPARENT_CHARACTERS:
        return None
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    sampled = bool(int(flags, 16) & _SAMPLED)
    return Carrier(int(trace_id, 16), int(span_id, 16), sampled, _parse_state(tracestate or ""))


def _parse_state(text: str) -> tuple[tuple[str, str], ...]:
    if len(text) > _MAX_TRACESTATE_CHARACTERS:
        return ()
    members: dict[str, str] = {}
    for part in text.split(","):
        member = part.strip(" \t")
        if not member:
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in members or len(members) == _MAX_MEMBERS:
            return ()
        members[match[1]] = match[2]
    return tuple(members.items())


def environment(carrier: Carrier) -> dict[str, str]:
    """Return the variables that make a span the parent of what a child does."""
    flags = _SAMPLED if carrier.sampled else 0
    variables = {"TRACEPARENT": f"00-{carrier.trace_id:032x}-{carrier.span_id:016x}-{flags:02x}"}
    if carrier.state:
        variables["TRACESTATE"] = ",".join(f"{key}={value}" for key, value in carrier.state)
    return variables
