"""Sandboxed processes over the wire: how they start, behave and end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exec_server.sandbox.bubblewrap import find_bubblewrap
from exec_server.sandbox.mounter import can_mount
from exec_server.sandbox_check.target import Target
from exec_testkit.liveness import descendants, wait_gone
from exec_testkit.sandboxes import (
    context,
    deny_glob,
    path,
    place,
    read_only,
    restricted_read,
    workspace_write,
)
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]


DISABLED = {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"}


async def run(
    client: WireClient, script: str, site: Path, sandbox: dict[str, Any] | None, **members: Any
) -> tuple[str, int, bool]:
    """Run a shell script in the workspace; returns output, exit code and ``sandboxDenied``."""
    name = f"p{client._next_id}"
    members.setdefault("cwd", f"file://{site}/ws")
    await client.start(name, ["/bin/sh", "-c", script], sandbox=sandbox, **members)
    output, code, _ = await client.finish(name)
    read = await client.call("process/read", {"processId": name})
    text = b"".join(output.values()).decode()
    return text, code, read["sandboxDenied"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the disk and the kernel send no events
            await asyncio.sleep(0.01)


async def write(client: WireClient, name: str, text: str) -> None:
    params = {"processId": name, "writeId": text, "chunk": base64.b64encode(text.encode()).decode()}
    await client.call("process/write", params)


# ---------------------------------------------------------------------- what is announced


@pytest.mark.parametrize(
    "permissions", [{"type": "disabled"}, {"type": "external", "network": "enabled"}]
)
async def test_any_context_is_reported_as_a_sandbox(
    server: ServerProcess, permissions: dict[str, Any]
) -> None:
    client = await WireClient.ready(server.url)
    wire = {"permissions": permissions, "windowsSandboxLevel": "disabled"}
    started = await client.start("p", ["/bin/true"], sandbox=wire)
    assert started["sandboxType"] == "linuxSeccomp"
    assert (await client.finish("p"))[1] == 0
    assert (await client.start("q", ["/bin/true"], sandbox=None))["sandboxType"] == "none"
    await client.finish("q")
    await client.close()


@pytest.mark.parametrize(
    ("script", "code", "denied"),
    [
        ("true", 0, False),
        ("echo > {out}/new", 2, True),
        ("echo > {out}/new; exit 0", 0, False),
        ("exit 1", 1, False),
        ("echo permission; echo DENIED >&2; exit 126", 126, False),
        ("printf 'permission '; printf denied; exit 126", 126, True),
        ("/bin/kill -9 $$", 137, False),
        ("cat /no/such/file", 1, False),
        ("kill -SYS $$", 159, True),
    ],
)
async def test_a_refusal_is_told_from_other_failures(
    server: ServerProcess, site: Path, script: str, code: int, denied: bool
) -> None:
    client = await WireClient.ready(server.url)
    script = script.format(out=site / "out")
    _, got, read = await run(client, script, site, workspace_write(site / "ws"))
    assert (got, read) == (code, denied)
    text, _, read = await run(client, "echo permission denied; exit 1", site, None)
    assert (text, read) == ("permission denied\n", False)
    await client.close()


# ---------------------------------------------------------------------- refused starts


@pytest.mark.parametrize(
    "members",
    [
        {"enforceManagedNetwork": True, "sandbox": None},
        {"enforceManagedNetwork": True, "sandbox": read_only("/")},
        {
            "enforceManagedNetwork": True,
            "sandbox": read_only("/", network="enabled"),
            "env": {"HTTPS_PROXY": "http://127.0.0.1:3128"},
            "managedNetwork": {},
        },
        {"sandboxPolicy": {"type": "readOnly"}},
        {"sandbox": read_only("/", windowsSandboxLevel="mxc")},
        {"sandbox": read_only("/", useLegacyLandlock=True)},
        {"sandbox": context([place("root"), path("/C:/x", "deny")])},
        {"sandbox": context([place("root"), deny_glob("/srv/*.{a,b}")])},
        {"sandbox": {"type": "readOnly"}},
    ],
)
async def test_what_cannot_be_enforced_is_not_started(
    server: ServerProcess, site: Path, members: dict[str, Any]
) -> None:
    client = await WireClient.ready(server.url)
    params = {"processId": "p", "argv": ["/bin/sh", "-c", f"touch {site}/ran"], "cwd": "file:///",
              "env": {}, "tty": False, **members}  # fmt: skip
    assert await client.refused("process/start", params) == -32602
    assert not (site / "ran").exists()
    assert (await client.call("process/list"))["processes"] == []
    await client.close()


async def test_a_managed_network_that_is_not_enforced_is_a_restricted_one(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    members = {"managedNetwork": {}, "enforceManagedNetwork": False}
    code = "import socket; socket.socket()"
    await client.start("p", [sys.executable, "-c", code], sandbox=read_only(site), **members)
    output, exit_code, _ = await client.finish("p")
    assert exit_code == 1
    assert b"Operation not permitted" in output["stderr"]
    await client.close()


async def test_a_missing_working_directory_is_an_error_with_and_without_a_sandbox(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    for sandbox in (None, read_only(site / "ws")):
        with pytest.raises(WireError) as raised:
            await run(client, "true", site, sandbox, cwd=f"file://{site}/missing")
        assert raised.value.code == -32603
    await client.close()


async def test_without_bubblewrap_sandboxed_starts_fail_and_others_do_not(site: Path) -> None:
    code = (
        "import sys; from exec_server.sandbox import bubblewrap; from exec_server.cli import main;"
        "bubblewrap._packaged = lambda: None; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "--exit-on-stdin-close"]
    with ServerProcess(command=command, env={**os.environ, "PATH": "/nonexistent"}) as bare:
        client = await WireClient.ready(bare.url)
        with pytest.raises(WireError) as raised:
            await run(client, "true", site, read_only(site / "ws"))
        assert raised.value.code == -32602
        for way in ("PATH", "exec-server[sandbox]"):
            assert way in str(raised.value)
        for sandbox in (
            None,
            {"permissions": {"type": "disabled"}, "windowsSandboxLevel": "disabled"},
        ):
            assert (await run(client, "exit 3", site, sandbox))[1] == 3
        await client.close()


async def test_the_first_bubblewrap_on_the_path_is_the_one_that_is_run(site: Path) -> None:
    fake = site / "bin/bwrap"
    fake.parent.mkdir()
    real = os.fsdecode(find_bubblewrap("/nonexistent").path)
    fake.write_text(f'#!/bin/sh\necho "$@" >> {site}/log\nexec {real} "$@"\n')
    fake.chmod(0o755)
    path_variable = f"{fake.parent}:{os.environ['PATH']}"
    with ServerProcess(env={**os.environ, "PATH": path_variable}) as own:
        client = await WireClient.ready(own.url)
        assert (await run(client, "echo hi", site, read_only(site / "ws")))[:2] == ("hi\n", 0)
        await client.close()
    assert "--args" in (site / "log").read_text()


async def test_a_failing_bubblewrap_is_an_error_with_its_own_words(site: Path) -> None:
    fake = site / "bin/bwrap"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'bwrap: no luck today' >&2\nexit 1\n")
    fake.chmod(0o755)
    path_variable = f"{fake.parent}:{os.environ['PATH']}"
    with ServerProcess(env={**os.environ, "PATH": path_variable}) as own:
        client = await WireClient.ready(own.url)
        with pytest.raises(WireError, match="no luck today"):
            await run(client, "true", site, read_only(site / "ws"))
        await until(lambda: descendants(own.pid) == {own.pid})
        await client.close()


# ---------------------------------------------------------------------- how they run


async def test_a_program_that_is_missing_inside_ends_with_101(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    for name, tty in (("p", False), ("t", True)):
        await client.start(name, ["/no/such/program"], sandbox=read_only(site / "ws"), tty=tty)
        output, code, _ = await client.finish(name)
        assert code == 101
        assert b"/no/such/program" in output["stderr"] + output["pty"]
    await client.close()


async def test_a_name_for_the_program_works_inside(server: ServerProcess, site: Path) -> None:
    client = await WireClient.ready(server.url)
    for tty in (False, True):
        wire = restricted_read(site / "ws")
        text, code, _ = await run(client, "echo $0", site, wire, arg0="another", tty=tty)
        assert (text.strip(), code) == ("another", 0)
    await client.close()


async def test_libraries_of_the_client_s_choice_are_loaded_inside_only(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    (site / "ws/libcap.so.2").write_text("not a library")
    env = {
        "PATH": "/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{site}/ws",
        "LD_PRELOAD": f"{site}/ws/x.so",
    }
    text, code, _ = await run(
        client, "echo $LD_LIBRARY_PATH", site, read_only(site / "ws"), env=env
    )
    assert code == 0
    assert f"{site}/ws" in text
    await client.close()


@pytest.mark.parametrize("network", ["restricted", "enabled"])
async def test_event_loops_work_inside(server: ServerProcess, site: Path, network: str) -> None:
    client = await WireClient.ready(server.url)
    code = "import asyncio; print(asyncio.run(asyncio.to_thread(lambda: 'woken')))"
    wire = read_only(site / "ws", network=network)
    await client.start("p", [sys.executable, "-c", code], sandbox=wire)
    output, code_, _ = await client.finish("p")
    assert (output["stdout"], code_) == (b"woken\n", 0)
    await client.close()


async def test_only_the_network_is_restricted_where_files_are_free(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    wire = {
        "permissions": {"type": "external", "network": "restricted"},
        "windowsSandboxLevel": "disabled",
    }
    script = f"echo x > {site}/out/made && {sys.executable} -c 'import socket; socket.socket()'"
    text, code, denied = await run(client, script, site, wire)
    assert (site / "out/made").exists()
    assert "Operation not permitted" in text
    assert (code, denied) == (1, True)
    await client.close()


FILES_ARE_FREE = [
    {"type": "external", "network": "restricted"},
    {"type": "managed", "file_system": {"type": "unrestricted"}, "network": "restricted"},
]
_PRIVILEGES = """
grep -E 'Cap(Prm|Eff|Bnd|Amb):|NoNewPrivs:' /proc/self/status | tr -d '0\\t\\n'
readlink /proc/self/ns/user
for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper; do
    if [ -e $file ] && (: >> $file) 2> /dev/null; then echo can write $file; fi
