"""Nothing a client sends holds up what it sends next."""

from __future__ import annotations

import asyncio
import base64
import statistics
import time

import pytest
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_a_long_poll_lets_everything_else_pass(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"])
    poll = await client.request("process/read", {"processId": "p", "waitMs": 60_000})
    assert await client.call("environment/status") == {"status": "ready"}
    assert await client.call("process/terminate", {"processId": "p"}) == {"running": True}
    assert (await client.answer(poll))["exited"]
    await client.close()


async def test_a_full_stdin_parks_its_own_writer_and_nobody_else(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("stuck", ["sleep", "60"], pipeStdin=True)
    await client.start("cat", ["cat"], pipeStdin=True)
    piece = _b64(b"x" * 500_000)
    parked = [
        await client.request(
            "process/write", {"processId": "stuck", "chunk": piece, "writeId": f"w{i}"}
        )
        for i in range(20)
    ]
    answer = await client.call(
        "process/write", {"processId": "cat", "chunk": _b64(b"through"), "writeId": "1"}
    )
    assert answer == {"status": "accepted"}
    assert await client.output_until(b"through") == b"through"
    await client.call("process/terminate", {"processId": "stuck"})
    for request in parked:
        assert await client.answer(request) == {"status": "accepted"}
    await client.close()


async def test_requests_behind_a_start_wait_for_it_and_keep_their_order(
    server: ServerProcess,
) -> None:
    client = await WireClient.ready(server.url)
    for i in range(20):
        name = f"p{i}"
        start = await client.request(
            "process/start",
            {
                "processId": name,
                "argv": ["cat"],
                "cwd": "file:///",
                "env": {"PATH": "/bin:/usr/bin"},
                "tty": False,
                "pipeStdin": True,
            },
        )
        write = await client.request(
            "process/write", {"processId": name, "chunk": _b64(b"first"), "writeId": "1"}
        )
        end = await client.request("process/closeStdin", {"processId": name})
        assert (await client.answer(start))["processId"] == name
        assert await client.answer(write) == {"status": "accepted"}
        assert await client.answer(end) == {"status": "accepted"}
        output, code, _ = await client.finish(name)
        assert (output["stdout"], code) == (b"first", 0)
    await client.close()


async def test_a_start_can_be_cancelled_by_terminate(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    outcomes = set()
    for i in range(30):
        name = f"c{i}"
        params = {"processId": name, "argv": ["sleep", "60"], "cwd": "file:///", "tty": False}
        env = {"PATH": "/bin:/usr/bin"}
        start = await client.request("process/start", {**params, "env": env})
        stop = await client.request("process/terminate", {"processId": name})
        assert await client.answer(stop) == {"running": True}
        outcome = await client.outcome(start)
        outcomes.add(outcome)
        if outcome == 0:
            await client.finish(name)
        else:
            assert await client.refused("process/read", {"processId": name}) == -32600
    assert -32600 in outcomes
    assert outcomes <= {0, -32600}
    await client.close()


async def test_too_many_long_polls_answer_the_oldest_instead_of_growing(
    server: ServerProcess,
) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["sleep", "60"])
    polls = [
        await client.request("process/read", {"processId": "p", "waitMs": 10**12})
        for _ in range(300)
    ]
    first = await client.answer(polls[0])
    assert first["chunks"] == []
    assert not first["exited"]
    await client.call("process/terminate", {"processId": "p"})
    for poll in polls[1:]:
        await client.answer(poll)
    await client.close()


async def test_thousands_of_pipelined_requests_are_all_answered(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["cat"], pipeStdin=True)
    requests = []
    for i in range(5000):
        method, params = (
            ("environment/info", None),
            ("process/read", {"processId": "p"}),
            ("process/write", {"processId": "p", "chunk": _b64(b"x"), "writeId": str(i)}),
            ("no/such", {}),
        )[i % 4]
        requests.append(await client.request(method, params))
    outcomes = [await client.outcome(request) for request in requests]
    assert outcomes == [0, 0, 0, -32601] * 1250
    await client.close()


async def test_another_connection_never_notices(server: ServerProcess) -> None:
    busy = await WireClient.ready(server.url)
    other = await WireClient.ready(server.url)
    await busy.start("p", ["sh", "-c", "yes | head -c 50000000"])
    async with asyncio.timeout(10):
        await other.start("q", ["true"])
        assert (await other.finish("q"))[1] == 0
    await busy.close()
    await other.close()


async def test_small_messages_do_not_wait_for_acknowledgements(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    taken = []
    for _ in range(30):
        start = time.perf_counter()
        for request_id in [await client.request("environment/status") for _ in range(3)]:
            await client.answer(request_id)
        taken.append(time.perf_counter() - start)
    # With Nagle's algorithm the second answer waits 40 ms for the acknowledgement of the first.
    assert statistics.median(taken) < 0.03
    await client.close()
