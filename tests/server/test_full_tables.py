"""Full tables: what is finished gives way, what runs or is attached never does."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from exec_testkit.liveness import alive, descendants, wait_gone
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

_LIMIT = 4
_MEGABYTE = 1024 * 1024


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server with small tables, in which nothing ends because its time is over."""
    limits = ["--max-processes-per-session", str(_LIMIT), "--max-sessions", str(_LIMIT)]
    with ServerProcess("--session-ttl-seconds", "600", *limits) as process:
        yield process


async def _run(client: WireClient, process_id: str, script: str = "true") -> bytes:
    await client.start(process_id, ["sh", "-c", script])
    output, _, _ = await client.finish(process_id)
    return output["stdout"]


async def _known(client: WireClient) -> list[str]:
    return [process["processId"] for process in (await client.call("process/list"))["processes"]]


async def _resumed(url: str, session_id: str) -> WireClient:
    async with asyncio.timeout(10):
        while True:  # -32010: the old connection is not gone yet
            try:
                return await WireClient.ready(url, session_id)
            except WireError as error:
                if error.code != -32010:
                    raise


async def test_commands_one_after_the_other_are_never_refused(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    for number in range(5 * _LIMIT):
        await _run(client, f"p{number}")
    assert await _known(client) == [f"p{number}" for number in range(4 * _LIMIT, 5 * _LIMIT)]
    assert await client.refused("process/read", {"processId": "p0"}) == -32600
    assert await _run(client, "p0", "echo again") == b"again\n"
    await client.close()


async def test_what_runs_never_gives_way_and_is_what_the_limit_is_for(
    server: ServerProcess,
) -> None:
    client = await WireClient.ready(server.url)
    for number in range(_LIMIT - 1):
        await client.start(f"live{number}", ["sleep", "60"])
    for number in range(_LIMIT):
        await _run(client, f"p{number}")
    await client.start("last", ["sleep", "60"])
    with pytest.raises(WireError, match="that are running; that is the limit"):
        await client.start("more", ["true"])
    states = {p["state"] for p in (await client.call("process/list"))["processes"]}
    assert states == {"running"}
    await client.call("process/terminate", {"processId": "last"})
    await client.finish("last")
    await _run(client, "more")
    await client.close()


async def test_a_job_left_in_the_background_is_not_killed_to_make_room(
    server: ServerProcess,
) -> None:
    client = await WireClient.ready(server.url)
    pid = int(await _run(client, "job", "sleep 60 >/dev/null 2>&1 & echo $!"))
    for number in range(3 * _LIMIT):
        await _run(client, f"p{number}")
    assert alive(pid)
    assert "job" in await _known(client)
    await client.close()


def _wait_for_fewer_children(server: ServerProcess, count: int) -> None:
    while len(descendants(server.pid)) > count:  # the workers of those that gave way end
        time.sleep(0.02)


async def _missed(server: ServerProcess, fifo: Path) -> WireClient:
    """Return a client that was away while "missed" ended, and has not read since.

    Neither is it known whether it had the end of "unread" before that.
    """
    os.mkfifo(fifo)
    first = await WireClient.ready(server.url)
    await _run(first, "unread")
    await first.start("missed", ["sh", "-c", f"echo $$; read line < {fifo}"])
    pid = int(await first.output_until(b"\n"))
    first.abort()
    await asyncio.to_thread(fifo.write_text, "x\n")
    assert await asyncio.to_thread(wait_gone, pid)
    return await _resumed(server.url, first.session_id)


async def test_what_has_arrived_gives_way_before_what_has_not(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await _missed(server, tmp_path / "fifo")
    await _run(client, "told")
    await _run(client, "large", f"head -c {3 * _MEGABYTE} /dev/zero")  # pings follow "told"
    await _run(client, "p0")
    assert await _known(client) == ["unread", "missed", "large", "p0"]
    await client.close()


async def test_commands_that_write_little_are_known_to_have_arrived(tmp_path: Path) -> None:
    limits = ["--max-processes-per-session", "16"]
    with ServerProcess("--session-ttl-seconds", "600", *limits) as server:
        client = await _missed(server, tmp_path / "fifo")
        for number in range(40):
            await _run(client, f"p{number}")
            await client.call("environment/status")  # by now the server has read a pong
        known = await _known(client)
        assert known[:2] == ["unread", "missed"]
        assert known[2:] == [f"p{number}" for number in range(26, 40)]
        await client.close()


async def test_an_answer_that_tells_of_the_end_counts_as_arrived_with_it(
    server: ServerProcess, tmp_path: Path
) -> None:
    client = await _missed(server, tmp_path / "fifo")
    read = {"processId": "missed", "afterSeq": 0, "maxBytes": 100, "waitMs": 5000}
    while not (await client.call("process/read", read))["closed"]:
        pass
    await client.start("large", ["sh", "-c", f"head -c {3 * _MEGABYTE} /dev/zero; sleep 60"])
    received = 0
    while received < 3 * _MEGABYTE:
        received += len((await client.notification())["params"].get("chunk", "")) * 3 // 4
    await _run(client, "p0")
    await _run(client, "p1")
    assert await _known(client) == ["unread", "large", "p0", "p1"]
    await client.call("process/terminate", {"processId": "large"})
    await client.close()


async def test_short_clients_one_after_the_other_are_never_locked_out(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = (tmp_path / "f").as_uri()
    async with asyncio.timeout(60):
        for number in range(5 * _LIMIT):
            client = await WireClient.ready(server.url)
            await _run(client, "p", f"head -c {2 * _MEGABYTE} /dev/zero")
            data = base64.b64encode(b"x").decode()
            await client.call("fs/writeFile", {"path": file, "dataBase64": data})
            if number % 2:
                client.abort()
            else:
                await client.close()
        await asyncio.to_thread(_wait_for_fewer_children, server, _LIMIT + 1)


async def test_sessions_that_are_attached_or_run_something_never_give_way() -> None:
    with ServerProcess("--session-ttl-seconds", "600", "--max-sessions", "3") as server:
        attached = await WireClient.ready(server.url)
        busy = await WireClient.ready(server.url)
        pid = int(await _run(busy, "job", "sleep 60 >/dev/null 2>&1 & echo $!"))
        await busy.start("end", ["cat"], pipeStdin=True)
        busy.abort()
        for _ in range(4):
            await (await WireClient.ready(server.url)).close()
        last = await WireClient.ready(server.url)
        late = await WireClient.dial(server.url)
        with pytest.raises(WireError, match="that is the limit"):
            await late.initialize()
        await late.close()
        again = await _resumed(server.url, busy.session_id)
        assert await _known(again) == ["job", "end"]
        assert alive(pid)
        await again.call("process/terminate", {"processId": "end"})
        again.abort()  # its job still runs
        await attached.call("environment/status")
        late = await WireClient.dial(server.url)
        with pytest.raises(WireError, match="that is the limit"):
            await late.initialize()
        for client in (attached, last, late):
            await client.close()


async def test_a_session_whose_last_process_ends_while_it_is_detached_gives_way(
    tmp_path: Path,
) -> None:
    fifo = tmp_path / "fifo"
    with ServerProcess("--session-ttl-seconds", "600", "--max-sessions", "1") as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", f"mkfifo {fifo}; read line < {fifo}"])
        client.abort()
        late = await WireClient.dial(server.url)
        with pytest.raises(WireError, match="that is the limit"):
            await late.initialize()
        await asyncio.to_thread(fifo.write_text, "x\n")
        async with asyncio.timeout(10):
            while True:
                try:
                    await late.initialize()
                    break
                except WireError:
                    continue
        await late.close()
