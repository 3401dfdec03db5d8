"""Sessions: resume, expiry, and what becomes of processes."""

from __future__ import annotations

import asyncio

import pytest
from exec_testkit.liveness import alive, wait_gone
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def _resume(url: str, session_id: str) -> WireClient:
    """Resume as clients do: -32010 means that the old connection is not gone yet."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await WireClient.ready(url, session_id)
            except WireError as error:
                if error.code != -32010:
                    raise


async def test_a_session_and_its_processes_outlive_a_connection(server: ServerProcess) -> None:
    first = await WireClient.ready(server.url)
    await first.start("p", ["sh", "-c", "echo $$; read line; echo got $line"], pipeStdin=True)
    pid = int(await first.output_until(b"\n"))
    first.abort()
    second = await _resume(server.url, first.session_id)
    assert second.session_id == first.session_id
    await second.call("process/write", {"processId": "p", "chunk": "aGkK", "writeId": "1"})
    output, code, _ = await second.finish("p")
    assert (output["stdout"], code) == (b"got hi\n", 0)
    assert await asyncio.to_thread(wait_gone, pid)
    await second.close()


async def test_a_start_whose_connection_drops_is_finished(server: ServerProcess) -> None:
    for _ in range(10):
        first = await WireClient.ready(server.url)
        env = {"PATH": "/bin:/usr/bin"}
        params = {"processId": "p", "argv": ["sleep", "60"], "cwd": "file:///", "tty": False}
        await first.request("process/start", {**params, "env": env})
        first.abort()
        second = await _resume(server.url, first.session_id)
        listed = (await second.call("process/list"))["processes"]
        assert all(p["state"] in ("starting", "running") for p in listed)
        await second.call("process/terminate", {"processId": "p"})
        await second.close()


async def test_expiry_kills_the_groups_and_forgets_the_session(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sh", "-c", "trap '' TERM HUP; sleep 60 & echo $! $$; wait"])
    pids = [int(word) for word in (await client.output_until(b"\n")).split()]
    assert all(map(alive, pids))
    client.abort()
    assert [await asyncio.to_thread(wait_gone, pid) for pid in pids] == [True, True]
    late = await WireClient.dial(server.url)
    with pytest.raises(WireError) as caught:
        await late.initialize(client.session_id)
    assert caught.value.code == -32600
    await late.close()


async def test_a_closed_process_is_forgotten_after_its_time(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["true"])
    await client.finish("p")
    assert await client.refused("process/start", _again("p")) == -32600
    async with asyncio.timeout(10):
        read = {"processId": "p", "afterSeq": 2}
        while (outcome := await client.outcome(await client.request("process/read", read))) == 0:
            pass
        assert outcome == -32600
    await client.start("p", ["true"])
    assert (await client.finish("p"))[2][0] == 1
    await client.close()


def _again(process_id: str) -> dict[str, object]:
    env = {"PATH": "/bin:/usr/bin"}
    return {"processId": process_id, "argv": ["true"], "cwd": "file:///", "env": env, "tty": False}


async def test_a_background_job_of_the_group_ends_with_the_entry(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"])
    output, _, _ = await client.finish("p")
    pid = int(output["stdout"])
    assert alive(pid)
    assert await asyncio.to_thread(wait_gone, pid)
    await client.close()


async def test_finished_processes_leave_no_descriptors(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("warm", ["true"])
    await client.finish("warm")
    before = server.open_files
    for i in range(20):
        await client.start(f"p{i}", ["true"], tty=i % 2 == 0, pipeStdin=i % 3 == 0)
        await client.finish(f"p{i}")
    assert server.open_files <= before
    await client.close()


async def test_faults_end_the_connection_with_a_code_and_a_reason(server: ServerProcess) -> None:
    for message in (
        '{"method":"cancelled"}',
        '{"id":99,"result":{}}',
        '{"error":{"code":1,"message":"x"},"id":99}',
    ):
        client = await WireClient.ready(server.url)
        await client.send_raw(message)
        code, reason = await client.closed()
        assert code == 1008
        assert reason


async def test_shutting_down_says_so() -> None:
    with ServerProcess() as server:
        client = await WireClient.ready(server.url)
        server.signal(15)
        assert await client.closed() == (1001, "server is shutting down")
        assert server.wait() == 0


async def test_draining_gives_processes_time_to_end() -> None:
    with ServerProcess("--drain-seconds", "10") as server:
        client = await WireClient.ready(server.url)
        script = "trap 'echo bye > $0; exit' TERM; echo ready; while :; do sleep 0.02; done"
        await client.start("p", ["sh", "-c", script, "/dev/null"])
        await client.output_until(b"ready")
        server.signal(15)
        assert server.wait() == 0
        await client.close()
