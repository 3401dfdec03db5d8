"""What is mounted outside while a sandbox lives, where mounts are shared as systemd shares them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.sandboxes import read_only, workspace_write
from exec_testkit.server import ServerProcess, program
from exec_testkit.wire import WireClient, WireError

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount"),
    pytest.mark.process,
    pytest.mark.slow,
]


@pytest.fixture
def shared() -> Iterator[ServerProcess]:
    """A server in a mount namespace of its own, in which everything is shared."""
    ours = [program("exec-server"), "--exit-on-stdin-close", "--listen", "ws://127.0.0.1:0"]
    command = ["unshare", "--mount", "--propagation", "shared", *ours]
    with ServerProcess(command=command) as server:
        yield server


def mount(server: ServerProcess, source: Path, target: Path) -> None:
    enter = ["nsenter", "--mount", "--target", str(server.pid), "mount", "--bind"]
    subprocess.run([*enter, source, target], check=True)


async def test_it_does_not_appear_inside_a_running_command(
    shared: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(shared.url)
    target = site / "ws/sub"
    script = (
        f"echo ready; read line; ls {target}; touch {target}/made && echo wrote;"
        "grep -cE ' (shared|master):' /proc/self/mountinfo"
    )
    await client.start("p", ["sh", "-c", script], sandbox=read_only(site / "ws"), pipeStdin=True)
    await client.output_until(b"ready\n")
    mount(shared, site / "out", target)
    params = {"processId": "p", "writeId": "w", "chunk": "Z28K"}
    await client.call("process/write", params)
    output, _, _ = await client.finish("p")
    assert output["stdout"] == b"0\n"
    assert os.listdir(site / "out") == ["secret"]
    await client.close()


async def test_the_next_file_request_finds_it_with_the_rights_of_its_place(
    shared: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(shared.url)
    read = {"sandbox": read_only(site / "ws"), "path": f"file://{site}/ws/sub/secret"}
    write = {"sandbox": workspace_write(site / "ws"), "path": f"file://{site}/ws/sub/made"}
    for _ in range(2):
        with pytest.raises(WireError, match="No such file"):
            await client.call("fs/readFile", read)
    mount(shared, site / "out", site / "ws/sub")
    assert (await client.call("fs/readFile", read))["dataBase64"] == "c2VjcmV0"
    params = {**read, "path": f"file://{site}/ws/sub/made", "dataBase64": ""}
    with pytest.raises(WireError, match="Read-only"):
        await client.call("fs/writeFile", params)
    await client.call("fs/writeFile", {**write, "dataBase64": ""})
    assert sorted(os.listdir(site / "out")) == ["made", "secret"]
    await client.close()
