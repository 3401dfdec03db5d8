"""Starting a child: pipes or a terminal, in a session of its own.

Two steps. ``prepare`` looks at the file system, which can hang, so it runs in a thread.
``spawn`` runs on the event loop: with pipes the interpreter uses ``vfork``, which takes a
fifth of a millisecond however large the server is. A terminal needs code between fork and
exec, to make it the controlling one; that copies the server's page tables and takes a few
milliseconds.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import termios
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from ..errors import SpawnError
from ..runtime.marks import set_mark, started_with
from ..runtime.open_files import restore_open_files_limit
from .environment_policy import child_environment
from .launch import EXIT_NOT_EXECUTABLE, EXIT_NOT_RUN, Launch
from .launch import prepare as prepare_launch
from .login_shell import login_shell

if TYPE_CHECKING:
    from exec_server_protocol.process import EnvironmentPolicy
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Child", "SpawnRequest", "prepare", "resolve", "spawn"]

_DEFAULT_PATH: Final = "/usr/local/bin:/bin:/usr/bin"
"""Where a bare program name is looked up when the child's environment has no PATH."""


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """A command with its folder, environment and descriptors, to be started.

    Attributes:
        argv: Program and arguments, not empty.
        arg0: What the program sees as ``argv[0]``; ``None`` for ``argv[0]`` itself.
        cwd: Absolute path.
        env: Variables that the request lists.
        tty: A terminal of ``rows`` by ``cols`` instead of pipes.
        pipe_stdin: With pipes: connect stdin; otherwise it is ``/dev/null``.
        sandbox: What it may do; ``None`` for anything.
        env_policy: What it inherits of the server's environment; ``None`` for nothing.
        trace: Variables that tie it to a trace.
        merge_stderr: With pipes: stderr is stdout's.
        start_errors: Look for the program before it is started in a sandbox, too.
    """

    argv: Sequence[str]
    arg0: str | None
    cwd: bytes
    env: Mapping[str, str]
    tty: bool
    pipe_stdin: bool
    rows: int = 24
    cols: int = 80
    sandbox: SandboxContext | None = None
    env_policy: EnvironmentPolicy | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    merge_stderr: bool = False
    start_errors: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A running child and this side's ends of its streams, all non-blocking.

    Attributes:
        popen: Owns the pid until it has been reaped.
        stdin: Where to write, or ``None``.
        outputs: Stream name and descriptor to read; one for a terminal or merged pipes, else two.
        terminal: Descriptor of the terminal, for its size and foreground group.
        launch: How it was launched.
        mark: By which all that it starts is known; 0 for none.
    """

    popen: subprocess.Popen[bytes]
    stdin: int | None
    outputs: tuple[tuple[bytes, int], ...]
    terminal: int | None
    launch: Launch
    mark: int = 0


def prepare(request: SpawnRequest) -> Launch:
    """Return how to launch the request. May block on a file system: use a thread.

    A program in a sandbox is looked up there, by bubblewrap. With ``start_errors`` it is looked
    up here before: inside there is nothing that is not here, but for ``/proc``.

    Raises:
        SpawnError: As ``resolve``.
        SandboxError: The request's sandbox cannot be enforced.
    """
    plan = replan = None
    request = replace(request, env=_complete(request))
    env = _environment(request.env)
    argv = [arg.encode() for arg in request.argv]
    arg0 = None if request.arg0 is None else request.arg0.encode()
    if request.sandbox is not None:
        from ..sandbox.planning import plan_for_process

        _check_texts(request)
        _check_cwd(request)
        staged = request.tty or arg0 is not None
        replan = partial(plan_for_process, request.sandbox, cwd=request.cwd, env=env, staged=staged)
        plan = replan()
    if plan is None or not plan.confines:
        executable = resolve(request)
        return prepare_launch(
            plan, argv, env=env, cwd=request.cwd, arg0=arg0, executable=executable
        )
    not_run = EXIT_NOT_RUN
    if request.start_errors:
        not_run = EXIT_NOT_EXECUTABLE
        if not request.argv[0].startswith("/proc/"):
            resolve(request)
    return prepare_launch(
        plan,
        argv,
        env=env,
        cwd=request.cwd,
        arg0=arg0,
        terminal=request.tty,
        replan=replan,
        not_run=not_run,
    )


def _complete(request: SpawnRequest) -> dict[str, str]:
    """Return the exact environment of the child."""
    env = child_environment(request.env, request.env_policy, os.environ, request.trace)
    if request.tty:
        env.setdefault("SHELL", login_shell())
    return env


def resolve(request: SpawnRequest) -> bytes:
    """Return the path of the program to execute. May block on a file system: use a thread.

    A name with a slash is taken as it is, relative to ``cwd``. A bare name is looked up in
    the child's PATH, whose relative folders are relative to ``cwd`` too.

    Raises:
        SpawnError: No such program or folder, not executable, or text with a NUL.
    """
    _check_texts(request)
    _check_cwd(request)
    name = request.argv[0]
    try:
        if "/" in name:
            path = os.path.join(request.cwd, name.encode())
            _check_executable(path)
            return path
        return _look_up(name.encode(), request)
    except OSError as error:
        raise SpawnError.from_os_error(error, "program", name) from error


def _check_texts(request: SpawnRequest) -> None:
    texts = [*request.argv, *request.env, *request.env.values(), request.arg0 or ""]
    if any("\0" in text for text in texts) or b"\0" in request.cwd:
        raise SpawnError("a NUL character in an argument, a variable or the working directory")
    if not request.argv[0]:
        raise SpawnError("missing program: argv[0] is empty")


def _check_cwd(request: SpawnRequest) -> None:
    try:
        if not stat.S_ISDIR(os.stat(request.cwd).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "")
    except OSError as error:
        told = SpawnError.from_os_error(error, "cwd", request.cwd)
        raise SpawnError(f"working directory: {told}", told.errno, "cwd", told.path) from error


def _check_executable(path: bytes) -> None:
    if stat.S_ISDIR(os.stat(path).st_mode) or not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, "")


def _look_up(name: bytes, request: SpawnRequest) -> bytes:
    denied = False
    path = request.env.get("PATH", _DEFAULT_PATH)
    for folder in path.encode().split(b":") if path else ():
        candidate = os.path.join(request.cwd, folder, name)
        try:
            _check_executable(candidate)
        except PermissionError:
            denied = True
        except OSError:
            continue
        else:
            return candidate
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, "")


def _environment(env: Mapping[str, str]) -> dict[bytes, bytes]:
    # A name may hold "=". The block that the kernel gets is only text, so the part up to
    # the first one can serve as the name.
    block: dict[bytes, bytes] = {}
    for name, value in env.items():
        head, equals, rest = name.partition("=")
        block[head.encode()] = f"{rest}={value}".encode() if equals else value.encode()
    return block


class _Descriptors:
    """Descriptors that are closed together unless they are taken over."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open += ends
        return ends

    def terminal(self) -> tuple[int, int]:
        ends = os.openpty()
        self._open += ends
        return ends

    def open(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags)
        self._open.append(descriptor)
        return descriptor

    def duplicate(self, descriptor: int) -> int:
        copy = os.dup(descriptor)
        self._open.append(copy)
        return copy

    def keep(self, descriptors: Sequence[int]) -> None:
        """Close all but these."""
        for descriptor in self._open:
            if descriptor in descriptors:
                os.set_blocking(descriptor, False)
            else:
                os.close(descriptor)
        self._open.clear()


