"""Large files take neither memory nor time from a server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.liveness import descendants
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.slow]

_MEASURED = Path(__file__).parent / "measured_server.py"


@pytest.fixture
def measured() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(_MEASURED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no peak in /proc")


async def _read_and_discard(url: str, uri: str) -> int:
    client = await WireClient.ready(url)
    await client.send_raw(
        json.dumps({"id": "big", "method": "fs/readFile", "params": {"path": uri}})
    )
    size = 0
    async for fragment in client.connection.recv_streaming(decode=False):
        size += len(fragment)
    await client.close()
    return size


@pytest.mark.timeout(120)
async def test_eight_clients_that_read_large_files_cost_little_memory_and_no_stall(
    measured: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert measured.stdin is not None
    assert measured.stdout is not None
    url = measured.stdout.readline().strip()
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1024 * 1024) * 100)
    warm = await WireClient.ready(url)  # loads the server's models
    await warm.call("fs/getMetadata", {"path": path.as_uri()})
    await warm.close()
    measured.stdin.write("start\n")
    measured.stdin.flush()
    assert measured.stdout.readline() == "started\n"
    sizes = await asyncio.gather(*(_read_and_discard(url, path.as_uri()) for _ in range(8)))
    assert set(sizes) == {len('{"result":{"dataBase64":""},"id":"big"}') + 139_810_136}
    peak = _peak_bytes(measured.pid)
    measured.stdin.write("report\n")
    measured.stdin.flush()
    report = json.loads(measured.stdout.readline())
    print(f"peak {peak / 2**20:.0f} MiB, longest callback {report}")
    assert peak < 300 * 2**20
    assert report["cpu_ms"] < 20


async def test_a_large_file_arrives_as_it_is(server: ServerProcess, tmp_path: Path) -> None:
    content = os.urandom(20 * 1024 * 1024 + 1)
    (tmp_path / "f").write_bytes(content)
    client = await WireClient.ready(server.url)
    read = await client.request("fs/readFile", {"path": (tmp_path / "f").as_uri()})
    status = await client.request("environment/status")
    data = base64.b64decode((await client.answer(read))["dataBase64"])
    assert hashlib.sha256(data).digest() == hashlib.sha256(content).digest()
    assert await client.answer(status) == {"status": "ready"}
    await client.close()


async def test_a_worker_that_dies_in_the_middle_of_a_large_file_costs_only_that_request(
    server: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100 * 1024 * 1024))
    before = descendants(server.pid)
    client = await WireClient.ready(server.url)
    await client.call("fs/getMetadata", {"path": path.as_uri()})
    (worker,) = descendants(server.pid) - before
    read = await client.request("fs/readFile", {"path": path.as_uri()})
    stream = client.connection.recv_streaming(decode=False)
    first = await anext(stream)
    assert b'"id"' not in first
    behind = await client.request("fs/getMetadata", {"path": path.as_uri()})
    status = await client.request("environment/status")
    started = await client.request(
        "process/start",
        {"processId": "p", "argv": ["echo", "through"], "cwd": "file:///", "env": {}, "tty": False},
    )
    os.kill(worker, 9)
    rest = b"".join([fragment async for fragment in stream])
    disowned = json.loads(first + rest)
    assert disowned["id"] == -1
    assert len(disowned["result"]["dataBase64"]) < 139_810_136
    with pytest.raises(WireError, match="-32603: the file helper ended"):
        await client.answer(read)
    assert (await client.answer(behind))["size"] == 100 * 1024 * 1024
    assert await client.answer(status) == {"status": "ready"}
    assert (await client.answer(started))["processId"] == "p"
    assert await client.output_until(b"through")
    await client.close()
