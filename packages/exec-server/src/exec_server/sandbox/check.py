"""``exec-server sandbox-check``: tries the known ways out on this machine, prints a table."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from exec_server_protocol.path_uri import PathUri
from exec_server_protocol.sandbox import SandboxContext

from .bubblewrap import find_bubblewrap
from .errors import SandboxError, SandboxUnavailableError
from .escapes import ESCAPED, PROBES, Site
from .facade import plan_for_process
from .launch import prepare
from .target import Target, attempt

__all__ = ["CANNOT_CHECK", "Outcome", "check_sandbox", "policy", "run_check"]

CANNOT_CHECK: Final = 2
"""Exit status when there is no sandbox to try."""

_SECONDS: Final = 30
"""For one attempt; each ends itself before."""
_NAME_WIDTH: Final = 26


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    Attributes:
        name: Of the attempt.
        escaped: It succeeded.
        how: What it reported, or what gave it away.
    """

    name: str
    escaped: bool
    how: str


def policy(site: Site) -> SandboxContext:
    """Return the policy to escape from: all can be read but two things, one folder written."""

    def entry(place: dict[str, object], access: str) -> dict[str, object]:
        return {"path": place, "access": access}

    def path(text: str) -> dict[str, object]:
        return {"type": "path", "path": str(PathUri.from_native(os.fsencode(text)))}

    entries = [
        entry({"type": "special", "value": {"kind": "root"}}, "read"),
        entry(path(site.root), "write"),
        entry(path(f"{site.root}/denied"), "deny"),
        entry({"type": "glob_pattern", "pattern": f"{site.root}/**/denied-*"}, "deny"),
    ]
    return SandboxContext.model_validate(
        {
            "permissions": {
                "type": "managed",
                "file_system": {"type": "restricted", "entries": entries},
                "network": "restricted",
            },
            "windowsSandboxLevel": "disabled",
        }
    )


def check_sandbox() -> Iterator[Outcome]:
    """Try every way out, each from a sandbox of its own.

    Raises:
        SandboxError: Nothing can be confined here.
    """
    for name in PROBES:
        with Target() as target:
            code, text = _confined(attempt(name, target.site), target.site)
            signs = target.signs()
        lines = text.decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line), f"ended with {code}")
        yield Outcome(name, code == ESCAPED or bool(signs), "; ".join(signs) or last)


def _confined(command: list[str], site: Site) -> tuple[int, bytes]:
    cwd = os.fsencode(site.root)
    env = {b"PATH": os.fsencode(os.environ.get("PATH", os.defpath)), b"HOME": b"/root"}
    plan = plan_for_process(policy(site), cwd=cwd, env=env)
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
        return launch.exit_code(popen.returncode), output
    finally:
        launch.close()


def run_check(say: Callable[[str], object]) -> int:
    """Try every way out and say how it went.

    Args:
        say: Takes lines.

    Returns:
        Exit status: 0 when all were refused, 1 when one succeeded, 2 when there is no
        sandbox to try.
    """
    escaped = tried = 0
    try:
        found = find_bubblewrap()
        version = ".".join(str(part) for part in found.version) or "of unknown version"
        say(f"bubblewrap {version} at {os.fsdecode(found.path)}, as user {os.geteuid()}")
        for outcome in check_sandbox():
            tried += 1
            escaped += outcome.escaped
            verdict = "ESCAPED" if outcome.escaped else "refused"
            say(f"{outcome.name.replace('_', ' '):{_NAME_WIDTH}} {verdict}  {outcome.how}")
    except SandboxUnavailableError as error:
        say(f"cannot check: {error}")
        return CANNOT_CHECK
    except (SandboxError, subprocess.TimeoutExpired) as error:
        say(f"cannot check: an attempt could not be made: {error}")
        return CANNOT_CHECK
    say(f"{tried} ways out tried, {escaped} succeeded")
    return 1 if escaped else 0
