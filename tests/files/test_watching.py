"""A client is told once when something that was missing may be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from exec_testkit.liveness import descendants
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_what_appears_is_told_once_and_a_new_watch_can_follow(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    assert client.info["capabilities"]["fsWatchMissing"]
    paths = [tmp_path / ".git", tmp_path / ".agents" / "skills"]
    for watch_id, path in enumerate(paths, 1):
        params = {"watchId": watch_id, "missing": [p.as_uri() for p in paths[watch_id - 1 :]]}
        assert await client.call("fs/watchMissing", params) == {"watching": True}
        path.mkdir(parents=True)
        note = await client.notification()
        assert note == {"method": "fs/missingChanged", "params": {"watchId": watch_id}}
    # Told once: a third watch is the next that is heard of.
    third = {"watchId": 3, "missing": [(tmp_path / "x").as_uri()], "present": None}
    await client.call("fs/watchMissing", third)
    (tmp_path / "x").touch()
    assert (await client.notification())["params"] == {"watchId": 3}
    assert not client.notifications
    await client.close()


async def test_what_was_present_and_goes_is_told_too(server: ServerProcess, tmp_path: Path) -> None:
    client = await WireClient.ready(server.url)
    (tmp_path / "there").touch()
    params = {
        "watchId": 7,
        "missing": [(tmp_path / "gone").as_uri()],
        "present": (tmp_path / "there").as_uri(),
    }
    assert await client.call("fs/watchMissing", params) == {"watching": True}
    (tmp_path / "there").unlink()
    assert (await client.notification())["params"] == {"watchId": 7}
    await client.close()


async def test_a_watch_is_replaced_by_one_with_its_id(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    for name in ("old", "new"):
        params = {"watchId": 1, "missing": [(tmp_path / name).as_uri()]}
        await client.call("fs/watchMissing", params)
    (tmp_path / "old").touch()
    await client.call("fs/watchMissing", {"watchId": 2, "missing": [(tmp_path / "old").as_uri()]})
    assert (await client.notification())["params"] == {"watchId": 2}
    (tmp_path / "new").touch()
    assert (await client.notification())["params"] == {"watchId": 1}
    await client.close()


async def test_more_than_can_be_watched_is_said_not_to_be(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await WireClient.ready(server.url)
    many = [(tmp_path / str(number)).as_uri() for number in range(1025)]
    params = {"watchId": 1, "missing": many}
    assert await client.call("fs/watchMissing", params) == {"watching": False}
    for watch_id in range(64):
        one = {"watchId": watch_id, "missing": many[:1]}
        assert await client.call("fs/watchMissing", one) == {"watching": True}
    one = {"watchId": 64, "missing": many[:1]}
    assert await client.call("fs/watchMissing", one) == {"watching": False}
    foreign = {"watchId": 1, "missing": ["file:///C:/x"]}
    assert await client.refused("fs/watchMissing", foreign) == -32600
    await client.close()


async def test_a_worker_that_dies_while_it_looks_does_not_end_the_watch(
    server: ServerProcess, tmp_path: Path
) -> None:

    before = descendants(server.pid)
    client = await WireClient.ready(server.url)
    await client.call("fs/watchMissing", {"watchId": 1, "missing": [(tmp_path / "x").as_uri()]})
    await client.call("fs/getMetadata", {"path": "file:///"})
    for worker in descendants(server.pid) - before:
        os.kill(worker, 9)
    (tmp_path / "x").touch()
    assert (await client.notification())["params"] == {"watchId": 1}
    await client.close()
