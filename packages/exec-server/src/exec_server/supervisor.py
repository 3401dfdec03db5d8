"""The supervisor: the small process above the server, which outlives it and leaves nothing behind.

It passes signals on and the server's exit status back, and takes what ends as orphans, as the first
process of a system does. When the server has ended, in whatever way, it ends everything that is
left: whatever the server's children have started comes to be its own child, since it is their
*subreaper*. So it knows when nothing is left: when it has no child any more.

It holds the end of a pipe that the server reads. A server whose supervisor was killed stops.

Its memory is what the interpreter takes: it loads nothing of the standard library but ``os`` and
the C part of ``signal``.
"""

from __future__ import annotations

import os
import sys
import time

from .runtime.cgroups import Group, own_group, remove_left
from .runtime.processes import Seen, read_processes, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Set

if not TYPE_CHECKING:
    import _signal as signal  # what ``signal`` is made of, without the enumerations around it

__all__ = ["supervise"]

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
_NOW = 2
"""RTLD_NOW of dlopen(3)."""
_END_SECONDS = 5.0
"""For what was killed to be gone; only a process that is stuck in the kernel takes longer."""
_PAUSE_SECONDS = 0.002
"""Between looks at what is left, doubled from one to the next. The end of a child cuts it short."""
_LONGEST_PAUSE_SECONDS = 0.1
_OF_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""A terminal sends these to its whole foreground group, so the server has them as well."""
_FROM_KERNEL = 0x80
"""SI_KERNEL: what a terminal sends comes from nobody in particular."""


def supervise(server: int, writing: int, waited: Iterable[int]) -> int:
    """Watch over the server until it has ended, and end what it leaves behind.

    Args:
        server: Its pid. It has just been forked.
        writing: A pipe that it reads. Gets a line with the path of its group, and one with ``+``
            when the server is in it; or one with ``-``. Then it stays open.
        waited: The signals that are blocked here: what is passed on, and SIGCHLD.

    Returns:
        The server's exit status. If a signal has ended it, that ends this process, too.
    """
    _become_subreaper()
    group = _group_for(server, writing)
    _tell(writing, b"-" if group is None else b"+")
    _let_go_of_streams()
    status = _wait(server, set(waited))
    _end_all(group, set(waited))
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _take_away_placeholders()
        return _end_by(-code)
    return code


def _become_subreaper() -> None:
    """Become the parent of what is orphaned below, and give back what loading this has taken.

    Two calls of the C library are not worth the package ``ctypes``, a tenth of this process.
    """
    try:
        from _ctypes import call_function, dlopen, dlsym

        libc = dlopen(None, _NOW)  # type: ignore[arg-type]  # this program, with what it is linked to
        call_function(dlsym(libc, "prctl"), (_SUBREAPER, 1, 0, 0, 0))
        call_function(dlsym(libc, "malloc_trim"), (0,))
    except (ImportError, OSError):
        return  # without the one, orphans go to the first process; musl has no other


def _group_for(server: int, writing: int) -> Group | None:
    """Put the server into a group of its own, in which all begin that it starts.

    The server hears of the group first: it takes it away should this process be killed.
    """
    parent = own_group()
    if parent is None:
        return None
    remove_left(parent)
    group = Group.make_for(parent, os.getpid())
    if group is None:
        return None
    _tell(writing, os.fsencode(group.path))
    if group.add(server):
        return group
    group.remove()
    return None


def _tell(pipe: int, line: bytes) -> None:
    try:
        os.write(pipe, line + b"\n")
    except OSError:
        return  # it has ended already


def _let_go_of_streams() -> None:
    """Leave stdin and stdout to the server: whoever waits for their ends waits for it."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def _wait(server: int, waited: Set[int]) -> int:
    """Pass signals on until the server has ended; returns its status."""
    while True:
        told = signal.sigwaitinfo(waited)
        if told.si_signo == signal.SIGCHLD:
            status = _reap(server)
            if status is not None:
                return status
        elif told.si_signo not in _OF_TERMINAL or told.si_code != _FROM_KERNEL:
            os.kill(server, told.si_signo)  # not reaped, so the number is its own


def _reap(server: int) -> int | None:
    """Take what has ended. Returns the server's status, if it is among that."""
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == server:
                found = ended[1]
    except ChildProcessError:
        pass
    return found


def _end_all(group: Group | None, waited: Set[int]) -> None:
    """Kill until no child is left, which then is true of everything below."""
    deadline = time.monotonic() + _END_SECONDS
    pause = _PAUSE_SECONDS
    own = os.getpid()
    while time.monotonic() < deadline:
        if group is not None:
            group.kill()
        if not _has_children():
            break
        _kill(_below(own, read_processes()), own)
        signal.sigtimedwait(waited, pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    if group is not None:
        group.remove_soon()


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _below(root: int, seen: list[Seen]) -> list[Seen]:
    """Return what is below a process. Pure."""
    children: dict[int, list[Seen]] = {}
    for process in seen:
        children.setdefault(process.parent, []).append(process)
    found: list[Seen] = []
    todo = children.get(root, [])
    while todo:
        found += todo
        todo = [below for process in todo for below in children.get(process.pid, [])]
    return found


def _kill(found: list[Seen], own: int) -> None:
    for process in found:
        if process.parent == own:
            # Not reaped, so that its number and that of its group are taken. A whole group at once
            # is more than one that forks can outrun.
            if process.group not in (0, os.getpgrp()):
                _try(os.killpg, process.group)
            _try(os.kill, process.pid)
        else:
            send_signal(process, signal.SIGKILL)


def _try(kill: Callable[[int, int], None], number: int) -> None:
    try:
        kill(number, signal.SIGKILL)
    except OSError:
        return  # another user's, or gone


def _take_away_placeholders() -> None:
    """Take away what the sandboxes of a server that was killed had put on the disk."""
    from .sandbox import journal

    if files := journal.leftovers():
        journal.sweep(files, wait=_END_SECONDS)


def _end_by(number: int) -> int:
    """End as the server has ended."""
    sys.stdout = sys.stderr = None  # nothing is written any more
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the core is that of the server
        signal.signal(number, signal.SIG_DFL)
    except (OSError, ValueError):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.kill(os.getpid(), number)
    return 128 + number  # the first process of a namespace ignores what would end it
