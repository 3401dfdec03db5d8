"""``exec-client cp``, ``ls`` and ``cat``, and policies on the command line."""

# ruff: noqa: ASYNC240 - what a test looks at is on a local disk
from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy, Kind
from exec_testkit.server import ServerProcess

pytestmark = pytest.mark.process

PROGRAM = str(Path(sys.executable).parent / "exec-client")
MIB = 1024 * 1024
WAIT_S = 60.0

Cli = Callable[..., "subprocess.CompletedProcess[bytes]"]


def _environ(url: str) -> dict[str, str]:
    return {**os.environ, "EXEC_SERVER_URL": url}


@pytest.fixture
def cli(server: ServerProcess, folder: Path) -> Cli:
    """Run the program in a folder that is empty at first."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [PROGRAM, *map(str, words)],
            cwd=folder,
            env=_environ(server.url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )

    return run


def _random(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


# ------------------------------------------------------------------ cp


def test_a_file_goes_there_and_back(cli: Cli, folder: Path) -> None:
    (folder / "here").write_bytes(_random(1, 6 * MIB))
    done = cli("cp", "here", f":{folder}/there")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (folder / "there").read_bytes() == (folder / "here").read_bytes()
    assert cli("cp", f"exec:{folder}/there", "back").returncode == 0
    assert (folder / "back").read_bytes() == (folder / "here").read_bytes()


def test_a_directory_takes_what_is_copied_to_it(cli: Cli, folder: Path) -> None:
    (folder / "src/sub").mkdir(parents=True)
    (folder / "src/sub/f").write_text("x")
    (folder / "one").write_text("1")
    (folder / "there").mkdir()
    assert cli("cp", "-r", "src", "one", f":{folder}/there").returncode == 0
    assert (folder / "there/src/sub/f").read_text() == "x"
    assert (folder / "there/one").read_text() == "1"
    assert cli("cp", "-r", "src/", f":{folder}/named").returncode == 0
    assert (folder / "named/sub/f").read_text() == "x"
    assert cli("cp", "-r", f":{folder}/there/src", f":{folder}/there/one", ".").returncode == 0
    (folder / "back").mkdir()
    assert cli("cp", "-r", f":{folder}/named/.", "back").returncode == 0
    assert (folder / "back/named/sub/f").read_text() == "x"
    assert cli("cp", "-r", f":{folder}/there", f":{folder}/copy").returncode == 0
    assert (folder / "copy/src/sub/f").read_text() == "x"


def test_one_failure_is_told_and_does_not_hold_up_the_rest(cli: Cli, folder: Path) -> None:
    (folder / "good").write_text("x")
    (folder / "there").mkdir()
    done = cli("cp", "none", "good", "there", f":{folder}/there")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "exec-client: none: No such file or directory",
        "exec-client: there: Is a directory, which -r copies",
    ]
    assert (folder / "there/good").read_text() == "x"
    assert cli("cp", f":{folder}/none", ".").returncode == 1
    assert cli("cp", "good", f":{folder}/none/").returncode == 1
    assert cli("cp", f":{folder}/good", "none/").returncode == 1
    usage = cli("cp", "good", "bad")
    assert usage.returncode == 125
    assert b"write a path on it as :PATH" in usage.stderr


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["to-server", "to-client"])
@pytest.mark.parametrize("end", ["lost", "interrupted"])
async def test_a_copy_that_was_broken_off_is_taken_up(
    server: ServerProcess, folder: Path, direction: Direction, end: str
) -> None:
    data = _random(2, 24 * MIB + 7)
    (folder / "source").write_bytes(data)
    where = ["source", f":{folder}/target"]
    if direction == "to-client":
        where = [f":{folder}/source", "target"]
    kind = Kind.STALL if end == "interrupted" else Kind.RESET
    # Well into the copy: a server sends a block in four frames, a client in one.
    frames = 56 if direction == "to-client" else 20
    cut = Cut(direction, frames, kind, seconds=WAIT_S)
    with ServerProcess() as another:

        def plan(number: int) -> Cut | None:
            proxy._port = another.port  # later connections: it knows nothing of the session
            return cut if number == 0 else None

        async with FaultProxy(server.port, plan) as proxy:

            async def start(*options: str) -> asyncio.subprocess.Process:
                return await asyncio.create_subprocess_exec(
                    PROGRAM,
                    "cp",
                    *options,
                    *where,
                    cwd=folder,
                    env=_environ(proxy.url),
                    stderr=subprocess.PIPE,
                )

            first = await start()
            # Another program gets there; once it has, it may have connected again already.
            while proxy.frames[direction] < frames and proxy.connections < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if end == "interrupted":
                await asyncio.sleep(0.2)  # the stall is there, whether we wait or not
                first.send_signal(signal.SIGINT)
            _, said = await asyncio.wait_for(first.communicate(), WAIT_S)
            if end == "interrupted":
                assert first.returncode == 130
            else:
                assert first.returncode == 125
                assert b"the same command with --resume goes on" in said
            assert not (folder / "target").exists()
            [part] = folder.glob(".target.*.part")
            assert 4 * MIB < part.stat().st_size < len(data)

            proxy.bytes[direction] = 0
            second = await start("--resume")
            _, said = await asyncio.wait_for(second.communicate(), WAIT_S)
            assert (second.returncode, said) == (0, b"")
            # All of it would be a third more than its size, with base64. Blocks that were
            # on their way at the cut count for nothing.
            assert proxy.bytes[direction] < 0.85 * len(data) * 4 / 3
    assert (folder / "target").read_bytes() == data
    assert sorted(path.name for path in folder.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_gets_a_line_of_progress_with_and_without_rich_and_nobody_else(
    server: ServerProcess, folder: Path, rich: bool
) -> None:
    (folder / "hidden").mkdir()
    if not rich:
        (folder / "hidden/rich.py").write_text("raise ModuleNotFoundError")
    (folder / "source").write_bytes(_random(3, 9 * MIB))

    def copy(*options: str) -> str:
        leader, follower = pty.openpty()
        try:
            process = subprocess.Popen(
                [PROGRAM, "cp", *options, "source", f":{folder}/target"],
                cwd=folder,
                env={
                    **_environ(server.url),
                    "TERM": "xterm",
                    "COLUMNS": "120",
                    "PYTHONPATH": f"{folder}/hidden",
                },
                stderr=follower,
            )
            os.close(follower)
            said = b""
            while True:
                try:
                    piece = os.read(leader, 65536)
                except OSError:  # the other end is closed
                    break
                said += piece
            assert process.wait(WAIT_S) == 0
        finally:
            os.close(leader)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())

    shown = copy()
    assert "source" in shown
    assert ("9.0/9.0 MiB" if rich else "100%  9,437,184 of 9,437,184 bytes") in shown
    assert "1/1" in shown
    assert copy("--quiet") == ""


# ------------------------------------------------------------------ ls and cat


def test_a_directory_is_listed(cli: Cli, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "f").write_bytes(bytes(12_345))
    os.utime(folder / "f", (1_600_000_000, 1_600_000_000))
    (folder / "link").symlink_to("d")
    (folder / ".hidden").write_text("")
    assert cli("ls", folder).stdout == b"d/\nf\nlink/\n"
    assert cli("ls", "-a", f":{folder}").stdout == b".hidden\nd/\nf\nlink/\n"
    lines = cli("ls", "-l", folder).stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["d", "-", "dl"]
    assert re.fullmatch(r"-  12,345 2020-09-1[345] \d\d:\d\d f", lines[1])
    facts = json.loads(cli("ls", "--json", folder).stdout)
    assert facts[1] == {
        "name": "f",
        "path": f"{folder}/f",
        "kind": "file",
        "symlink": False,
        "size": 12345,
        "modifiedAt": 1_600_000_000.0,
        "createdAt": facts[1]["createdAt"],
    }


def test_several_paths_are_listed_under_their_names(cli: Cli, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/x").write_text("")
    (folder / "f").write_text("")
    done = cli("ls", folder / "d", folder / "none", folder / "f")
    assert done.returncode == 1
    assert done.stderr.decode() == f"exec-client: {folder}/none: No such file or directory\n"
    assert done.stdout.decode() == f"{folder}/d:\nx\n\n{folder}/f:\n{folder}/f\n"


def test_what_is_in_a_file_comes_out(cli: Cli, folder: Path) -> None:
    data = _random(4, 3 * MIB)
    (folder / "f").write_bytes(data)
    (folder / "g").write_text("end")
    done = cli("cat", folder / "f", folder / "none", f":{folder}/g")
    assert done.returncode == 1
    assert done.stdout == data + b"end"
    assert done.stderr.decode() == f"exec-client: {folder}/none: No such file or directory\n"


def test_nobody_reads_on_is_the_end_of_cat(server: ServerProcess, folder: Path) -> None:
    (folder / "f").write_bytes(bytes(50 * MIB))
    done = subprocess.run(
        ["bash", "-c", f"'{PROGRAM}' cat '{folder}/f' | head -c 1; exit ${{PIPESTATUS[0]}}"],
        env=_environ(server.url),
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, b"\0", b"")


# ------------------------------------------------------------------ policies


def test_a_policy_confines_every_subcommand(cli: Cli, folder: Path) -> None:
    (folder / "f").write_text("old")
    refused = cli("cp", "--sandbox", "read-only", "f", f":{folder}/g")
    assert (refused.returncode, (folder / "g").exists()) == (1, False)
    assert b"Read-only file system" in refused.stderr
    assert cli("cat", "--sandbox", "read-only", folder / "f").stdout == b"old"
    assert cli("ls", "--sandbox", "read-only", folder).stdout == b"f\n"


def test_workspace_write_lets_the_workspace_be_written(cli: Cli) -> None:
    # Not below /tmp, which it lets be written too.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "w").mkdir()
        (folder / "o").mkdir()
        _check_workspace_write(cli, folder)


def _check_workspace_write(cli: Cli, folder: Path) -> None:

    confined = ("run", "--sandbox", "workspace-write", "--cwd", folder / "w")
    script = f"echo x > w; echo x > {folder}/o/x; true"
    done = cli(*confined, "--", "sh", "-c", script)
    assert done.returncode == 0
    assert ((folder / "w/w").exists(), (folder / "o/x").exists()) == (True, False)
    assert cli(*confined, "--writable", folder / "o", "--", "sh", "-c", script).returncode == 0
    assert (folder / "o/x").exists()


def test_options_without_an_effect_are_refused(cli: Cli, folder: Path) -> None:
    for options in (
        ["--writable", "/"],
        ["--sandbox", "read-only", "--writable", "/"],
        ["--allow-network"],
    ):
        done = cli("ls", *options, folder)
        assert (done.returncode, b"needs --sandbox" in done.stderr) == (125, True)
