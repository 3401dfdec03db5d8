"""Somebody inside swaps what the next sandbox is made from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from exec_server.sandbox.bubblewrap import find_bubblewrap
from exec_server_protocol._scalars import decode_base64
from exec_testkit.sandboxes import context, path, place, workspace_write
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

SWAP = """
import os, sys
place, outside = sys.argv[1:]
os.rename(place, place + '.folder')
os.symlink(outside, place + '.link')
print('ready', flush=True)
while True:
    os.rename(place + '.folder', place)
    os.rename(place, place + '.folder')
    os.rename(place + '.link', place)
    os.rename(place, place + '.link')
"""
"""A folder, nothing, a link to another folder, nothing, and so on."""

WRITE = """
import os, sys
place, times = sys.argv[1], int(sys.argv[2])
written = 0
for number in range(times):
    try:
        with open(f'{place}/made', 'a') as file:
            file.write('x')
        written += 1
    except OSError:
        pass
    for action in (os.unlink, lambda p: os.link(p, p + '2'), os.rmdir):
        try:
            action(f'{place}/secret')
        except OSError:
            pass
print(written)
"""


def untouched(out: Path) -> bool:
    return os.listdir(out) == ["secret"] and (out / "secret").read_text() == "secret"


async def test_ten_thousand_swaps_under_a_running_process_lead_nowhere(
    server: ServerProcess, site: Path
) -> None:
    client = await WireClient.ready(server.url)
    wire = workspace_write(site / "ws")
    target = f"{site}/ws/sub"
    swap = [sys.executable, "-c", SWAP, target, f"{site}/out"]
    await client.start("swap", swap, sandbox=wire)
    await client.output_until(b"ready")
    write = [sys.executable, "-c", WRITE, target, "10000"]
    await client.start("write", write, sandbox=wire)
    assert int(await client.output_until(b"\n")) >= 0
    assert untouched(site / "out")
    await client.close()


@pytest.mark.skipif(
    not find_bubblewrap().mounts_descriptors,
    reason="an older bubblewrap can be raced into making an empty folder elsewhere",
)
async def test_a_root_that_is_swapped_while_sandboxes_start_is_never_another_folder(
    server: ServerProcess, site: Path
) -> None:
    # Whoever may write the folder above makes the narrower root of others come and go.
    client = await WireClient.ready(server.url)
    (site / "ws/root").mkdir()
    target = f"{site}/ws/root"
    swap = [sys.executable, "-c", SWAP, target, f"{site}/out"]
    await client.start("swap", swap, sandbox=workspace_write(site / "ws"))
    await client.output_until(b"ready")
    # What the link leads to is denied, so that it is out of reach whatever the plan finds.
    entries = [place("root"), path(target, "write"), path(site / "out", "deny")]
    script = f"echo x > {target}/made; rm -f {target}/secret; cat {target}/secret; exit 0"
    codes = []
    for number in range(150):
        params = {
            "processId": f"p{number}", "argv": ["/bin/sh", "-c", script], "cwd": "file:///",
            "env": {}, "tty": False, "sandbox": context(entries, cwd="/"),
        }  # fmt: skip
        codes.append(await client.outcome(await client.request("process/start", params)))
        assert untouched(site / "out")
    assert set(codes) == {0, -32602}, "the race was never met"
    said = [
        decode_base64(note["params"]["chunk"])
        for note in client.notifications
        if note["method"] == "process/output" and note["params"]["stream"] == "stdout"
    ]
    assert b"secret" not in b"".join(said)
    await client.call("process/terminate", {"processId": "swap"})
    await client.close()


async def test_a_protected_folder_is_never_writable_while_a_neighbour_renames_around_it(
    server: ServerProcess, site: Path
) -> None:
    # The neighbour's root is the folder above, so that nothing is protected in it.
    client = await WireClient.ready(server.url)
    for name in ("ws", "ws.folder"):
        (site / name).mkdir(exist_ok=True)
    (site / "ws/.git").mkdir()
    (site / "ws/.git/config").write_text("real")
    code = f"""
import os
print('ready', flush=True)
while True:
    os.rename('{site}/ws/.git', '{site}/ws/away')
    os.symlink('away', '{site}/ws/.git')
    os.unlink('{site}/ws/.git')
    os.rename('{site}/ws/away', '{site}/ws/.git')
"""
    wide = context([place("root"), path(site, "write")], cwd="/")
    await client.start("swap", [sys.executable, "-c", code], sandbox=wide)
    await client.output_until(b"ready")
    narrow = context([place("root"), path(site / "ws", "write")], cwd="/")
    script = f"echo evil >> {site}/ws/.git/config"
    for number in range(150):
        params = {
            "processId": f"p{number}", "argv": ["/bin/sh", "-c", script], "cwd": "file:///",
            "env": {}, "tty": False, "sandbox": narrow,
        }  # fmt: skip
        request = await client.request("process/start", params)
        assert await client.outcome(request) in (0, -32602)
    await client.call("process/terminate", {"processId": "swap"})
    await client.close()
    configs = [site / "ws" / name / "config" for name in (".git", "away")]
    # Both are the same one where the neighbour has ended at its link.
    assert {file.read_text() for file in configs if file.exists()} == {"real"}
