"""Kinds of plans and errors for the metrics: never paths or texts. Pure."""

from __future__ import annotations

from typing import Final

from exec_server_protocol.errors import RpcError

from ..sandbox.plan import Plan
from ..sandbox.rules import Confinement

__all__ = ["launch_kind", "was_denied"]

_DENIALS: Final = ("(os error 1)", "(os error 13)", "(os error 30)")
"""EPERM, EACCES, EROFS: what a system call inside a sandbox says of what the policy forbids."""


def launch_kind(plan: Plan) -> str:
    """Return how a worker with this plan is launched, in the words of the metrics."""
    return "direct" if plan.confinement is Confinement.NONE else "sandboxed"


def was_denied(plan: Plan, error: BaseException | None) -> bool:
    """Whether an error of a confined worker looks like its policy's doing.

    Without the policy the file's owner or mode may have said the same; nobody can tell.
    """
    if not isinstance(error, RpcError) or plan.confinement is Confinement.NONE:
        return False
    return error.message.endswith(_DENIALS)
