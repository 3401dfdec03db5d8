"""A real exec-server, and the exec-client program to run against it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
WAIT_S = 30.0


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """The URL of a server that lives as long as the tests of one module."""
    server = subprocess.Popen(
        [BIN / "exec-server", "--exit-on-stdin-close"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
        server.stdin.close()
        server.wait(WAIT_S)
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


@dataclass
class Cli:
    """Runs ``exec-client`` with an environment that names no executor."""

    env: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *words: str | Path) -> list[str]:
        return [str(BIN / "exec-client"), *map(str, words)]

    def run(
        self, *words: str | Path, input: bytes | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*words),
            env=self.env,
            cwd=cwd,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )

    def popen(
        self,
        *words: str | Path,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        session: bool = False,
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command(*words),
            env=self.env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            start_new_session=session,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def cli() -> Iterator[Cli]:
    """The ``exec-client`` program; whatever it still runs at the end is killed."""
    names = ("EXEC_SERVER_URL", "CODEX_EXEC_SERVER_URL")
    program = Cli({name: value for name, value in os.environ.items() if name not in names})
    yield program
    program.close()


class Proxy:
    """Forwards one address to another, and can cut everything that goes through it."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("ws://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._passes = threading.Event()
        self._passes.set()
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._passes.wait()
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def cut(self, *, hold: bool = False) -> None:
        """End all connections; with ``hold``, new ones get nowhere until ``let_through``."""
        if hold:
            self._passes.clear()
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            # Without a shutdown the pump's read in progress would keep the connection.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def let_through(self) -> None:
        self._passes.set()

    def close(self) -> None:
        self._passes.set()
        if not self._thread.is_alive():
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.cut()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy(server_url: str) -> Iterator[Proxy]:
    proxy = Proxy(server_url)
    yield proxy
    proxy.close()
