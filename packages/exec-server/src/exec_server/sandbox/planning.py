"""Entry points for the rest of the server: the plan of a request."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from . import interpreter
from .bubblewrap import hold_bubblewrap
from .guarded import Guarded, own
from .lookup import Lookup
from .plan import Plan, make_plan
from .rules import Access, Confinement, Rules, derive
from .secret_files import secret_files, trusted_files

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["NO_SANDBOX", "plan_for_files", "plan_for_process"]

NO_SANDBOX: Final = Plan(Confinement.NONE, "enabled")
"""The plan of every request that is not confined."""


def plan_for_files(
    context: SandboxContext | None,
    *,
    tmpdir: bytes | None,
    helper_files: Sequence[bytes],
    unchanged: Callable[[Lookup], None] | None = None,
) -> Plan:
    """Return how to launch a worker that may carry out a file request. May block.

    Args:
        context: The request's; ``None`` for none.
        tmpdir: ``TMPDIR`` of the worker; ``None`` when unset.
        helper_files: Files and folders that the worker needs to start, absolute.
        unchanged: See ``make_plan``.

    Raises:
        SandboxError: The policy cannot be enforced.
    """
    if context is None:
        return NO_SANDBOX
    rules = derive(context, purpose="worker", tmpdir=tmpdir)
    if rules.confinement is not Confinement.FULL:
        return NO_SANDBOX
    _hide_packages(rules)
    _hide_secrets(rules)
    return make_plan(rules, readable=helper_files, guarded=_guarded(), unchanged=unchanged)


def plan_for_process(
    context: SandboxContext,
    *,
    cwd: bytes,
    env: Mapping[bytes, bytes],
    staged: bool = False,
) -> Plan:
    """Return how to launch a command. May block.

    Args:
        context: The request's.
        cwd: The command's working directory, absolute.
        env: Its environment.
        staged: The interpreter runs inside first; see ``stage``.

    Raises:
        SandboxError: The policy cannot be enforced.
    """
    rules = derive(context, purpose="process", process_cwd=cwd, tmpdir=env.get(b"TMPDIR"))
    if rules.confinement is Confinement.NONE:
        return NO_SANDBOX
    _hide_secrets(rules)
    if rules.confinement is not Confinement.FULL:
        return make_plan(rules, guarded=_guarded())
    readable: tuple[bytes, ...] = ()
    if staged and b"/" not in rules.paths:
        readable = interpreter.own_files()
        _hide_packages(rules)
    return make_plan(rules, readable=readable, guarded=_guarded())


def _guarded() -> Guarded:
    known, bubblewrap = own(), _real(hold_bubblewrap().path)
    return known._replace(
        around=(*known.around, os.path.dirname(bubblewrap)),
        places=(*known.places, *trusted_files()),
        code=(*known.code, bubblewrap),
    )


@cache
def _real(path: bytes) -> bytes:
    return os.path.realpath(path)


def _hide_secrets(rules: Rules) -> None:
    """Keep the files with the server's secrets out of sight, also of a policy that shows them."""
    rules.paths.update(dict.fromkeys(secret_files(), Access.DENY))


def _hide_packages(rules: Rules) -> None:
    """Keep what lies in the standard library's folder, and is not part of it, out of sight.

    Unless the policy shows it anyway.
    """
    for folder in interpreter.site_packages():
        above = folder
        while above != b"/" and above not in rules.paths:
            above = os.path.dirname(above)
        if above not in rules.paths:
            rules.paths[folder] = Access.DENY
