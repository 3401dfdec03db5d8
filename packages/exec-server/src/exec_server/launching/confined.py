"""Launching inside bubblewrap: it sets up, we look at the result, then the command runs.

bubblewrap itself gets no environment: what a variable makes it load may be from inside.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from ..sandbox.arguments import by_path, options
from ..sandbox.bubblewrap import find_bubblewrap
from ..sandbox.errors import PolicyNotEnforceableError, SandboxError, SandboxUnavailableError
from ..sandbox.lookup import Identity
from ..sandbox.mount_watch import MountWatch, MountWatcher
from ..sandbox.mounter import can_mount, is_shared, mounter
from ..sandbox.mounts import Base, Kind, Mount, Plan
from ..sandbox.networked import Namespace, sandboxes
from ..sandbox.placeholders import Placeholder, Placeholders, is_placeholder, is_there
from ..sandbox.seccomp import Filter, program
from ..sandbox.verify import missing, verify
from ..sandbox.walking import open_without_links
from .exec_shim import staged
from .gate import Gate
from .launch import ADMIT_TIMEOUT, EXIT_NOT_RUN, Launch

__all__ = ["ConfinedLaunch", "confine", "shows"]

_END_TIMEOUT: Final = 10.0
"""For what was killed to be gone; only a process that is stuck in the kernel takes longer."""

_SETUP_FAILED: Final = 1
"""Exit status of bubblewrap for anything that it could not do itself."""
_PIDFD_SIGNAL_PROCESS_GROUP: Final = 1 << 2

_FEW: Final = 32
"""Mounts that bubblewrap makes in less time than another program takes to start."""
_SHARE: Final = 4
"""One launch holds a quarter of the descriptors for its mounts, at most: several start at once."""
_BY_BUBBLEWRAP_MAX: Final = 512
"""It takes half a second for them; the time grows with the square."""
_MENDS_MAX: Final = 6
"""Attempts, each with a new look at the disk, until one goes well."""
_MEND_SECONDS: Final = 0.01
"""Added to the pause before each: 0.15 s in all."""

_placeholders: Final = Placeholders()
"""One for the process: it counts who needs which."""
_watcher: Final = MountWatcher()


class ConfinedLaunch(Launch):
    """One launch inside bubblewrap. Made by ``confine``."""

    confined = True

    def __init__(self, plan: Plan, bubblewrap: bytes, cwd: bytes, not_run: int) -> None:
        super().__init__([], bubblewrap, {}, cwd)
        self._not_run = not_run
        self._plan = plan
        self._gate: Gate | None = None
        self._held: list[Placeholder] = []
        self._inner_pid = 0
        self._inner: int | None = None
        self._watcher = _watcher
        self._watch: MountWatch | None = None
        self._mounted_later = False
        self._receives = False
        self._networked: Namespace | None = None
        self._lock = threading.Lock()

    def admit(
        self,
        timeout: float = ADMIT_TIMEOUT,
        before: Callable[[int], object] | None = None,
        watcher: MountWatcher | None = None,
    ) -> None:
        """See ``Launch.admit``."""
        gate = self._gate
        if gate is None:
            return
        with self._lock:
            deadline = time.monotonic() + timeout
            self._inner_pid = gate.wait_until_set_up(deadline)
            try:
                self._inner = os.pidfd_open(self._inner_pid)
            except OSError as error:
                raise SandboxUnavailableError("a sandbox ended while it was set up") from error
            if self._mounted_later:
                mounter.mount(self._inner_pid, self._plan.mounts, deadline, running=False)
            elif self._receives:
                mounter.make_private(self._inner_pid, deadline)
            self._watcher = watcher or _watcher
            self._watch_mounts(self._plan)
            # What came to be before the watch is seen here, and what comes later is announced.
            if any(is_there(path) for path in self._plan.absent):
                raise _changed()
            verify(self._plan, self._inner_pid)
            if before is not None:
                before(self._inner_pid)
            restricted = self._plan.network == "restricted"
            self._networked = None if restricted else sandboxes.add(self._inner_pid)
            gate.open(program(Filter.NO_NETWORK if restricted else Filter.NETWORK))

    def _watch_mounts(self, plan: Plan) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if plan.mounts or plan.absent:
            try:
                self._watch = self._watcher.watch(plan, self._inner_pid)
            except OSError as error:
                raise SandboxUnavailableError("a sandbox has ended") from error

    def is_intact(self) -> bool:
        """See ``Launch.is_intact``."""
        return self._watch is None or self._watch.is_intact()

    def mend(self) -> bool:
        """See ``Launch.mend``."""
        for attempt in range(_MENDS_MAX):
            time.sleep(attempt * _MEND_SECONDS)
            # Whoever changes something may not be done with it.
            with self._lock, contextlib.suppress(SandboxError, OSError):
                if self._inner is not None and self._gate is not None:
                    self._mend()
                return True
        return False

    def _mend(self) -> None:
        """Mount what is missing. That disturbs the watch, so that there will be another look."""
        plan = self._plan if self.replan is None else self.replan()
        self._hold_marks(plan)
        self._watch_mounts(plan)  # before the look, so that no change is missed
        lacking = missing(plan, self._inner_pid)
        if lacking:
            if not can_mount():
                raise SandboxUnavailableError("a mount was lifted that cannot be made again")
            deadline = time.monotonic() + ADMIT_TIMEOUT
            mounter.mount(self._inner_pid, lacking, deadline, running=True)
        # The watch is over what the plan found. What was taken away between the two has no mount
        # whose end is announced, nor is its name awaited. Only a plan that is the same after the
        # watch began tells that there was no such thing.
        if self.replan is not None and self._watch is not None and self.replan() != plan:
            self._watch.disturb()

    def _hold_marks(self, plan: Plan) -> None:
        for mount in plan.marks:
            mark = _placeholders.hold(mount.path, folder=mount.kind is Kind.BLOCK_FOLDER)
            if mark in self._held:
                _placeholders.release(mark)  # once is enough
            else:
                self._held.append(mark)

    def signal(self, number: int) -> bool:
        """See ``Launch.signal``."""
        if self._inner is None:
            return False
        if number == signal.SIGKILL:
            return self._kill()
        if self._runs_nothing_yet():
            return False
        try:
            signal.pidfd_send_signal(self._inner, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except ProcessLookupError:
            return False
        except OSError:  # an older kernel
            try:
                signal.pidfd_send_signal(self._inner, 0)
                os.killpg(self._inner_pid, number)
            except OSError:
                return False
        return True

    def _kill(self) -> bool:
        """Kill the first process inside, and all others with it.

        It is told of bubblewrap's end only from a certain point on; before, it would go on
        alone.
        """
        if self._inner is None:
            return False
        try:
            signal.pidfd_send_signal(self._inner, signal.SIGKILL)
        except OSError:
            return False
        return True

    def _runs_nothing_yet(self) -> bool:
        """Whether bubblewrap was allowed to continue and has not executed the command yet.

        Its first process inside ignores signals, so one that comes now would be lost.
        """
        path = f"/proc/{self._inner_pid}/task/{self._inner_pid}/children"
        try:
            with open(path, "rb") as file:
                return not file.read(1)
        except OSError:  # it has ended, or the kernel does not tell
            return False

    def exit_code(self, code: int) -> int:
        """See ``Launch.exit_code``. bubblewrap's own message is on its standard error."""
        if self._gate is None or code != _SETUP_FAILED:
            return code
        return code if self._gate.has_run() else self._not_run

    def close(self) -> None:
        """See ``Launch.close``."""
        self.spawned()
        with self._lock:
            if self._gate is not None:
                self._gate.close()
                self._gate = None
            held, self._held = self._held, []
            networked, self._networked = self._networked, None
            if self._watch is not None:  # before the marks: it keeps the mounts that lie on them
                self._watch.close()
            self._kill()
            self.nothing_lives = self._has_ended()
            if self.nothing_lives:
                sandboxes.end(networked)
                for mark in reversed(held):
                    _placeholders.release(mark)
            if self._inner is not None:
                os.close(self._inner)
                self._inner = None

    def _has_ended(self) -> bool:
        """Wait until nothing runs inside any more: bubblewrap does not.

        As long as something does, it would take the place of a mark that is taken away.
        """
        if self._inner is None:
            return True  # nothing has ever run
        poll = select.poll()
        poll.register(self._inner, select.POLLIN)
        return bool(poll.poll(_END_TIMEOUT * 1000))

    # ------------------------------------------------------------------ preparation

    def compose(
        self,
        command: Sequence[bytes],
        env: Mapping[bytes, bytes],
        arg0: bytes | None,
        *,
        own_session: bool,
        with_descriptors: bool,
    ) -> None:
        """Compose bubblewrap's command line."""
        self._gate = Gate()
        self.pass_fds = status, ready, code = self._gate.theirs
        self._hold_marks(self._plan)
        links = [mount.path for mount in self._plan.mounts if mount.kind is Kind.HIDE_LINK]
        if links and not can_mount():
            raise PolicyNotEnforceableError(
                f"cannot protect {os.fsdecode(links[0])}: it is a link, and that needs Linux 5.12"
            )
        # Nothing that follows links can put something on one.
        self._mounted_later = bool(links) or (len(self._plan.mounts) > _FEW and can_mount())
        self._receives = is_shared()
        if self._mounted_later or self._receives:
            mounter.start()  # while bubblewrap does
        if not self._mounted_later and len(self._plan.mounts) > _BY_BUBBLEWRAP_MAX:
            raise PolicyNotEnforceableError(
                f"more than {_BY_BUBBLEWRAP_MAX} mounts need Linux 5.12 or newer"
            )
        told = options(
            self._plan,
            self._nothing,
            source=partial(self._source, with_descriptors),
            own_session=own_session,
            mounted_later=self._mounted_later,
        )
        told += [b"--json-status-fd", b"%d" % status, b"--block-fd", b"%d" % ready]
        told += [b"--seccomp", b"%d" % code, b"--clearenv"]
        for name, value in env.items():
            told += [b"--setenv", name, value]
        if arg0 is not None:
            told += [b"--argv0", arg0]
        self.argv = [b"bwrap", b"--args", b"%d" % self._listed(told), b"--", *command]

    def _source(self, with_descriptors: bool, mount: Mount) -> tuple[bytes, bytes]:
        """Open what is to be mounted, so that it is that and nothing else.

        An old bubblewrap takes a path, and would leave the descriptor open for the command.
        What it has mounted is compared when everything is.
        """
        if not with_descriptors:
            return by_path(mount)
        try:
            descriptor = open_without_links(mount.path, os.O_PATH)
        except OSError as error:
            raise _changed() from error
        self.pass_fds = (*self.pass_fds, descriptor)
        status = os.fstat(descriptor)
        if mount.source is None:  # only what is shown is asked for
            planned = is_placeholder(mount.path, status)
        else:
            planned = mount.source == Identity(status.st_dev, status.st_ino)
        if not planned:
            raise _changed()
        return b"-fd", b"%d" % descriptor

    def _nothing(self) -> int:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.pass_fds = (*self.pass_fds, descriptor)
        return descriptor

    def _listed(self, told: list[bytes]) -> int:
        """Return a file with the options: nobody sees them in a list of processes."""
        descriptor = os.memfd_create("bwrap-options", os.MFD_CLOEXEC)
        self.pass_fds = (*self.pass_fds, descriptor)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(b"".join(option + b"\0" for option in told))
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor


