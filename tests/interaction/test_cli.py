"""``exec-client`` as people use it: real programs, real pipes, a real server."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interaction.conftest import Cli, Proxy

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 20.0


def read_until(fd: int, wanted: bytes) -> bytes:
    """Read a descriptor until ``wanted`` has come."""
    received = b""
    deadline = time.monotonic() + WAIT_S
    while wanted not in received:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{wanted!r} did not come after {received!r}"
        piece = os.read(fd, 65_536)
        assert piece, f"{wanted!r} did not come before the end: {received!r}"
        received += piece
    return received


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_gone(pid: int) -> None:
    """Wait until a process that is nobody's child here has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([handle], [], [], WAIT_S)
        assert ready, f"process {pid} is still there"
    finally:
        os.close(handle)


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]


def test_a_command_runs_without_any_preparation(cli: Cli) -> None:
    done = cli.run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


def test_a_command_of_the_server_of_our_own_runs_where_we_are(cli: Cli, tmp_path: Path) -> None:
    assert cli.run("run", "--", "pwd", cwd=tmp_path).stdout.decode().strip() == str(tmp_path)


def test_a_url_names_the_server(cli: Cli, server_url: str) -> None:
    assert cli.run("run", "--url", server_url, "--", "echo", "hi").stdout == b"hi\n"
    cli.env["EXEC_SERVER_URL"] = server_url
    assert json.loads(cli.run("info", "--json").stdout)["url"] == server_url


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 77"], 77),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-program-anywhere"], 127),
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["/"], 126),
    ],
)
def test_the_exit_code_is_that_of_a_shell(
    cli: Cli, server_url: str, words: list[str], code: int
) -> None:
    assert cli.run("run", "--url", server_url, "--", *words).returncode == code


@pytest.mark.parametrize("tty", [False, True])
def test_a_folder_that_is_missing_is_one_line_of_error(
    cli: Cli, server_url: str, tty: bool
) -> None:
    options = ["--tty"] if tty else []
    done = cli.run("run", "--url", server_url, *options, "--cwd", "/no/folder", "--", "true")
    # Which of the two depends on whether the executor says that it was the folder.
    assert done.returncode in (125, 127)
    assert done.stderr.startswith(b"exec-client: cannot start true: ")
    assert done.stderr.count(b"\n") == 1


def test_folder_and_variables_are_passed(cli: Cli, server_url: str, tmp_path: Path) -> None:
    cli.env["PASSED"] = "on"
    words = ["--cwd", str(tmp_path), "-e", "A=1", "-e", "PASSED"]
    script = 'echo "$PWD $A $PASSED ${TERM-none}"'
    done = cli.run("run", "--url", server_url, *words, "--", "sh", "-c", script)
    assert done.stdout.decode() == f"{tmp_path} 1 on none\n"


