"""What goes beyond the reference server, and where we differ from it on purpose."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from exec_testkit.server import ServerProcess, program
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_extensions_are_announced(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    announced = client.info["capabilities"]
    names = ["processResize", "processCloseStdin", "processList", "processSignals"]
    names += ["processDetails", "processMergeStderr"]
    assert all(announced[name] is True for name in names)
    await client.close()


async def test_a_terminal_starts_with_its_size_and_follows_changes(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    script = "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done"
    await client.start("p", ["sh", "-c", script], tty=True, rows=10, cols=33)
    assert b"10 33" in await client.output_until(b"ready")
    assert await client.call("process/resize", {"processId": "p", "rows": 50, "cols": 120}) == {}
    assert b"50 120" in await client.output_until(b"50 120")
    await client.finish("p")
    await client.close()


async def test_resizing_what_has_no_terminal_is_refused(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"])
    for name in ("p", "nobody"):
        params = {"processId": name, "rows": 1, "cols": 1}
        assert await client.refused("process/resize", params) == -32600
    for bad in (0, 65536, "1"):
        params = {"processId": "p", "rows": bad, "cols": 1}
        assert await client.refused("process/resize", params) == -32602
    await client.call("process/terminate", {"processId": "p"})
    await client.close()


async def test_closing_stdin_ends_the_input_after_what_was_written(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sh", "-c", "cat; echo end"], pipeStdin=True)
    await client.call("process/write", {"processId": "p", "chunk": "aGVsbG8K", "writeId": "1"})
    assert await client.call("process/closeStdin", {"processId": "p"}) == {"status": "accepted"}
    late = await client.call("process/write", {"processId": "p", "chunk": "eA==", "writeId": "2"})
    assert late["status"] in ("stdinClosed", "accepted")
    output, code, _ = await client.finish("p")
    assert (output["stdout"], code) == (b"hello\nend\n", 0)
    for name, status in (("nobody", "unknownProcess"), ("p", "accepted")):
        assert await client.call("process/closeStdin", {"processId": name}) == {"status": status}
    await client.close()


async def test_closing_the_stdin_of_a_terminal_is_its_end_of_input(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["cat"], tty=True)
    assert await client.call("process/closeStdin", {"processId": "p"}) == {"status": "accepted"}
    assert (await client.finish("p"))[1] == 0
    await client.close()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("interrupt", 130),
        ("terminate", 143),
        ("kill", 137),
        ("hangup", 129),
        ("quit", 131),
        ("usr1", 138),
        ("usr2", 140),
    ],
)
@pytest.mark.parametrize("tty", [False, True])
async def test_every_signal_arrives_and_its_number_is_told(
    server: ServerProcess, name: str, code: int, tty: bool
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"], tty=tty)
    assert await client.call("process/signal", {"processId": "p", "signal": name}) == {}
    assert (await client.finish("p"))[1] == code
    await client.close()


async def test_a_signal_goes_to_the_foreground_group_of_a_terminal(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    script = "set -m; sh -c 'echo fore; exec sleep 60'; echo back $?"
    await client.start("p", ["bash", "-c", script], tty=True)
    await client.output_until(b"fore")
    await client.call("process/signal", {"processId": "p", "signal": "terminate"})
    output, code, _ = await client.finish("p")
    assert b"back 143" in output["pty"]
    assert code == 0
    await client.close()


async def test_the_list_names_processes_but_not_their_arguments(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("a", ["sh", "-c", "echo out; echo SECRET-WORD >/dev/null; sleep 60"])
    await client.output_until(b"out")
    await client.start("b", ["true"])
    await client.finish("b")
    answer = await client.call("process/list")
    listed = {item["processId"]: item for item in answer["processes"]}
    assert (listed["a"]["state"], listed["a"]["argv0"]) == ("running", "sh")
    assert listed["a"]["retainedBytes"] == 4
    assert (listed["b"]["state"], listed["b"]["exitCode"]) == ("closed", 0)
    assert "SECRET-WORD" not in str(answer)
    await client.call("process/terminate", {"processId": "a"})
    await client.close()


async def test_arg0_is_only_what_the_program_sees_in_a_terminal_too(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    argv = ["sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline"]
    await client.start("p", argv, arg0="renamed", tty=True)
    assert (await client.finish("p"))[0]["pty"].startswith(b"renamed -c")
    await client.close()


@pytest.mark.parametrize("tty", [False, True])
async def test_a_bad_working_directory_is_an_error(server: ServerProcess, tty: bool) -> None:
    client = await WireClient.ready(server.url)
    for cwd in ("file:///no/such/folder", "file:///etc/passwd"):
        with pytest.raises(WireError) as caught:
            await client.start("p", ["true"], tty=tty, cwd=cwd)
        assert caught.value.code == -32603
    await client.close()


async def test_what_cannot_be_enforced_is_refused_and_not_run(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    refused: list[dict[str, Any]] = [
        {"enforceManagedNetwork": True},
        {"networkProxy": {"proxy": {}}},
        {"sandboxPolicy": "readOnly"},
        {"sandbox": {"permissions": {"type": "disabled"}}},
    ]
    for members in refused:
        with pytest.raises(WireError) as caught:
            await client.start("p", ["true"], **members)
        assert caught.value.code == -32602
    await client.close()


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("ws://0.0.0.0:0", "--allow-unauthenticated"),
        ("ws://localhost:0", "ws://IP:PORT"),
        ("stdio", "no stdio transport"),
    ],
)
def test_addresses_that_are_refused(listen: str, text: str) -> None:
    result = subprocess.run(
        [program("exec-server"), "--listen", listen],
        capture_output=True,
        timeout=20,
        check=False,
        text=True,
    )
    assert result.returncode == 1
    assert text in result.stderr
    assert result.stdout == ""


async def test_all_interfaces_can_be_asked_for() -> None:
    listen = ["--listen", "ws://0.0.0.0:0", "--allow-unauthenticated"]
    with ServerProcess(*listen) as server:
        assert server.url.startswith("ws://0.0.0.0:")
        client = await WireClient.ready(f"ws://127.0.0.1:{server.port}")
        await client.close()


def test_the_help_names_every_option() -> None:
    result = subprocess.run(
        [program("exec-server"), "--help"], capture_output=True, timeout=20, check=True, text=True
    )
    for option in ("--listen", "--session-ttl-seconds", "--retain-output-bytes", "--spool-dir"):
        assert option in result.stdout


_IGNORING = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1])
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("tty", [False, True])
async def test_children_of_a_server_that_ignores_every_signal_ignore_none(tty: bool) -> None:
    command = [sys.executable, "-c", _IGNORING, program("exec-server")]
    arguments = ["--exit-on-stdin-close", "--listen", "ws://127.0.0.1:0"]
    with ServerProcess(*arguments, command=command) as server:
        client = await WireClient.ready(server.url)
        script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 7"
        await client.start("p", ["sh", "-c", script], tty=tty)
        output, code, _ = await client.finish("p")
        assert code == 7  # with SIGCHLD ignored, the kernel would not have told
        blocked, ignored = (
            int(text, 16) for text in re.findall(rb"\t(\w+)", b"".join(output.values()))
        )
        ours = {number for number in signal.valid_signals() if ignored >> (number - 1) & 1}
        assert ours <= {signal.SIGTTIN, signal.SIGTTOU}
        assert blocked == 0
        await client.close()