def _has_descriptors_for(plan: Plan) -> bool:
    """Return whether a descriptor for each mount is a small part of those there may be.

    Otherwise bubblewrap gets paths; what it has mounted is compared with the plan either way.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit < 0 or len(plan.mounts) <= limit // _SHARE


def _changed() -> PolicyNotEnforceableError:
    return PolicyNotEnforceableError(
        "a path of the sandbox policy changed while the sandbox was set up"
    )


def confine(
    plan: Plan,
    argv: Sequence[bytes],
    *,
    env: Mapping[bytes, bytes],
    cwd: bytes,
    arg0: bytes | None,
    terminal: bool,
    not_run: int = EXIT_NOT_RUN,
) -> ConfinedLaunch:
    """Prepare a confined launch; see ``launch.prepare``.

    Raises:
        SandboxError: It cannot be launched so. Nothing is left of the attempt.
    """
    found = find_bubblewrap()
    stage = terminal or (arg0 is not None and not found.sets_argv0)
    command = staged(argv, arg0, not_run) if stage else list(argv)
    launch = ConfinedLaunch(plan, found.executable, cwd if shows(plan, cwd) else b"/", not_run)
    try:
        launch.compose(
            command,
            env,
            None if stage else arg0,
            own_session=not terminal,
            with_descriptors=found.mounts_descriptors and _has_descriptors_for(plan),
        )
    except OSError as error:
        launch.close()
        raise SandboxUnavailableError(
            f"cannot prepare a sandbox: {os.strerror(error.errno or 0)}"
        ) from error
    except BaseException:
        launch.close()
        raise
    return launch


def shows(plan: Plan, path: bytes) -> bool:
    """Return whether a resolved folder of this system can be entered inside, as planned."""
    place = os.path.realpath(path)
    nearest = None
    for mount in plan.mounts:
        if mount.kind is not Kind.LINK and (
            place == mount.path or place.startswith(mount.path + b"/")
        ):
            nearest = mount
    if nearest is None:
        return plan.base is not Base.EMPTY or any(
            m.path.startswith(place.rstrip(b"/") + b"/") for m in plan.mounts
        )
    return nearest.kind in (Kind.READ, Kind.WRITE, Kind.PIN)
