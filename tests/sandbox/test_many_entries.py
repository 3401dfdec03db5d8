"""Policies with a thousand entries: all of them count, and they take their time in proportion."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from exec_server.sandbox.mounter import can_mount
from exec_testkit.sandboxes import context, path, place, restricted_read
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs bubblewrap"),
    pytest.mark.skipif(not can_mount(), reason="Linux older than 5.12 has no such calls"),
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

LOOK = """
cd "$1"
for n in $(seq 0 $(($2 - 1))); do
    case $((n % 4)) in
    0) echo x > d$n/new && echo "wrote d$n" ;;
    1) read -r line < d$n/file && echo "read d$n" ;;
    2) read -r line < f$n && echo "read f$n" ;;
    3) echo x > d$n/deep/new && echo "wrote d$n/deep"; echo x > d$n/ok || echo "not d$n" ;;
    esac
done 2>/dev/null
ls -a /dev | grep exec-server
exit 0
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: a context has 128 KiB for all of its paths."""
    with TemporaryDirectory() as folder:
        yield Path(os.path.realpath(folder))


def entries(ws: Path, count: int) -> list[dict[str, Any]]:
    """Folders that can be read, denied folders, denied files, and folders further down."""
    made = []
    for number in range(count):
        kind = number % 4
        place = ws / (f"f{number}" if kind == 2 else f"d{number}")
        if kind == 2:
            place.write_text("secret")
        else:
            (place / "deep").mkdir(parents=True)
            (place / "file").write_text("secret")
        shown = place / "deep" if kind == 3 else place
        made.append(path(shown, "read" if kind in (0, 3) else "deny"))
    return made


async def run(client: WireClient, name: str, policy: dict[str, Any], argv: list[str]) -> bytes:
    await client.start(name, argv, sandbox=policy)
    output, code, _ = await client.finish(name)
    assert code == 0
    return output["stdout"]


@pytest.mark.parametrize("reading", ["free", "restricted"])
async def test_a_thousand_entries_all_count(
    server: ServerProcess, short: Path, reading: str
) -> None:
    ws = short
    made = entries(ws, 1000)
    policy = restricted_read(ws, *made)
    if reading == "free":
        policy = context([place("root"), path(ws, "write"), *made])
    client = await WireClient.ready(server.url)
    look = ["/bin/sh", "-c", LOOK, "sh", str(ws), "1000"]
    assert await run(client, "look", policy, look) == b""
    assert (ws / "d3/ok").exists()
    for name, code in (("f2", -32600), ("d1/file", -32600), ("d0/file", 0), ("d3/ok", 0)):
        params = {"path": (ws / name).as_uri(), "sandbox": policy}
        assert await client.outcome(await client.request("fs/readFile", params)) == code
    await client.close()


async def test_the_time_to_start_grows_with_their_number_and_not_with_its_square(
    server: ServerProcess, short: Path
) -> None:
    client = await WireClient.ready(server.url)
    times: dict[int, float] = {}
    for count in (100, 1000):
        ws = short / str(count)
        ws.mkdir()
        policy = context([place("root"), path(ws, "write"), *entries(ws, count)])
        for attempt in range(4):
            start = time.monotonic()
            await run(client, f"{count}-{attempt}", policy, ["/bin/true"])
            times[count] = min(times.get(count, 60.0), time.monotonic() - start)
    # With the square, bubblewrap took eighty times as long.
    assert times[1000] < 20 * times[100], times
    await client.close()
