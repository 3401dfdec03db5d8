"""File requests of one connection keep their order, and hold up nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest
from exec_testkit.liveness import descendants, wait_gone
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient
from websockets.frames import Frame, Opcode

from .conftest import MakeHelper

pytestmark = [pytest.mark.process, pytest.mark.slow]

_HANGS_ON_HANG = """
import fs_helper.dispatch
real = fs_helper.dispatch.get_metadata
def hang(params):
    if params["path"].endswith("/hang"):
        time.sleep(1000)
    return real(params)
fs_helper.dispatch.get_metadata = hang
serve()
"""


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_requests_sent_together_happen_in_their_order(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    path = (tmp_path / "f").as_uri()
    requests = []
    for number in range(100):
        data = {"path": path, "dataBase64": _b64(b"%d" % number)}
        requests.append(await client.request("fs/writeFile", data))
        requests.append(await client.request("fs/readFile", {"path": path}))
    answers = [await client.answer(request) for request in requests]
    assert answers[::2] == [{}] * 100
    assert [base64.b64decode(a["dataBase64"]) for a in answers[1::2]] == [
        b"%d" % number for number in range(100)
    ]
    await client.close()


async def test_a_file_can_be_read_and_closed_before_its_opening_was_answered(
    server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    client = await WireClient.ready(server.url)
    uri = (tmp_path / "f").as_uri()
    opened = await client.request("fs/open", {"handleId": "h", "path": uri})
    blocks = [
        await client.request("fs/readBlock", {"handleId": "h", "offset": at, "len": 4})
        for at in (0, 4, 8)
    ]
    closed = await client.request("fs/close", {"handleId": "h"})
    again = await client.request("fs/readBlock", {"handleId": "h", "offset": 0, "len": 4})
    assert await client.answer(opened) == {"handleId": "h"}
    assert [await client.answer(block) for block in blocks] == [
        {"chunk": _b64(b"0123"), "eof": False},
        {"chunk": _b64(b"4567"), "eof": False},
        {"chunk": _b64(b"89"), "eof": True},
    ]
    assert await client.answer(closed) == {}
    assert await client.outcome(again) == -32004
    await client.close()


async def test_a_file_system_that_hangs_holds_up_only_the_file_requests_behind_it(
    make_helper: MakeHelper, tmp_path: Path
) -> None:
    with ServerProcess("--fs-helper", make_helper(_HANGS_ON_HANG)) as server:
        client = await WireClient.ready(server.url)
        other = await WireClient.ready(server.url)
        await client.request("fs/getMetadata", {"path": "file:///hang"})
        await client.request("fs/getMetadata", {"path": "file:///"})
        assert await client.call("environment/status") == {"status": "ready"}
        await client.start("p", ["echo", "through"])
        assert await client.output_until(b"through")
        meta = await other.call("fs/getMetadata", {"path": tmp_path.as_uri()})
        assert meta["isDirectory"]
        client.abort()
        # The worker is freed, and the session that is resumed gets another.
        third = await WireClient.ready(server.url, resume=client.session_id)
        assert (await third.call("fs/getMetadata", {"path": "file:///"}))["isDirectory"]
        await third.close()
        await other.close()


async def test_large_requests_behind_one_that_hangs_are_not_read_without_limit(
    make_helper: MakeHelper, tmp_path: Path
) -> None:
    with ServerProcess("--fs-helper", make_helper(_HANGS_ON_HANG)) as server:
        client = await WireClient.ready(server.url)
        await client.request("fs/getMetadata", {"path": "file:///hang"})
        data = {"path": (tmp_path / "f").as_uri(), "dataBase64": _b64(bytes(8 * 1024 * 1024))}
        sending = asyncio.create_task(_send_many(client, data))
        await _let_work(server)
        assert server.resident_bytes < 300 * 1024 * 1024
        assert not sending.done()
        sending.cancel()
        client.abort()


async def test_answers_that_nobody_takes_are_not_made_without_limit(
    server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * 1024 * 1024))
    client = await WireClient.ready(server.url)
    client.connection.transport.pause_reading()
    params = {"path": (tmp_path / "f").as_uri()}
    frames = [
        Frame(
            Opcode.TEXT, json.dumps({"id": n, "method": "fs/readFile", "params": params}).encode()
        ).serialize(mask=True)
        for n in range(100, 1000)
    ]
    client.connection.transport.write(b"".join(frames))  # all at once
    await _let_work(server)
    assert server.resident_bytes < 200 * 1024 * 1024
    client.abort()


async def _send_many(client: WireClient, data: dict[str, str]) -> None:
    for _ in range(60):
        await client.request("fs/writeFile", data)


async def _let_work(server: ServerProcess) -> None:
    """Give the server time to do what it should not do: what another client gets done."""
    other = await WireClient.ready(server.url)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        await other.call("fs/getMetadata", {"path": "file:///"})
        await asyncio.sleep(0.01)
    await other.close()


async def test_a_client_that_goes_frees_the_worker_that_hangs(make_helper: MakeHelper) -> None:
    with ServerProcess("--fs-helper", make_helper(_HANGS_ON_HANG)) as server:
        client = await WireClient.ready(server.url)
        await client.call("fs/getMetadata", {"path": "file:///"})
        (worker,) = descendants(server.pid) - {server.pid}
        await client.request("fs/getMetadata", {"path": "file:///hang"})
        await client.call("environment/status")  # so the one before it has arrived
        client.abort()
        assert await asyncio.to_thread(wait_gone, worker)
