"""``exec-server sandbox-check``: tries the known ways out on this machine, prints a table."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..launching.launch import prepare
from ..sandbox.bubblewrap import find_bubblewrap
from ..sandbox.errors import SandboxError, SandboxUnavailableError
from ..sandbox.interpreter import executable
from ..sandbox.planning import plan_for_process
from .escapes import NEEDS, Need, Site
from .families import FAMILIES, Family
from .target import Target, attempt, read_results

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["CANNOT_CHECK", "Outcome", "check_sandbox", "run_check"]

CANNOT_CHECK: Final = 2
"""Exit status when there is no sandbox to try."""

_SECONDS: Final = 60
"""For one sandbox with all its attempts, which take a second."""
_NAME_WIDTH: Final = 24
_FAMILY_WIDTH: Final = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one attempt under one family of policies.

    Attributes:
        family: Name of the family.
        name: Of the attempt; "seen from outside" for what no attempt reported.
        need: What the family would have to promise; ``None`` for what was seen from outside.
        escaped: It succeeded; ``None`` where it is not promised, and was not made.
        how: What it reported, or what gave it away.
    """

    family: str
    name: str
    need: Need | None
    escaped: bool | None
    how: str


def check_sandbox(family: Family) -> Iterator[Outcome]:
    """Try every way out that a family of policies promises to close, in one sandbox.

    Raises:
        SandboxError: Nothing can be confined here, or an attempt was not made.
    """
    promised = family.promised
    with Target() as target:
        site = target.site
        command = attempt(promised, site, python=os.fsdecode(executable()))
        output = _confined(command, site, family.policy(site))
        signs = target.signs()
    ended = read_results(output)
    for name, need in NEEDS.items():
        if name not in promised:
            yield Outcome(family.name, name, need, None, "")
        elif name in ended and ended[name][0] != "failed":
            verdict, how = ended[name]
            yield Outcome(family.name, name, need, verdict == "ESCAPED", how)
    for sign in signs:
        yield Outcome(family.name, "seen from outside", None, True, sign)
    for name in promised:
        if ended.get(name, ("failed",))[0] == "failed":
            said = ended[name][1] if name in ended else output.decode("utf-8", "replace")
            raise SandboxUnavailableError(f"{name} was not tried under {family.name}: {said}")


def _confined(command: list[str], site: Site, policy: SandboxContext) -> bytes:
    cwd = os.fsencode(site.root)
    env = {b"PATH": os.fsencode(os.environ.get("PATH", os.defpath))}
    plan = plan_for_process(policy, cwd=cwd, env=env)
    launch = prepare(plan, [os.fsencode(part) for part in command], env=env, cwd=cwd)
    try:
        with subprocess.Popen(
            launch.argv,
            executable=launch.executable,
            env=launch.env,
            cwd=launch.cwd,
            pass_fds=launch.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as popen:
            launch.spawned()
            try:
                launch.admit()
                output = popen.communicate(timeout=_SECONDS)[0]
            except BaseException:
                os.killpg(popen.pid, signal.SIGKILL)
                raise
        return output
    finally:
        launch.close()


def run_check(say: Callable[[str], object]) -> int:
    """Try every way out and say how it went.

    Args:
        say: Takes lines.

    Returns:
        Exit status: 0 when all were refused, 1 when one succeeded, 2 when there is no
        sandbox to try or an attempt was not made.
    """
    escaped = tried = 0
    try:
        found = find_bubblewrap()
        version = ".".join(str(part) for part in found.version) or "of unknown version"
        say(f"bubblewrap {version} at {os.fsdecode(found.path)}, as user {os.geteuid()}")
        for family in FAMILIES:
            for outcome in check_sandbox(family):
                tried += outcome.need is not None and outcome.escaped is not None
                escaped += outcome.escaped is True
                say(_row(outcome))
    except (SandboxError, subprocess.TimeoutExpired) as error:
        say(f"cannot check: {error}")
        return 1 if escaped else CANNOT_CHECK
    say(
        f"{len(NEEDS)} ways out of {len(FAMILIES)} families of policies: "
        f"{tried} attempts, {escaped} succeeded"
    )
    return 1 if escaped else 0


def _row(outcome: Outcome) -> str:
    name = outcome.name.replace("_", " ")
    start = f"{outcome.family:{_FAMILY_WIDTH}} {name:{_NAME_WIDTH}} {outcome.need or '':10}"
    if outcome.escaped is None:
        return f"{start} not promised"
    return f"{start} {'ESCAPED' if outcome.escaped else 'refused'}  {outcome.how}"
