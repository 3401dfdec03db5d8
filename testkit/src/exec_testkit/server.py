"""A real server as a child: learns its URL without sleeping, leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from .liveness import descendants, resident_bytes, wait_gone

__all__ = ["ServerProcess", "program", "server_below"]

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


def program(name: str) -> str:
    """Return the path of a program of this workspace: the one beside the interpreter."""
    return str(Path(sys.executable).parent / name)


_PASSED_ON_BY_NOBODY: Final = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT}


def server_below(pid: int) -> int:
    """Return the server that a process supervises; the process itself if it supervises none.

    The supervisor and the server are one program that has forked, so they look the same.
    """
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    for child in map(int, children.split()):
        if Path(f"/proc/{child}/cmdline").read_bytes() == command:
            return child
    return pid


class ServerProcess:
    """An executor's program, started and stopped by a test.

    Its stdin is a pipe of ours, and our own program is told to end with it: should the test
    be killed, the server goes too.

    Args:
        *arguments: Further arguments of the program.
        command: Program and first arguments; ``None`` for our ``exec-server``.
        env: Environment; ``None`` for the test's own.

    Attributes:
        url: What it printed.
        pid: Of the server itself: what serves, uses memory and holds descriptors.
        supervisor: Pid of what was started, and is signalled by its user: a supervisor above the
            server; the server itself, if it has none.
    """

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives with the object
        ours = [program("exec-server"), "--exit-on-stdin-close", "--listen", "ws://127.0.0.1:0"]
        self._popen = subprocess.Popen(
            [*(command or ours), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            start_new_session=True,
        )
        self.pid = self.supervisor = self._popen.pid
        self.url = self._first_line()
        self.pid = server_below(self.supervisor)

    def _first_line(self) -> str:
        stdout = self._popen.stdout
        assert stdout is not None
        ready = select.select([stdout], [], [], _START_SECONDS)[0]
        line = stdout.readline().decode().strip() if ready else ""
        if not line.startswith(("ws://", "wss://")):
            log = self.log()
            self.close()
            raise RuntimeError(f"the server printed no URL but {line!r}\n{log}")
        return line

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def resident_bytes(self) -> int:
        """Memory of the server alone, without what it started."""
        return resident_bytes([self.pid])

    @property
    def open_files(self) -> int:
        """Descriptors that the server holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log(self) -> str:
        """What it wrote to stderr."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal; one that nobody can pass on goes to the server itself."""
        if number in _PASSED_ON_BY_NOBODY:
            os.kill(self.pid, number)
        else:
            self._popen.send_signal(number)

    def wait(self, timeout: float = _STOP_SECONDS) -> int:
        """Wait for its end; returns the exit status."""
        return self._popen.wait(timeout)

    def close(self) -> None:
        """Stop it and make sure that nothing of it runs any more. Repeating it does nothing."""
        tree = descendants(self.supervisor) if self._popen.poll() is None else set()
        if tree:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for pid in tree - {self.supervisor}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_gone(pid)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
