"""Launching a command as a plan says, confined or not.

::

    prepare   holds the placeholders, opens descriptors, composes the command line
    (spawn)   by the caller, who owns the streams
    spawned   closes the child's ends
    admit     waits until all is mounted, compares it with the plan, lets the command run
    close     takes the placeholders away

Without a sandbox there is nothing to do but to spawn. What a sandbox needs is loaded with
the first one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from ..sandbox.mount_watch import MountWatcher
    from ..sandbox.plan import Plan

__all__ = ["ADMIT_TIMEOUT", "EXIT_NOT_EXECUTABLE", "EXIT_NOT_RUN", "Launch", "prepare"]

ADMIT_TIMEOUT: Final = 10.0
"""Setting up takes milliseconds, half a second with as many mounts as there may be."""


EXIT_NOT_RUN: Final = 101
"""Exit code of a sandboxed command that could not be executed, as the reference has it."""
EXIT_NOT_EXECUTABLE: Final = 126
"""The same for whoever asks for ``startErrors``: as shells have it."""


class Launch:
    """One launch, from its preparation until nothing of it is left. Made by ``prepare``.

    ``admit`` and ``close`` may block. All methods may be called from any thread, one at a
    time.

    Attributes:
        argv: What to spawn.
        executable: The program to execute for it.
        env: Its environment.
        cwd: Its working directory.
        pass_fds: Descriptors that it inherits beside its streams.
        confined: Whether bubblewrap is between us and the command.
        nothing_lives: Whether it is known, after ``close``, that nothing of it runs any more.
    """

    confined: ClassVar[bool] = False
    replan: Callable[[], Plan] | None = None

    def __init__(
        self, argv: list[bytes], executable: bytes, env: Mapping[bytes, bytes], cwd: bytes
    ) -> None:
        self.argv = argv
        self.executable = executable
        self.env = env
        self.cwd = cwd
        self.pass_fds: tuple[int, ...] = ()
        self.nothing_lives = False

    def spawned(self) -> None:
        """Close what the child has inherited, or would have. Call it at once."""
        for descriptor in self.pass_fds:
            os.close(descriptor)
        self.pass_fds = ()

    def admit(
        self,
        timeout: float = ADMIT_TIMEOUT,
        before: Callable[[int], object] | None = None,
        watcher: MountWatcher | None = None,
    ) -> None:
        """Let the command run, if the sandbox is as planned. Nothing of it has run before.

        Args:
            timeout: Seconds for bubblewrap to set up.
            watcher: What ``is_intact`` asks, instead of one that announces nothing.
            before: Called with the process id of what will run it, just before it does.

        Raises:
            SandboxError: It is not; end the child and ``close``.
        """

    def is_intact(self) -> bool:
        """Return whether the sandbox still is as it was when it was admitted. Never blocks.

        Once it is not, it never is again: something that is denied may be seen inside.
        """
        return True

    def mend(self) -> bool:
        """Mount again inside what was lifted or moved. May block, for seconds at most.

        Returns:
            Whether that went well; if not, end the command. If something was missing, the
            sandbox does not count as intact yet: another look will find that it is.
        """
        return True

    def signal(self, number: int) -> bool:
        """Send a signal to the group that a confined command was started in.

        SIGKILL ends all that runs inside; send it to the child's own group as well.

        Returns:
            Whether there was one; without, signal the child's own group.
        """
        return False

    def exit_code(self, code: int) -> int:
        """Return the command's exit code, given that of the child.

        A confined command that could not be executed ends with the code that ``prepare`` was given
        for it (``not_run``), so that it is not taken for one that ran and failed.
        """
        return code

    def close(self) -> None:
        """Close all descriptors, and end the processes that may still run inside.

        The child must have ended, or never have started.
        """


def prepare(
    plan: Plan | None,
    argv: Sequence[bytes],
    *,
    env: Mapping[bytes, bytes],
    cwd: bytes,
    arg0: bytes | None = None,
    executable: bytes | None = None,
    terminal: bool = False,
    replan: Callable[[], Plan] | None = None,
    not_run: int = EXIT_NOT_RUN,
) -> Launch:
    """Prepare a launch. Blocks for as long as the disk does.

    Args:
        plan: How; ``None`` for no sandbox.
        argv: The command, not empty. Confined, a bare name is looked up inside, in the PATH
            of ``env``; otherwise it is taken as it is.
        env: Exactly the command's environment.
        cwd: Absolute; ``/`` takes its place where it cannot be seen inside.
        arg0: What the command sees as its own name.
        executable: Not confined: what to execute, if ``argv[0]`` is not its path.
        terminal: It runs on a terminal of its own.
        replan: Makes the plan of that moment, when something has changed; for ``mend``.
        not_run: Confined: exit code of a command that could not be executed.

    Raises:
        SandboxError: It cannot be launched so. Nothing is left of the attempt.
    """
    if plan is None or not plan.confines:
        named = [arg0, *argv[1:]] if arg0 is not None else [*argv]
        return Launch(named, executable or argv[0], env, cwd)
    from .confined import confine  # a server that confines nothing need not load it

    launch = confine(plan, argv, env=env, cwd=cwd, arg0=arg0, terminal=terminal, not_run=not_run)
    launch.replan = replan
    return launch
