"""Names that ``process/*`` and its users have in common. Light: no pydantic."""

from __future__ import annotations

from typing import Literal, NewType

__all__ = [
    "OutputPolicy",
    "OutputStream",
    "ProcessId",
    "SandboxType",
    "SessionId",
    "SignalName",
    "StdinStatus",
]


OutputStream = Literal["stdout", "stderr", "pty"]
SandboxType = Literal["none", "linuxSeccomp", "macosSeatbelt", "windowsRestrictedToken"]
StdinStatus = Literal["accepted", "unknownProcess", "stdinClosed", "starting"]
OutputPolicy = Literal["drop-oldest", "back-pressure"]
SignalName = Literal["interrupt", "terminate", "kill", "hangup", "quit", "usr1", "usr2"]

ProcessId = NewType("ProcessId", str)
"""Name of a process, chosen by the client, unique in a session. Never the OS pid.

Any string goes: empty, with any characters; in requests, with ``NAME_MAX_CHARACTERS`` of them.
"""

SessionId = NewType("SessionId", str)
"""Name of a session: a lower-case, hyphenated UUID version 4, made by the server."""
