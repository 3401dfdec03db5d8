"""Mounts that bubblewrap does not make: too many for it, or after something runs already.

bubblewrap reads the whole list of mounts for each one that it makes, so that the time grows with
the square of their number. A short-lived program makes them in a few dozen microseconds each; it
is started beside bubblewrap, and takes as long to start. See ``mounter_main``.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import platform
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterable
from functools import cache
from typing import Final

from . import mounter_main
from .errors import PolicyNotEnforceableError, SandboxUnavailableError
from .mounts import Kind, Mount

__all__ = ["Mounter", "can_mount"]

_INTERPRETER: Final = "/proc/self/exe"
_SINCE: Final = (5, 12)
"""The Linux that can make a mount read-only before anybody sees it."""
_GET_USER_NAMESPACE: Final = 0xB701
_ANSWER_BYTES: Final = 1024
_SHOWN: Final = (Kind.READ, Kind.WRITE, Kind.PIN)


@cache
def can_mount() -> bool:
    """Return whether this system has what the program needs."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return match is not None and (int(match[1]), int(match[2])) >= _SINCE


class Mounter:
    """The program, for one use. To be closed. May block.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment: dict[str, str] = {}
        with theirs:
            try:
                self._popen = subprocess.Popen(
                    [os.readlink(_INTERPRETER), "-I", "-S", mounter_main.__file__],
                    executable=_INTERPRETER,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=environment,
                )
            except BaseException:
                self._channel.close()
                raise

    def mount(self, pid: int, mounts: Iterable[Mount], deadline: float, *, running: bool) -> None:
        """Make mounts in a sandbox, in order.

        Args:
            pid: Its first process, which the caller holds by a pidfd: it is still that one.
            mounts: Unless ``running``, from what is outside.
            deadline: When to give up, by the monotonic clock.
            running: Something runs inside.

        Raises:
            PolicyNotEnforceableError: Something has changed.
            SandboxUnavailableError: It cannot be done here.
        """
        told = [_told(mount) for mount in mounts]
        descriptors: list[int] = []
        try:
            space = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            descriptors = [fcntl.ioctl(space, _GET_USER_NAMESPACE), space]
            descriptors.append(os.memfd_create("mounts", os.MFD_CLOEXEC))
            with open(descriptors[-1], "wb", closefd=False) as file:
                marshal.dump((told, running), file)
            os.lseek(descriptors[-1], 0, os.SEEK_SET)
            socket.send_fds(self._channel, [b"-"], descriptors)
            answer = self._answer(deadline)
        except OSError as error:
            raise SandboxUnavailableError(
                f"cannot mount in a sandbox: {os.strerror(error.errno or 0)}"
            ) from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if answer == mounter_main.CHANGED:
            raise PolicyNotEnforceableError(
                "a path of the sandbox policy changed while the sandbox was set up"
            )
        if answer != mounter_main.DONE:
            raise SandboxUnavailableError(f"cannot mount in a sandbox: {answer.decode()}")

    def _answer(self, deadline: float) -> bytes:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxUnavailableError("it took too long to mount in a sandbox")
        return self._channel.recv(_ANSWER_BYTES)

    def close(self) -> None:
        """End it."""
        self._channel.close()
        self._popen.kill()
        self._popen.wait()


def _told(mount: Mount) -> tuple[str, bytes, tuple[int, int] | None, object]:
    shown = mount.source if mount.kind in _SHOWN else None
    identity = None if shown is None else (shown.device, shown.inode)
    detail = mount.target if mount.kind is Kind.LINK else mount.opened
    return mount.kind.value, mount.path, identity, detail