done
umount -l /proc 2> /dev/null && echo can unmount
[ -b /dev/vda ] || [ -b /dev/sda ] || [ -e /dev/kmsg ] && echo has devices
true
"""


@pytest.mark.parametrize("permissions", FILES_ARE_FREE)
async def test_where_only_the_network_is_restricted_there_are_no_privileges_either(
    executor: Any, site: Path, permissions: dict[str, Any]
) -> None:
    client = await WireClient.ready(executor.url)
    wire = {"permissions": permissions, "windowsSandboxLevel": "disabled"}
    text, code, _ = await run(client, _PRIVILEGES, site, wire, cwd="file:///")
    privileges, _, rest = text.partition("user:")
    namespace, *more = rest.splitlines()
    assert privileges == "CapPrm:CapEff:CapBnd:CapAmb:NoNewPrivs:1"
    assert f"user:{namespace}" != os.readlink("/proc/self/ns/user")
    assert (more, code) == ([], 0)
    await client.close()


async def test_a_child_has_the_limit_on_open_files_that_the_server_was_started_with(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    plain = await run(client, "ulimit -Sn", site, None)
    for _ in range(5):
        assert await run(client, "ulimit -Sn", site, read_only(site / "ws")) == plain
    await client.close()


# ---------------------------------------------------------------------- signals and ends


@pytest.mark.parametrize(("name", "trap"), [("interrupt", "INT"), ("terminate", "TERM")])
async def test_a_signal_reaches_the_command_inside(
    server: ServerProcess, site: Path, name: str, trap: str
) -> None:
    client = await WireClient.ready(server.url)
    script = f"trap 'echo got it; exit 7' {trap}; echo ready; while :; do sleep 0.02; done"
    await client.start("p", ["sh", "-c", script], sandbox=read_only(site / "ws"))
    await client.output_until(b"ready")
    await client.call("process/signal", {"processId": "p", "signal": name})
    output, code, _ = await client.finish("p")
    assert (output["stdout"], code) == (b"got it\n", 7)
    await client.close()


async def test_a_command_without_a_handler_ends_with_the_signal_s_code(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    await client.start(
        "p", ["sh", "-c", "echo ready; exec sleep 60"], sandbox=read_only(site / "ws")
    )
    await client.output_until(b"ready")
    await client.call("process/signal", {"processId": "p", "signal": "interrupt"})
    assert (await client.finish("p"))[1] == 130
    await client.close()


async def test_a_signal_that_comes_at_once_is_not_lost(server: ServerProcess, site: Path) -> None:
    client = await WireClient.ready(server.url)
    for number in range(30):
        name = f"p{number}"
        params = {
            "processId": name, "argv": ["sleep", "60"], "cwd": "file:///", "tty": False,
            "env": {"PATH": "/usr/bin:/bin"}, "sandbox": read_only(site / "ws"),
        }  # fmt: skip
        await client.request("process/start", params)
        await client.request("process/signal", {"processId": name, "signal": "interrupt"})
        assert (await client.finish(name))[1] == 130
    await client.close()


def running(mark: str) -> list[int]:
    """Return the processes that have a mark in their environment, whoever their parent is."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
    return found


