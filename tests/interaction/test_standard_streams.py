"""Both programs with standard streams as their starters leave them: closed, or non-blocking."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interaction.conftest import Cli

pytestmark = [pytest.mark.process, pytest.mark.slow]

BIN = Path(sys.executable).parent
WAIT_S = 30.0
LONG = 200_000
"""Bytes: several times what a pipe holds."""


def _without(closed: set[int], command: list[str]) -> list[str]:
    """Return a command whose program begins with descriptors closed."""
    # A shell closes them: nothing of ours is in the way between fork and exec.
    closing = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in sorted(closed))
    return ["sh", "-c", f'exec "$@" {closing}', "sh", *command]


def _run_without(
    closed: set[int], command: list[str], env: dict[str, str]
) -> tuple[int, bytes, bytes]:
    """Run a command with descriptors closed; returns code, stdout and stderr as far as open."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = subprocess.run(
            _without(closed, command),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=WAIT_S,
            check=False,
        ).returncode
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


@pytest.mark.parametrize("closed", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}])
def test_a_command_ends_with_its_code_whichever_streams_are_closed(
    cli: Cli, server_url: str, closed: set[int]
) -> None:
    script = f"head -c {LONG} /dev/zero | tr '\\0' o; echo err >&2; exit 3"
    command = cli.command("run", "--url", server_url, "--", "sh", "-c", script)
    code, out, err = _run_without(closed, command, cli.env)
    assert code == 3
    assert out == (b"" if 1 in closed else b"o" * LONG)
    assert err == (b"" if 2 in closed else b"err\n")


def test_what_is_printed_may_go_nowhere(cli: Cli, server_url: str) -> None:
    command = cli.command("info", "--url", server_url)
    assert _run_without({1}, command, cli.env) == (0, b"", b"")


@pytest.mark.parametrize("closed", [{0}, {1}, {2}, {0, 1, 2}])
def test_a_server_runs_whichever_streams_are_closed_until_it_is_told_to_stop(
    closed: set[int],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(BIN / "exec-server"), "--listen", f"ws://127.0.0.1:{port}"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        server = subprocess.Popen(
            _without(closed, command), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            _wait_for_listener(server, port)
            server.send_signal(signal.SIGINT)
            assert server.wait(WAIT_S) == 0
        finally:
            server.kill()
            server.wait()
        out.seek(0)
        err.seek(0)
        assert err.read() == b""
        assert out.read() == (b"" if 1 in closed else f"ws://127.0.0.1:{port}\n".encode())


def _wait_for_listener(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until somebody takes connections: with stdout closed, a server cannot say so."""
    deadline = time.monotonic() + WAIT_S
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    pytest.fail(f"nobody listens, exit code {server.returncode}")


@pytest.mark.parametrize("closed", [{0}, set()])
def test_a_server_that_is_to_end_with_its_stdin_ends_without_one(closed: set[int]) -> None:
    command = [str(BIN / "exec-server"), "--exit-on-stdin-close"]
    code, _, err = _run_without(closed, command, dict(os.environ))
    assert (code, err) == (0, b"")


def _non_blocking_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    return reader, writer


def _wait_until_full(writer: int) -> None:
    """Wait until a pipe takes nothing more, and let go of it: whoever else writes has to wait."""
    deadline = time.monotonic() + WAIT_S
    while select.select([], [writer], [], 0)[1]:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
    os.close(writer)


def _read_all(reader: int) -> bytes:
    with open(reader, "rb") as file:
        return file.read()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_waits_for_the_reader_of_a_pipe_that_does_not_block(
    cli: Cli, server_url: str, stream: str
) -> None:
    reader, writer = _non_blocking_pipe()
    where = "" if stream == "stdout" else " >&2"
    script = f"head -c {LONG} /dev/zero{where}; exit 4"
    words = ("run", "--url", server_url, "--", "sh", "-c", script)
    if stream == "stdout":
        process = cli.popen(*words, stdin=subprocess.DEVNULL, stdout=writer)
    else:
        process = cli.popen(*words, stdin=subprocess.DEVNULL, stderr=writer)
    assert not os.get_blocking(writer)
    _wait_until_full(writer)
    assert len(_read_all(reader)) == LONG
    assert process.wait(WAIT_S) == 4


def test_what_is_printed_waits_for_the_reader_of_a_pipe_that_does_not_block(
    cli: Cli, server_url: str, tmp_path: Path
) -> None:
    names = sorted(f"{number:04}{'x' * 200}" for number in range(LONG // 200))
    for name in names:
        (tmp_path / name).touch()
    reader, writer = _non_blocking_pipe()
    words = ("ls", "--url", server_url, f":{tmp_path}")
    process = cli.popen(*words, stdin=subprocess.DEVNULL, stdout=writer)
    _wait_until_full(writer)
    assert _read_all(reader).decode().split() == names
    assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_server_says_waits_for_the_reader_of_a_pipe_that_does_not_block(stream: str) -> None:
    reader, writer = _non_blocking_pipe()
    code = "import sys; from exec_server.standard_streams import open_standard_streams as prepare; "
    code += f"prepare(); sys.{stream}.write('x' * {LONG}); sys.{stream}.flush()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=writer if stream == "stdout" else subprocess.PIPE,
        stderr=writer if stream == "stderr" else subprocess.PIPE,
    )
    _wait_until_full(writer)
    assert _read_all(reader) == b"x" * LONG
    other = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"".join(filter(None, other))) == (0, b"")


def test_input_that_does_not_block_is_read_to_its_end(cli: Cli, server_url: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = cli.popen("run", "--url", server_url, "--", "cat", stdin=reader)
    assert process.stdout is not None
    with open(writer, "wb", buffering=0) as file:
        for piece in (b"one\n", b"two\n"):
            file.write(piece)
            assert process.stdout.readline() == piece
    assert process.wait(WAIT_S) == 0
    os.close(reader)