def spawn(request: SpawnRequest, launch: Launch, mark: int = 0) -> Child:
    """Start the child. Call it on the event loop's thread; see the module's text for its cost.

    Args:
        request: What to start.
        launch: From ``prepare``. One that is confined runs nothing before it is admitted.
        mark: What it and all that it starts shall be known by; see ``marks``.

    Raises:
        SpawnError: It could not be started. Nothing is left of it.
    """
    descriptors = _Descriptors()
    kept: list[int] = []
    try:
        with started_with(mark):
            if request.tty:
                child = _spawn_terminal(request, launch, descriptors)
            else:
                child = _spawn_pipes(request, launch, descriptors)
        kept = [fd for _, fd in child.outputs]
        if child.stdin is not None:
            kept.append(child.stdin)
    except OSError as error:
        if error.filename is None:
            raise SpawnError.from_os_error(error) from error
        if error.filename == launch.cwd:
            raise SpawnError.from_os_error(error, "cwd", request.cwd) from error
        raise SpawnError.from_os_error(error, "program", request.argv[0]) from error
    finally:
        descriptors.keep(kept)
        launch.spawned()
    restore_open_files_limit(child.popen.pid)
    set_mark(child.popen.pid, mark)
    return replace(child, mark=mark)


def _popen(launch: Launch, fds: tuple[int, int, int], controlling: bool) -> subprocess.Popen[bytes]:
    def own_the_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with warnings.catch_warnings():
        # Python 3.12 warns of forking beside threads. The code that runs in the child is
        # one system call, and the threads here only look at files.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            launch.argv,
            executable=launch.executable,
            cwd=launch.cwd,
            env=launch.env,
            pass_fds=launch.pass_fds,
            stdin=fds[0],
            stdout=fds[1],
            stderr=fds[2],
            start_new_session=True,
            preexec_fn=own_the_terminal if controlling else None,
        )


def _spawn_pipes(request: SpawnRequest, launch: Launch, descriptors: _Descriptors) -> Child:
    stdin: int | None = None
    if request.pipe_stdin:
        child_in, stdin = descriptors.pipe()
    else:
        child_in = descriptors.open(os.devnull, os.O_RDONLY)
    out, child_out = descriptors.pipe()
    if request.merge_stderr:
        popen = _popen(launch, (child_in, child_out, child_out), False)
        return Child(popen, stdin, ((b"stdout", out),), None, launch)
    err, child_err = descriptors.pipe()
    popen = _popen(launch, (child_in, child_out, child_err), False)
    return Child(popen, stdin, ((b"stdout", out), (b"stderr", err)), None, launch)


def _spawn_terminal(request: SpawnRequest, launch: Launch, descriptors: _Descriptors) -> Child:
    master, slave = descriptors.terminal()
    termios.tcsetwinsize(slave, (request.rows, request.cols))
    # A second descriptor for writing: reading and writing end at different times.
    stdin = descriptors.duplicate(master)
    popen = _popen(launch, (slave, slave, slave), True)
    return Child(popen, stdin, ((b"pty", master),), master, launch)
