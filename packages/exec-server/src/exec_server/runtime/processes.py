"""Processes of this machine, as ``/proc`` tells of them, and signals that reach no other.

A number alone names no process: it is given to another one later. With the time of its start it
does, and a *pidfd* holds on to what was found. Light: the supervisor loads it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # what ``signal`` is made of, without the enumerations around it

__all__ = ["Seen", "read_process", "read_processes", "send_signal"]


class Seen:
    """One process, as it was seen.

    Attributes:
        pid: Its number.
        parent: Of its parent.
        group: Of its process group.
        session: Of its session; 0 if that began outside of this namespace.
        started: When, in clock ticks since the boot.
        ended: Whether it is a zombie.
        mark: What its tree is known by; see ``marks``. 0 for none.
    """

    __slots__ = ("ended", "group", "mark", "parent", "pid", "session", "started")

    def __init__(
        self,
        pid: int,
        parent: int,
        group: int,
        session: int,
        started: int,
        *,
        ended: bool = False,
        mark: int = 0,
    ) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session
        self.started = started
        self.ended = ended
        self.mark = mark

    def __repr__(self) -> str:
        return f"<Seen {self.pid} of {self.parent} in {self.group} in {self.session}>"


def read_process(pid: int) -> Seen | None:
    """Return a process by its number, if there is one."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:  # it has ended since
        return None
    finally:
        os.close(descriptor)
    # The name may hold anything, and ends with the last parenthesis.
    fields = text[text.rindex(b")") + 2 :].split(None, 20)
    return Seen(
        pid,
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        int(fields[19]),
        ended=fields[0] in (b"Z", b"X"),
    )


def read_processes() -> list[Seen]:
    """Return all processes, the newest first: those are the likeliest to be gone soon."""
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    return [seen for pid in pids if (seen := read_process(pid)) is not None]


def send_signal(seen: Seen, number: int) -> bool:
    """Send a signal to the process that was seen, and to none that has its number since.

    Returns:
        Whether it was there, and may be signalled.
    """
    try:
        descriptor = os.pidfd_open(seen.pid)
    except OSError:
        return False
    try:
        now = read_process(seen.pid)
        # What has the number now has it as long as the descriptor, or has ended.
        if now is None or now.started != seen.started:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
