"""Starts that fail: the same exceptions and exit codes, whatever the executor has and confines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import exec_client
import pytest
from exec_client import StartError, connect, sync
from exec_server_protocol.errors import InternalError, InvalidParamsError
from exec_server_protocol.sandbox import SandboxContext
from exec_testkit.sandboxes import context, path, place
from exec_testkit.server import ServerProcess

if TYPE_CHECKING:
    from tests.interaction.conftest import Cli

pytestmark = pytest.mark.process

BARE = (
    "import sys; from exec_server.sandbox import bubblewrap; from exec_server.cli import main;"
    "bubblewrap._packaged = lambda: None; sys.exit(main(sys.argv[1:]))"
)
READ_ONLY = ("--sandbox", "read-only")


@pytest.fixture(scope="module")
def bare() -> Iterator[ServerProcess]:
    """An executor that has neither bubblewrap nor the file helper."""
    command = [sys.executable, "-c", BARE, "--exit-on-stdin-close", "--listen", "ws://127.0.0.1:0"]
    command += ["--fs-helper", "/nonexistent/fs-helper"]
    with ServerProcess(command=command, env={**os.environ, "PATH": "/nonexistent"}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that is no program and a program that is none of this system."""
    (tmp_path / "data").write_text("data", encoding="utf-8")
    (tmp_path / "foreign").write_bytes(b"\x7fELF\0")
    (tmp_path / "foreign").chmod(0o755)
    return tmp_path


FAILING: list[tuple[str, str, type[OSError], int]] = [
    ("no-such-program", "", FileNotFoundError, 127),
    ("{0}/missing", "", FileNotFoundError, 127),
    ("{0}/data", "", PermissionError, 126),
    ("{0}", "", PermissionError, 126),
    ("{0}/data/x", "", NotADirectoryError, 126),
    ("/bin/true", "{0}/missing", FileNotFoundError, 125),
    ("/bin/true", "{0}/missing", NotADirectoryError, 125),
    ("/bin/true", "{0}/data", NotADirectoryError, 125),
]


@pytest.mark.parametrize("confined", [False, True], ids=["free", "confined"])
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize(("program", "cwd", "kind", "code"), FAILING)
async def test_a_start_that_fails_raises_what_subprocess_would(
    server: ServerProcess,
    folder: Path,
    program: str,
    cwd: str,
    kind: type[OSError],
    code: int,
    tty: bool,
    confined: bool,
) -> None:
    program, where = program.format(folder), cwd.format(folder)
    sandbox = SandboxContext.read_only() if confined else None
    async with connect(server.url) as client:
        with pytest.raises(kind) as caught:
            await client.run([program], cwd=where or folder, tty=tty, sandbox=sandbox)
        error = caught.value
        assert isinstance(error, StartError)
        assert isinstance(error, InternalError)
        assert isinstance(error, exec_client.ExecError)
        assert error.filename == (where or program)
        assert (where or program) in str(error)
        assert (error.about, error.program) == ("cwd" if where else "program", program)
        assert error.data["path"] == error.filename
        assert await client.list_processes() == []


@pytest.mark.parametrize("confined", [(), READ_ONLY], ids=["free", "confined"])
@pytest.mark.parametrize(("program", "cwd", "kind", "code"), FAILING)
def test_the_program_ends_with_the_code_of_the_table(
    cli: Cli,
    server: ServerProcess,
    folder: Path,
    program: str,
    cwd: str,
    kind: type[OSError],
    code: int,
    confined: tuple[str, ...],
) -> None:
    where = ("--cwd", cwd.format(folder)) if cwd else ()
    words = ("run", "--url", server.url, *confined, *where, "--", program.format(folder))
    done = cli.run(*words)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(b"exec-client: cannot start ")
    assert b"Traceback" not in done.stderr


def test_a_program_of_another_system_cannot_be_executed(
    cli: Cli, server: ServerProcess, folder: Path
) -> None:
    assert cli.run("run", "--url", server.url, "--", folder / "foreign").returncode == 126


def test_a_program_that_only_the_sandbox_hides_cannot_be_executed(
    server: ServerProcess, folder: Path
) -> None:
    program = folder / "hidden" / "program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    policy = SandboxContext.model_validate(
        context([place("root"), path(program.parent, "deny")], cwd=folder)
    )
    with sync.connect(server.url) as client:
        assert client.run([program]).returncode == 0
        for tty in (False, True):
            assert client.run([program], sandbox=policy, tty=tty).returncode == 126


@pytest.mark.parametrize(("program", "code"), [("/bin/true", 0), ("no-such-program", 127)])
def test_without_bubblewrap_and_helper_commands_end_as_before(
    cli: Cli, bare: ServerProcess, program: str, code: int
) -> None:
    assert cli.run("run", "--url", bare.url, "--", program).returncode == code


@pytest.mark.parametrize("program", ["/bin/true", "no-such-program", "/etc/passwd"])
def test_a_missing_bubblewrap_is_no_missing_program(
    cli: Cli, bare: ServerProcess, program: str
) -> None:
    done = cli.run("run", "--url", bare.url, *READ_ONLY, "--", program)
    assert (done.returncode, b"bubblewrap" in done.stderr) == (125, True), done.stderr
    with (
        sync.connect(bare.url) as client,
        pytest.raises(InvalidParamsError, match="bubblewrap") as caught,
    ):
        client.run([program], sandbox=SandboxContext.read_only())
    assert caught.value.data == {"kind": "sandbox"}


def test_a_missing_helper_is_told_and_is_no_missing_file(cli: Cli, bare: ServerProcess) -> None:
    done = cli.run("cat", "--url", bare.url, ":/etc/passwd")
    assert done.returncode == 1  # as `cat` ends that could not read a file
    assert b"exec-fs-helper" in done.stderr
    with sync.connect(bare.url) as client, pytest.raises(exec_client.FileError) as caught:
        client.fs.read_bytes("/etc/passwd")
    assert not isinstance(caught.value, FileNotFoundError)


def test_output_that_cannot_be_written_is_a_failure_of_our_own(
    cli: Cli, server: ServerProcess
) -> None:
    with open("/dev/full", "wb") as full:
        running = cli.popen("run", "--url", server.url, "--", "echo", "hi", stdout=full.fileno())
        assert running.wait(30) == 125


def test_a_command_that_takes_too_long_ends_with_the_code_of_timeout(
    cli: Cli, server: ServerProcess
) -> None:
    done = cli.run("run", "--url", server.url, "--timeout", "0.2", "--", "sleep", "60")
    assert done.returncode == 124
