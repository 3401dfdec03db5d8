"""Starting a worker: a child on one socket, which is its stdin and its stdout."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..errors import SpawnError
from ..launching.launch import Launch, prepare
from ..launching.launch_threads import LaunchThreads
from ..launching.spawn import Child
from ..sandbox.plan import Plan
from .program import HelperProgram

__all__ = ["LaunchedWorker", "launch"]

_SOCKET_BYTES: Final = 1024 * 1024
"""What the kernel is asked to hold each way; it may grant less. The more, the fewer times
the two sides wake each other up."""


@dataclass(frozen=True, slots=True)
class LaunchedWorker:
    """A child, not yet known to be a worker.

    Attributes:
        popen: Owns the pid until it has been reaped. Leads a process group.
        socket: This side's end, non-blocking.
        on_ended: To be called once when the child has been reaped.
        is_intact: See ``Launch.is_intact``.
        is_current: Whether nothing has been mounted outside since it was started, which
            it would not see.
    """

    popen: subprocess.Popen[bytes]
    socket: socket.socket
    on_ended: Callable[[], None]
    is_intact: Callable[[], bool]
    is_current: Callable[[], bool] = lambda: True


async def launch(
    threads: LaunchThreads, plan: Plan, program: HelperProgram, env: Mapping[str, str]
) -> LaunchedWorker:
    """Start a worker as a plan says.

    When it raises, or is cancelled, the child is being killed and cleaned up behind.

    Args:
        threads: Where what may block is done.
        plan: How it is confined.
        program: The helper.
        env: Its whole environment.

    Raises:
        SpawnError: It could not be started.
        SandboxError: It could not be confined; nothing of it has run.
    """
    raw = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    if not plan.confines:
        program.program.require_unchanged()
        outside = program.program.executable
        ready = prepare(plan, program.command, env=raw, cwd=b"/", executable=outside)
        return _launched(_spawn(ready), threads)
    from ..sandbox.mount_table import MountTable  # a server that confines nothing needs none

    mounts = MountTable()
    try:
        ready = await threads.make_launch(lambda: prepare(plan, program.command, env=raw, cwd=b"/"))
        try:
            child = _spawn(ready)
        except BaseException:
            threads.release(ready)
            raise
        await threads.admit(child)
    except BaseException:
        mounts.close()
        raise
    launched = _launched(child, threads)

    def on_ended() -> None:
        mounts.close()
        launched.on_ended()

    return replace(launched, on_ended=on_ended, is_current=mounts.is_unchanged)


def _spawn(ready: Launch) -> Child:
    """Spawn the child on the event loop's thread: it is a ``vfork``."""
    opened: list[int] = []
    try:
        # A socket and not pipes: a round trip takes a quarter of the time, bulk a third.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        opened = [ours.detach(), theirs.detach()]
        for end in opened:
            _enlarge(end)
        opened += os.pipe()
        popen = subprocess.Popen(
            ready.argv,
            executable=ready.executable,
            pass_fds=ready.pass_fds,
            stdin=opened[1],
            stdout=opened[1],
            stderr=opened[3],
            cwd=ready.cwd,
            env=ready.env,
            start_new_session=True,
        )
    except OSError as error:
        for descriptor in opened:
            os.close(descriptor)
        raise SpawnError.from_os_error(error) from error
    finally:
        ready.spawned()
    os.close(opened[1])
    os.close(opened[3])
    for descriptor in (opened[0], opened[2]):
        os.set_blocking(descriptor, False)
    return Child(popen, None, ((b"stdio", opened[0]), (b"stderr", opened[2])), None, ready)


def _enlarge(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)


def _launched(child: Child, threads: LaunchThreads) -> LaunchedWorker:
    # What bubblewrap says of its own troubles has been read. What a worker would say to
    # people is of no use to a peer: it writes to nobody.
    (_, stdio), (_, stderr) = child.outputs
    os.close(stderr)
    return LaunchedWorker(
        child.popen,
        socket.socket(fileno=stdio),
        lambda: threads.release(child.launch),
        child.launch.is_intact,
    )
