"""The real Codex client does its work on our server: shell, patches, terminals, recovery."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys

import pytest
from exec_testkit.codex_turn import Job, Outcome, call, patch, run_isolated
from exec_testkit.requirements import requirement

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(150)]

UNCONFINED = "--dangerously-bypass-approvals-and-sandbox"


@pytest.fixture(scope="module")
def codex() -> str:
    program = shutil.which(os.environ.get("CODEX_BIN", ""))
    if program is None:
        pytest.skip("CODEX_BIN does not name the reference client")
    return program


def _shell(call_id: str, command: str, **arguments: object) -> dict[str, object]:
    return call("exec_command", call_id, cmd=command, workdir="@WORKSPACE@", **arguments)


def _finished(job: Job) -> Outcome:
    outcome = run_isolated(job)
    assert outcome.status == 0, outcome.log
    return outcome


def test_a_turn_runs_commands_and_patches_files(codex: str) -> None:
    job = Job(
        codex,
        [
            _shell("first", "echo marker-$((6*7)) | tee out.txt"),
            patch("add", "*** Add File: sub/new.txt", "+one", "+two"),
            patch("update", "*** Update File: sub/new.txt", "@@", " one", "-two", "+three"),
            _shell("second", "cat sub/new.txt; exit 3"),
            patch("delete", "*** Delete File: out.txt"),
        ],
        [UNCONFINED],
        files={"AGENTS.md": "agents-marker\n"},
    )
    outcome = _finished(job)
    assert "marker-42" in outcome.outputs["first"]
    assert "code 0" in outcome.outputs["first"]
    assert "A sub/new.txt" in outcome.outputs["add"]
    assert "M sub/new.txt" in outcome.outputs["update"]
    assert "one\nthree\n" in outcome.outputs["second"]
    assert "code 3" in outcome.outputs["second"]
    assert outcome.files == {"AGENTS.md": "agents-marker\n", "sub/new.txt": "one\nthree\n"}
    assert "agents-marker" in outcome.requests


def test_an_interactive_command_is_written_to_and_interrupted(codex: str) -> None:
    script = "read line; echo got-$line; trap 'echo trapped; exit 7' INT; sleep 30"
    job = Job(
        codex,
        [
            _shell("start", script, tty=True, yield_time_ms=500),
            call("write_stdin", "write", session_id="@SESSION@", chars="hello\n"),
            call("write_stdin", "interrupt", session_id="@SESSION@", chars="\x03"),
        ],
        [UNCONFINED],
    )
    outcome = _finished(job)
    assert "session ID" in outcome.outputs["start"]
    assert "got-hello" in outcome.outputs["write"]
    assert "trapped" in outcome.outputs["interrupt"]
    assert "code 7" in outcome.outputs["interrupt"]


def test_a_workspace_policy_confines_commands_and_patches(codex: str) -> None:
    job = Job(
        codex,
        [
            _shell("inside", "echo yes > made.txt && cat made.txt"),
            _shell("outside", "echo no > /etc/exec-server-was-here"),
            _shell("network", "exec 3<>/dev/tcp/127.0.0.1/9"),
            patch("add", "*** Add File: sub/new.txt", "+patched"),
        ],
        ["-s", "workspace-write"],
    )
    outcome = _finished(job)
    assert "yes" in outcome.outputs["inside"]
    assert "Read-only file system" in outcome.outputs["outside"]
    assert "code 0" not in outcome.outputs["network"]
    assert outcome.files["made.txt"] == "yes\n"
    assert outcome.files["sub/new.txt"] == "patched\n"
    assert not os.path.exists("/etc/exec-server-was-here")


def test_a_read_only_policy_lets_nothing_be_written(codex: str) -> None:
    job = Job(
        codex,
        [_shell("write", "echo no > made.txt"), _shell("read", "cat AGENTS.md")],
        ["-s", "read-only"],
        files={"AGENTS.md": "agents-marker\n"},
    )
    outcome = _finished(job)
    assert "Read-only file system" in outcome.outputs["write"]
    assert "agents-marker" in outcome.outputs["read"]
    assert outcome.files == {"AGENTS.md": "agents-marker\n"}


def test_a_cut_link_costs_the_command_nothing(codex: str) -> None:
    script = "for i in $(seq 40); do echo line-$i; [ $i = 10 ] && touch cut-here; sleep 0.05; done"
    job = Job(
        codex, [_shell("long", script, yield_time_ms=20000)], [UNCONFINED], cut_when="cut-here"
    )
    outcome = _finished(job)
    assert outcome.connections == 2
    assert "code 0" in outcome.outputs["long"]
    assert all(f"line-{number}\n" in outcome.outputs["long"] for number in range(1, 41))


@requirement("PROC-RESUME-01")
def test_a_cut_over_a_slow_link_does_not_cost_a_busy_command_its_follower(codex: str) -> None:
    burst = "head -c 500000 /dev/zero | tr '\\0' x; echo; sleep 0.005"
    script = f"touch cut-here; for i in $(seq 300); do {burst}; done; echo the-end; exit 7"
    job = Job(
        codex,
        [_shell("long", script, yield_time_ms=30000)],
        [UNCONFINED],
        cut_when="cut-here",
        read_delay=0.5,
    )
    outcome = _finished(job)
    assert outcome.connections == 2
    assert "code 7" in outcome.outputs["long"]
    assert "the-end" in outcome.outputs["long"]


MCP_SERVER = '''
import sys
try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer
server = MCPServer("echo")
@server.tool()
def shout(text: str) -> str:
    """Return the text in capitals."""
    return text.upper() + "!"
server.run("stdio")
'''


def test_an_mcp_server_on_the_executor_answers(codex: str) -> None:
    config = (
        "[mcp_servers.echo]\n"
        f"command = {json.dumps(sys.executable)}\n"
        'args = ["@WORKSPACE@/server.py"]\n'
        'cwd = "@WORKSPACE@"\n'
        'environment_id = "remote"\n'
        "startup_timeout_sec = 30\n"
    )
    job = Job(
        codex,
        [
            # The client tells the model of such tools only when it looks for them, and when
            # their server is ready.
            call("shout", "shout", text="hello") | {"namespace": "mcp__echo", "until": "mcp__echo"},
        ],
        [UNCONFINED],
        files={"server.py": MCP_SERVER},
        config=config,
    )
    outcome = _finished(job)
    assert "HELLO!" in outcome.outputs["shout"], outcome.log


def test_a_token_lets_the_client_in_and_a_wrong_one_does_not(codex: str) -> None:
    digest = hashlib.sha256(b"right-token").hexdigest()
    server = ["--ws-auth", "capability-token", "--ws-token-sha256", digest]
    items = [_shell("first", "echo marker-$((6*7))")]
    right = _finished(Job(codex, items, [UNCONFINED], server=server, token="right-token"))
    assert "marker-42" in right.outputs["first"]
    wrong = run_isolated(Job(codex, items, [UNCONFINED], server=server, token="wrong-token"))
    assert "marker-42" not in wrong.outputs.get("first", "")
    assert "refused a connection: wrong bearer token" in wrong.log