@pytest.mark.parametrize("signalled", [True, False])
async def test_what_is_ended_as_soon_as_it_starts_does_not_go_on_alone(
    server: ServerProcess, site: Path, signalled: bool
) -> None:
    client = await WireClient.ready(server.url)
    env = {"PATH": "/usr/bin:/bin", "MARK": str(site)}
    for number in range(30):
        name = f"p{number}"
        await client.start(name, ["sleep", "60"], sandbox=workspace_write(site / "ws"), env=env)
        if signalled:
            params = {"processId": name, "signal": "hangup"}
            await client.call("process/signal", params)
        else:
            await client.call("process/terminate", {"processId": name})
        assert (await client.finish(name))[1] == (129 if signalled else 137)
    await until(lambda: not running(f"MARK={site}"))
    await until(lambda: os.listdir(site / "ws") == ["sub"])
    await client.close()


@pytest.mark.parametrize("tty", [False, True])
async def test_terminating_ends_everything_inside(
    server: ServerProcess, site: Path, tty: bool
) -> None:
    client = await WireClient.ready(server.url)
    before = descendants(server.pid)
    script = "setsid sleep 300 & nohup sleep 300 & echo ready; wait"
    await client.start("p", ["sh", "-c", script], sandbox=workspace_write(site / "ws"), tty=tty)
    await client.output_until(b"ready")
    inside = descendants(server.pid) - before
    assert len(inside) >= 4
    assert (await client.call("process/terminate", {"processId": "p"}))["running"] is True
    assert (await client.finish("p"))[1] == 137
    assert all(wait_gone(pid) for pid in inside)
    await client.close()