def test_a_relative_folder_starts_at_the_executors_own(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    done = cli.run("run", "--cwd", "sub", "--", "pwd", cwd=tmp_path)
    assert done.stdout.decode().strip() == str(tmp_path / "sub")


def test_nothing_is_inherited_when_nothing_is_wanted(cli: Cli, server_url: str) -> None:
    done = cli.run(
        "run", "--url", server_url, "--inherit-env", "none", "-e", "A=1", "--", "/usr/bin/env"
    )
    assert done.stdout == b"A=1\n"


def test_stdin_arrives_with_its_end(cli: Cli, server_url: str) -> None:
    data = os.urandom(3_000_000)
    done = cli.run("run", "--url", server_url, "--", "sha256sum", input=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_stdin_from_a_file_arrives_with_its_end(cli: Cli, server_url: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"from a file")
    with path.open("rb") as file:
        process = cli.popen("run", "--url", server_url, "--", "cat", stdin=file.fileno())
        out, _ = process.communicate(timeout=WAIT_S)
    assert out == b"from a file"


def test_no_stdin_is_an_empty_one(cli: Cli, server_url: str) -> None:
    assert cli.run("run", "--url", server_url, "--", "cat").returncode == 0


def test_a_command_that_closes_its_stdin_is_no_error(cli: Cli, server_url: str) -> None:
    script = "exec <&-; echo started; sleep 0.2; exit 4"
    done = cli.run("run", "--url", server_url, "--", "sh", "-c", script, input=b"x" * 5_000_000)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"started\n", b"")


def test_a_dialogue_is_not_held_back_by_any_buffer(cli: Cli, server_url: str) -> None:
    process = cli.popen("run", "--url", server_url, "--", "cat")
    assert process.stdin is not None
    assert process.stdout is not None
    for turn in range(20):
        message = f"turn {turn} without an end of line".encode()
        process.stdin.write(message)
        read_until(process.stdout.fileno(), message)
    process.stdin.close()
    assert process.wait(WAIT_S) == 0


def test_much_output_on_both_streams_arrives_complete_and_apart(cli: Cli, server_url: str) -> None:
    script = (
        "import hashlib, os, sys, threading\n"
        "def put(stream, seed):\n"
        "    for n in range(160):\n"
        "        stream.write(hashlib.sha256(seed + str(n).encode()).digest() * 2048)\n"
        "a = threading.Thread(target=put, args=(sys.stdout.buffer, b'o'))\n"
        "b = threading.Thread(target=put, args=(sys.stderr.buffer, b'e'))\n"
        "a.start(); b.start(); a.join(); b.join()\n"
    )
    done = cli.run("run", "--url", server_url, "--", sys.executable, "-c", script)
    for received, seed in ((done.stdout, b"o"), (done.stderr, b"e")):
        expected = b"".join(
            hashlib.sha256(seed + str(n).encode()).digest() * 2048 for n in range(160)
        )
        assert len(received) == len(expected)
        assert hashlib.sha256(received).digest() == hashlib.sha256(expected).digest()


def test_a_command_that_takes_too_long_is_killed(cli: Cli, server_url: str, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; echo before; sleep 600"
    done = cli.run("run", "--url", server_url, "--timeout", "0.5", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (124, b"before\n")
    assert b"killed after 0.5 s" in done.stderr
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_command_is_asked_to_end_before_it_is_killed(cli: Cli, server_url: str) -> None:
    options = ["run", "--url", server_url, "--timeout", "0.5", "--kill-after"]
    obeys = "trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.05; done"
    done = cli.run(*options, "20s", "--", "sh", "-c", obeys)
    assert (done.returncode, done.stdout) == (124, b"hi\nbye\n")
    done = cli.run(
        *options, "0.2", "--", "sh", "-c", "trap '' TERM; echo hi; sleep 600 & wait; wait"
    )
    assert (done.returncode, done.stdout) == (124, b"hi\n")
    assert b"killed after 0.7 s" in done.stderr


def test_output_is_written_up_to_a_limit(cli: Cli, server_url: str) -> None:
    script = "seq 100000; echo err >&2; seq 100000; exit 3"
    run = ["run", "--url", server_url, "--max-output"]
    done = cli.run(*run, "1K", "--", "sh", "-c", script)
    wanted = "".join(f"{i}\n" for i in range(1, 1000)).encode()[:1024]
    assert (done.returncode, done.stdout) == (3, wanted)
    assert done.stderr.count(b"stdout is longer than --max-output") == 1
    assert b"err\n" in done.stderr
    exact = cli.run(*run, "6", "--", "seq", "3")
    assert (exact.stdout, exact.stderr) == (b"1\n2\n3\n", b"")
    assert cli.run(*run, "many", "--", "true").returncode == 125


def test_stderr_comes_out_with_stdout_when_asked(cli: Cli, server_url: str) -> None:
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 3"
    done = cli.run("run", "--url", server_url, "--merge-stderr", "--", "sh", "-c", script)
    wanted = "".join(f"out {i}\nerr {i}\n" for i in (1, 2, 3)).encode()
    assert (done.returncode, done.stdout, done.stderr) == (3, wanted, b"")
    tty = cli.run("run", "--url", server_url, "--merge-stderr", "--tty", "--", "echo", "hi")
    assert (tty.returncode, tty.stdout) == (0, b"hi\r\n")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGINT, "INT"),
        (signal.SIGTERM, "TERM"),
        (signal.SIGHUP, "HUP"),
        (signal.SIGQUIT, "QUIT"),
        (signal.SIGUSR1, "USR1"),
        (signal.SIGUSR2, "USR2"),
    ],
)
def test_a_signal_goes_to_the_command(
    cli: Cli, server_url: str, number: signal.Signals, name: str
) -> None:
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    process = cli.popen("run", "--url", server_url, "--", "sh", "-c", script)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")
    process.send_signal(number)
    read_until(process.stdout.fileno(), f"got {name}\n".encode())
    assert process.wait(WAIT_S) == 9


def test_a_signal_that_ends_the_command_is_its_exit_code(cli: Cli, server_url: str) -> None:
    process = cli.popen("run", "--url", server_url, "--", "sh", "-c", "echo ready; sleep 600")
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 143


def test_an_interrupt_while_connecting_ends_the_program(cli: Cli) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        process = cli.popen("run", "--url", url, "--", "true")
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == 130


def test_output_that_nobody_reads_kills_the_command(
    cli: Cli, server_url: str, tmp_path: Path
) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec yes"
    process = cli.popen("run", "--url", server_url, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stderr is not None
    read_until(process.stdout.fileno(), b"y\n")
    process.stdout.close()
    assert process.wait(WAIT_S) == 141
    assert process.stderr.read() == b""
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_stderr_that_nobody_reads_does_not_disturb_the_command(cli: Cli, server_url: str) -> None:
    script = "echo ready; read x; head -c 300000 /dev/zero >&2; echo done"
    process = cli.popen("run", "--url", server_url, "--", "sh", "-c", script)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    read_until(process.stdout.fileno(), b"ready\n")
    process.stderr.close()
    process.stdin.write(b"go\n")
    read_until(process.stdout.fileno(), b"done\n")
    assert process.wait(WAIT_S) == 0


def test_a_slow_reader_of_the_output_can_still_interrupt_the_command(
    cli: Cli, server_url: str
) -> None:
    process = cli.popen("run", "--url", server_url, "--", "sh", "-c", "echo go; exec yes")
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"go\n")
    process.send_signal(signal.SIGINT)
    while os.read(process.stdout.fileno(), 1_000_000):
        pass
    assert process.wait(WAIT_S) == 130


