"""Mounts that bubblewrap does not make: too many for it, or after something runs already.

bubblewrap reads the whole list of mounts for each one that it makes, so that the time grows with
the square of their number. A program of ours makes them in a few dozen microseconds each. Where
what is mounted outside is shared, it also sees to it that nothing of it appears in a sandbox, which
bubblewrap does not. It is started beside bubblewrap, and takes as long to start; then it waits for
more for a few seconds. See ``mounter_main``.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import platform
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from ..runtime.marks import unmarked
from . import mounter_main
from .errors import PolicyNotEnforceableError, SandboxUnavailableError
from .held import hold
from .mounts import Kind, Mount

__all__ = ["can_mount", "is_shared", "mounter"]

_INTERPRETER: Final = "/proc/self/exe"
_PROGRAM: Final = hold(os.fsencode(mounter_main.__file__))
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


def is_shared() -> bool:
    """Return whether something that is mounted here later could appear in sandboxes."""
    with open("/proc/self/mountinfo", "rb") as file:
        text = file.read()
    return b" shared:" in text or b" master:" in text


class Mounter:
    """The program, one for the process; it runs while it is used. Safe to use from several threads.

    Methods may block.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None

    def start(self) -> socket.socket:
        """Let it start, if it does not run, while the caller does something else.

        Returns:
            What it is asked through.

        Raises:
            OSError: It could not be started.
        """
        with self._lock:
            if self._channel is None:
                self._channel = _started()
            return self._channel

    def mount(self, pid: int, mounts: Iterable[Mount], deadline: float, *, running: bool) -> None:
        """Make mounts in a sandbox, in order; afterwards it receives none from outside.

        Args:
            pid: Its first process, which the caller holds by a pidfd: it is still that one.
            mounts: Unless ``running``, from what is outside.
            deadline: When to give up, by the monotonic clock.
            running: Something runs inside.

        Raises:
            PolicyNotEnforceableError: Something has changed.
            SandboxUnavailableError: It cannot be done here.
        """
        how = "running" if running else "new"
        self._tell(pid, ([_told(mount) for mount in mounts], how), deadline)

    def make_private(self, pid: int, deadline: float) -> None:
        """Let a sandbox receive no mounts from outside; see ``mount``."""
        self._tell(pid, ([], "private"), deadline)

    def _tell(self, pid: int, arguments: tuple[list[Any], str], deadline: float) -> None:
        descriptors: list[int] = []
        try:
            space = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            descriptors = [fcntl.ioctl(space, _GET_USER_NAMESPACE), space]
            descriptors.append(os.memfd_create("mounts", os.MFD_CLOEXEC))
            with open(descriptors[-1], "wb", closefd=False) as file:
                marshal.dump(arguments, file)
            os.lseek(descriptors[-1], 0, os.SEEK_SET)
            # It may have been about to end.
            answer = self._ask(descriptors, deadline) or self._ask(descriptors, deadline)
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

    def _ask(self, descriptors: list[int], deadline: float) -> bytes:
        """Return the answer; nothing if the program has ended."""
        channel = self.start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs, contextlib.suppress(OSError), self._lock:
                socket.send_fds(channel, [b"-"], [theirs.fileno(), *descriptors])
            poll = select.poll()
            poll.register(ours, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise SandboxUnavailableError("it took too long to mount in a sandbox")
            answer = ours.recv(_ANSWER_BYTES)
        if not answer:
            with self._lock:
                channel.close()
                if self._channel is channel:
                    self._channel = None
        return answer


def _started() -> socket.socket:
    """Start the program; it ends when the channel is closed."""
    _PROGRAM.require_unchanged()
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment: dict[str, str] = {}
    with theirs:
        try:
            with unmarked():
                popen = subprocess.Popen(
                    [os.readlink(_INTERPRETER), "-I", "-S", _PROGRAM.executable],
                    executable=_INTERPRETER,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=environment,
                    start_new_session=True,  # what a terminal interrupts is the server
                )
        except BaseException:
            channel.close()
            raise
    # It ends by itself, and nobody else waits for it.
    threading.Thread(target=popen.wait, name="mounter", daemon=True).start()
    return channel


mounter: Final = Mounter()
"""One for the process."""


def _told(mount: Mount) -> tuple[str, bytes, tuple[int, int] | None, object]:
    shown = mount.source if mount.kind in _SHOWN else None
    identity = None if shown is None else (shown.device, shown.inode)
    detail = mount.target if mount.kind in (Kind.LINK, Kind.HIDE_LINK) else mount.opened
    return mount.kind.value, mount.path, identity, detail