async def test_what_is_typed_to_interrupt_reaches_the_program_on_the_terminal(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    code = (
        "import time\ntry:\n print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n print('interrupted'); raise SystemExit(5)"
    )
    argv = [sys.executable, "-c", code]
    await client.start("p", argv, sandbox=read_only(site / "ws"), tty=True)
    await client.output_until(b"ready")
    await write(client, "p", "\x03")
    output, exit_code, _ = await client.finish("p")
    assert b"interrupted" in output["pty"]
    assert exit_code == 5
    await client.close()


async def test_a_shell_on_a_terminal_has_job_control(server: ServerProcess, site: Path) -> None:
    client = await WireClient.ready(server.url)
    env = {"PATH": "/usr/bin:/bin", "PS1": "ask$ "}
    wire = restricted_read(site / "ws")
    await client.start("p", ["sh", "-i"], sandbox=wire, tty=True, env=env)
    await client.output_until(b"ask$ ")
    await write(client, "p", "sh -c 'echo run; exec sleep 60'\n")
    await client.output_until(b"\nrun")
    await write(client, "p", "\x03")
    await write(client, "p", "echo code-$?; exit 4\n")
    output, code, _ = await client.finish("p")
    assert b"code-130" in output["pty"]
    assert code == 4
    await client.close()


async def test_a_process_that_is_terminated_while_it_starts_never_runs_or_ends(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    before = descendants(server.pid)
    for number in range(20):
        script = f"touch {site}/ws/ran-{number}; sleep 60"
        params = {
            "processId": f"p{number}", "argv": ["sh", "-c", script], "cwd": "file:///", "env": {},
            "tty": False, "sandbox": workspace_write(site / "ws"),
        }  # fmt: skip
        start = await client.request("process/start", params)
        stop = await client.request("process/terminate", {"processId": f"p{number}"})
        assert (await client.answer(stop))["running"] is True
        if await client.outcome(start) == 0:
            assert (await client.finish(f"p{number}"))[1] == 137
        else:
            assert not (site / f"ws/ran-{number}").exists()
    for pid in descendants(server.pid) - before:
        assert wait_gone(pid)
    await client.close()


async def test_a_session_that_ends_while_processes_start_leaves_nothing(site: Path) -> None:
    with ServerProcess("--session-ttl-seconds", "0") as own:
        for _ in range(5):
            client = await WireClient.ready(own.url)
            for number in range(4):
                params = {
                    "processId": f"p{number}", "argv": ["sleep", "60"], "cwd": "file:///",
                    "env": {"PATH": "/usr/bin:/bin"}, "tty": False,
                    "sandbox": workspace_write(site / "ws"),
                }  # fmt: skip
                await client.request("process/start", params)
            await client.close()
        await until(lambda: descendants(own.pid) == {own.pid})
        await until(lambda: os.listdir(site / "ws") == ["sub"])


# ---------------------------------------------------------------------- masks and changed plans


async def test_masks_are_gone_when_the_last_process_has_ended(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    wire = workspace_write(site / "ws")
    await client.start("long", ["sh", "-c", "echo ready; sleep 60"], sandbox=wire)
    await client.output_until(b"ready")
    assert await run(client, "mkdir .git", site, wire) == (
        "mkdir: cannot create directory '.git': File exists\n",
        1,
        False,
    )
    assert (site / "ws/.git").is_dir()
    await client.call("process/terminate", {"processId": "long"})
    await client.finish("long")
    assert os.listdir(site / "ws") == ["sub"]
    await client.close()


async def test_a_killed_server_takes_its_sandboxes_along(site: Path) -> None:
    own = ServerProcess("--no-supervisor")  # which would take away what it leaves
    client = await WireClient.ready(own.url)
    wire = workspace_write(site / "ws")
    script = f"echo ready; while :; do echo x >> {site}/ws/log; sleep 0.01; done"
    await client.start("p", ["sh", "-c", script], sandbox=wire)
    await client.output_until(b"ready")
    inside = descendants(own.pid) - {own.pid}
    own.signal(9)
    own.wait()
    assert all(wait_gone(pid) for pid in inside)
    own.close()
    # What it left on the disk is taken over by the next one, and taken away.
    assert (site / "ws/.git").is_dir()
    with ServerProcess() as other:
        client = await WireClient.ready(other.url)
        assert (await run(client, "ls -d .git", site, wire))[1] == 0
        await client.close()
    assert sorted(os.listdir(site / "ws")) == ["log", "sub"]


async def test_each_start_sees_the_disk_as_it_is(server: ServerProcess, site: Path) -> None:
    client = await WireClient.ready(server.url)
    wire = workspace_write(site / "ws", deny_glob("**/*.env"))
    assert (await run(client, "echo > .git/x", site, wire))[1] != 0
    (site / "ws/.git").mkdir()
    (site / "ws/.git/config").write_text("real")
    assert (await run(client, "cat .git/config; echo > .git/x", site, wire))[2] is True
    (site / "ws/new.env").write_text("hidden")
    text, _, _ = await run(client, "cat new.env", site, wire)
    assert "hidden" not in text
    (site / "ws").rename(site / "old")
    (site / "ws").mkdir()
    assert (await run(client, "echo new > made", site, wire))[1] == 0
    assert (site / "ws/made").read_text() == "new\n"
    assert not (site / "old/made").exists()
    await client.close()


async def test_a_folder_that_only_the_client_has_is_tolerated(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    wire = restricted_read(site / "ws", path("/client/only/folder", "read"))
    assert await run(client, "pwd", site, wire) == (f"{site}/ws\n", 0, False)
    await client.close()


async def test_many_sandboxes_start_at_once(server: ServerProcess, site: Path) -> None:
    client = await WireClient.ready(server.url)
    wire = workspace_write(site / "ws")
    ids = [f"p{number}" for number in range(40)]
    params = [
        {"processId": name, "argv": ["/bin/sh", "-c", "exit 3"], "cwd": "file:///", "env": {},
         "tty": False, "sandbox": wire}
        for name in ids
    ]  # fmt: skip
    requests = [await client.request("process/start", one) for one in params]
    assert [await client.outcome(one) for one in requests] == [0] * len(ids)
    codes: dict[str, int] = {}
    while len(codes) < len(ids):
        note = await client.notification()
        if note["method"] == "process/exited":
            codes[note["params"]["processId"]] = note["params"]["exitCode"]
    assert set(codes.values()) == {3}
    await client.close()


async def test_a_root_that_the_server_s_user_cannot_write_stays_so(executor: Any) -> None:
    if executor.owner is None:
        pytest.skip("root can write everything")
    with Target() as target, executor.target() as own:
        # One folder belongs to root, the other to the server's user.
        os.chmod(os.path.dirname(target.site.root), 0o755)
        entries = [place("root"), path(target.site.root, "write"), path(own.site.root, "write")]
        client = await WireClient.ready(executor.url)
        script = f"touch {own.site.root}/made; touch {target.site.root}/made"
        await client.start("p", ["/bin/sh", "-c", script], sandbox=context(entries))
        output, code, _ = await client.finish("p")
        assert code == 1
        assert output["stderr"].splitlines() == [
            f"touch: cannot touch '{target.site.root}/made': Permission denied".encode()
        ]
        assert "made" in os.listdir(own.site.root)
        assert ".codex" not in os.listdir(target.site.root)
        await client.close()


# ---------------------------------------------------------------------- names to protect


@pytest.mark.skipif(not can_mount(), reason="Linux older than 5.12 cannot lie on a link")
@pytest.mark.parametrize("name", [".git", ".codex", ".agents", ".aws"])
async def test_a_protected_name_that_is_a_link_stays_one(
    server: ServerProcess, site: Path, name: str
) -> None:
    link = site / "ws" / name
    link.symlink_to("../out")
    client = await WireClient.ready(server.url)
    tries = f"touch {link}/x || rm {link} || mv {link} {link}2 || echo > {link} || ln -sf x {link}"
    script = f"({tries}) 2> /dev/null && echo got it; touch {site}/ws/made"
    assert (await run(client, script, site, workspace_write(site / "ws")))[:2] == ("", 0)
    assert (os.readlink(link), os.listdir(site / "out")) == ("../out", ["secret"])
    assert (site / "ws/made").exists()
    await client.close()


async def test_in_a_root_that_the_user_cannot_write_own_folders_stay_writable(
    executor: Any,
) -> None:
    if executor.owner is None:
        pytest.skip("tried as nobody")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        os.makedirs(base / "ws/sub")
        os.chmod(base, 0o755)
        os.chown(base / "ws/sub", executor.owner, executor.owner)
        client = await WireClient.ready(executor.url)
        script = f"echo x > {base}/ws/sub/made; ls -A {base}/ws"
        assert (await run(client, script, base, workspace_write(base / "ws")))[:2] == ("sub\n", 0)
        assert os.listdir(base / "ws/sub") == ["made"]
        await client.close()


async def test_what_a_killed_server_has_left_is_taken_away_by_the_next_one(site: Path) -> None:
    env = {**os.environ, "XDG_STATE_HOME": str(site / "state")}
    ours = site / "ws/.codex"  # looks like a mark, and is none of a server's
    ours.mkdir(0o1555)
    (site / "ws2").mkdir()
    with ServerProcess("--no-supervisor", env=env) as killed:
        client = await WireClient.ready(killed.url)
        await client.start(
            "p", ["sh", "-c", "echo up; sleep 60"], sandbox=workspace_write(site / "ws2")
        )
        await client.output_until(b"up\n")
        assert len(os.listdir(site / "ws2")) == 4
        killed.signal(9)
        killed.wait()
        assert len(os.listdir(site / "ws2")) == 4
    with ServerProcess(env=env) as following:
        await until(lambda: os.listdir(site / "ws2") == [])
        await until(lambda: os.listdir(site / "state/exec-server/marks") == [])
        assert ours.is_dir()
        assert following.log() == ""