def test_a_reader_that_does_not_read_cannot_hold_up_a_timeout(cli: Cli, server_url: str) -> None:
    process = cli.popen("run", "--url", server_url, "--timeout", "0.5", "--", "yes")
    assert process.wait(WAIT_S) == 124


def test_info_is_for_people_or_for_programs(cli: Cli, server_url: str) -> None:
    text = cli.run("info", "--url", server_url).stdout.decode()
    assert f"url        {server_url}\n" in text
    assert "processCloseStdin" in text
    facts = json.loads(cli.run("info", "--url", server_url, "--json").stdout)
    assert facts["status"] == "ready"
    assert facts["environmentInfo"]["capabilities"]["processResize"] is True


def test_ps_of_a_fresh_session_is_only_the_heading(cli: Cli, server_url: str) -> None:
    done = cli.run("ps", "--url", server_url)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split()[0] == b"PROCESS"
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(cli.run("ps", "--url", server_url, "--json").stdout) == []


def test_ps_shows_the_session_of_a_client_that_has_gone(cli: Cli, server_url: str) -> None:
    code = f"""
import asyncio
from exec_client import connect
async def main():
    async with connect({server_url!r}) as client:
        await client.start(["sleep", "600"], tty=True, process_id="long-one")
        done = await client.start(["false"], process_id="short-one")
        await done.wait()
        print(client.session_id)
asyncio.run(main())
"""
    command = [sys.executable, "-c", code]
    session = subprocess.check_output(command, text=True, timeout=WAIT_S).strip()
    text = cli.run("ps", "--url", server_url, "--session", session).stdout.decode()
    _, long, short = text.splitlines()
    assert long.split()[:3] == ["long-one", "running", "yes"]
    assert long.split()[-1] == "sleep"
    assert short.split()[:3] == ["short-one", "closed", "1"]
    again = cli.run("ps", "--url", server_url, "--session", session, "--json")
    assert [process["argv0"] for process in json.loads(again.stdout)] == ["sleep", "false"]


def test_a_session_that_is_unknown_is_one_line_of_error(cli: Cli, server_url: str) -> None:
    done = cli.run("ps", "--url", server_url, "--session", "no-such-session")
    assert done.returncode == 125
    assert done.stderr.startswith(b"exec-client: ")
    assert done.stderr.count(b"\n") == 1


def test_the_server_of_our_own_and_its_command_end_with_us(cli: Cli) -> None:
    process = cli.popen("run", "--", "sh", "-c", "echo $$; sleep 600")
    assert process.stdout is not None
    command = int(read_until(process.stdout.fileno(), b"\n"))
    [server] = children(process.pid)
    process.terminate()
    assert process.wait(WAIT_S) == 143
    wait_gone(server)
    wait_gone(command)


def test_the_server_of_our_own_and_its_command_end_when_we_are_killed(cli: Cli) -> None:
    process = cli.popen("run", "--", "sh", "-c", "echo $$; sleep 600")
    assert process.stdout is not None
    command = int(read_until(process.stdout.fileno(), b"\n"))
    [server] = children(process.pid)
    process.kill()
    process.wait(WAIT_S)
    wait_gone(server)
    wait_gone(command)


def interrupted_run(
    cli: Cli, proxy: Proxy, *options: str
) -> tuple[subprocess.Popen[bytes], Callable[[], bytes]]:
    script = "echo ready; read x; echo between; read y; echo last"
    process = cli.popen("run", "--url", proxy.url, *options, "--", "sh", "-c", script)
    assert process.stdin is not None
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")
    process.stdin.write(b"1\n")
    read_until(process.stdout.fileno(), b"between\n")
    proxy.cut()
    process.stdin.write(b"2\n")
    read_until(process.stdout.fileno(), b"last\n")
    stderr = process.stderr
    assert stderr is not None
    return process, lambda: stderr.read() or b""


def test_a_cut_is_survived_and_reported_in_one_line(cli: Cli, proxy: Proxy) -> None:
    process, stderr = interrupted_run(cli, proxy)
    assert process.wait(WAIT_S) == 0
    [line] = stderr().decode().splitlines()
    assert line.startswith("exec-client: connection lost, resumed after ")
    assert line.endswith(" bytes recovered")


def test_a_timeout_holds_while_the_connection_is_lost(cli: Cli, proxy: Proxy) -> None:
    command = ("sh", "-c", "echo ready; sleep 600")
    process = cli.popen("run", "--url", proxy.url, "--timeout", "2", "--", *command)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")
    began = time.monotonic()
    proxy.close()
    assert process.wait(WAIT_S) == 124
    assert time.monotonic() - began < 15  # far less than a recovery is given


def test_a_cut_is_survived_in_silence_when_quiet(cli: Cli, proxy: Proxy) -> None:
    process, stderr = interrupted_run(cli, proxy, "--quiet")
    assert process.wait(WAIT_S) == 0
    assert stderr() == b""
