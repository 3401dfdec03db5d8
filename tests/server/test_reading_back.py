"""Output that a client missed: one answer and its frames, and what a dead link had taken along."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exec_server_protocol._scalars import decode_base64
from exec_testkit.door import UPGRADE_REQUEST
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

pytestmark = [pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024
NUMBERS = b"".join(b"%d\n" % number for number in range(1, 8_000_001))
"""What ``seq 8000000`` writes: 60 MiB."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """One that keeps a closed process for as long as it takes to read it."""
    with ServerProcess() as process:
        yield process


class _Watching(ClientConnection):
    """Keeps the sizes of the data frames that it gets; answers pings or not."""

    sizes: list[int]
    silent = False

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT, Opcode.BINARY):
            self.sizes.append(len(event.data))
        super().process_event(event)


async def _watching(url: str) -> tuple[WireClient, list[int]]:
    sizes: list[int] = []

    def make(*args: Any, **kwargs: Any) -> _Watching:
        connection = _Watching(*args, **kwargs)
        connection.sizes = sizes
        return connection

    connection = await connect(
        url,
        create_connection=make,  # type: ignore[arg-type]  # any callable will do
        compression=None,
        max_size=64 * MIB,
        max_queue=None,
        ping_interval=None,
        proxy=None,
    )
    return WireClient(connection), sizes


async def _read(client: WireClient, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.call("process/read", {"processId": "p", **params})
    return answer


def _output(answer: dict[str, Any]) -> bytes:
    return b"".join(decode_base64(chunk["chunk"]) for chunk in answer["chunks"])


async def _write_while_nobody_is_there(server: ServerProcess, done: Path) -> str:
    """Have a process write ``NUMBERS`` to nobody. Returns its session."""
    client = await WireClient.ready(server.url)
    script = f"read go; seq 8000000; touch {done}; exit 3"
    await client.start("p", ["sh", "-c", script], pipeStdin=True)
    await client.request("process/write", {"processId": "p", "writeId": "1", "chunk": "Cg=="})
    await client.connection.close()
    assert not client.notifications
    there = Path.exists
    watcher = await WireClient.ready(server.url)
    for number in itertools.count():
        if there(done):
            break
        await watcher.start(f"s{number}", ["sleep", "0.05"])
        await watcher.finish(f"s{number}")
    await watcher.connection.close()
    return client.session_id


@requirement("PROC-READ-01", "PROC-READ-02")
async def test_one_answer_holds_the_newest_32_mib_in_frames_that_real_clients_take(
    server: ServerProcess, tmp_path: Path
) -> None:
    async with asyncio.timeout(60):
        session = await _write_while_nobody_is_there(server, tmp_path / "done")
        client, sizes = await _watching(server.url)
        await client.initialize(session)
        await client.send_raw('{"method":"initialized"}')
        while not (await _read(client, afterSeq=10**6, waitMs=1000))["closed"]:
            continue
        sizes.clear()
        newest = await _read(client, afterSeq=0)
        output = _output(newest)
        assert NUMBERS.endswith(output)
        assert 31 * MIB < len(output) <= 32 * MIB
        assert 40 * MIB < sum(sizes) <= 64 * MIB
        assert max(sizes) <= 8 * MIB
        assert len(sizes) >= 6
        last = newest["chunks"][-1]["seq"]
        assert newest["nextSeq"] == last + 3  # the exit and the close have numbers too
        assert (newest["exited"], newest["exitCode"], newest["closed"]) == (True, 3, True)
        await client.connection.close()


@requirement("PROC-READ-01")
async def test_bounded_answers_reach_back_to_the_first_byte(
    server: ServerProcess, tmp_path: Path
) -> None:
    async with asyncio.timeout(60):
        session = await _write_while_nobody_is_there(server, tmp_path / "done")
        client = await WireClient.ready(server.url, session)
        output = b""
        after = 0
        while True:
            page = await _read(client, afterSeq=after, maxBytes=4 * MIB, waitMs=1000)
            if page["chunks"]:
                assert page["chunks"][0]["seq"] == after + 1
                assert page["nextSeq"] == page["chunks"][-1]["seq"] + 1
                assert len(_output(page)) <= 4 * MIB
                after = page["nextSeq"] - 1
            elif page["closed"]:
                break
            output += _output(page)
        assert output == NUMBERS
        assert (page["exited"], page["exitCode"], page["nextSeq"]) == (True, 3, after + 3)
        await client.connection.close()


@requirement("PROC-KEEP-03")
async def test_what_sat_in_the_buffers_of_a_dead_link_is_still_there(server: ServerProcess) -> None:
    async with asyncio.timeout(60):
        client = await WireClient.ready(server.url)
        await client.start("p", ["yes"])
        seen = 0
        while seen < 3:
            note = await client.notification()
            seen = note["params"]["seq"]
        client.connection.transport.pause_reading()
        watcher = await WireClient.ready(server.url)
        before = server.resident_bytes
        await watcher.start("s", ["sleep", "1"])
        await watcher.finish("s")
        assert server.resident_bytes - before < 48 * MIB  # 16 MiB in flight, kept and encoded
        client.connection.transport.abort()
        again = await WireClient.ready(server.url, client.session_id)
        await again.call("process/terminate", {"processId": "p"})
        page = await _read(again, afterSeq=seen, maxBytes=64 * MIB)
        assert page["chunks"][0]["seq"] == seen + 1
        numbers = [chunk["seq"] for chunk in page["chunks"]]
        assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
        assert len(_output(page)) > 2 * MIB  # far more than is kept for its own sake
        await again.connection.close()
        await watcher.connection.close()


@requirement("PROC-RESUME-01")
async def test_live_output_waits_for_a_resumed_client_to_catch_up(server: ServerProcess) -> None:
    async with asyncio.timeout(60):
        first = await WireClient.ready(server.url)
        await first.start("p", ["yes"])
        await first.notification()
        first.connection.transport.abort()
        client = await WireClient.ready(server.url, first.session_id)
        watcher = await WireClient.ready(server.url)
        await watcher.start("s", ["sleep", "1"])
        await watcher.finish("s")
        assert await client.call("environment/status") == {"status": "ready"}
        ahead = list(client.notifications)
        waiting = sum(len(decode_base64(event["params"]["chunk"])) for event in ahead)
        assert 0 < len(ahead) <= 256  # what clients keep, by number and by size
        assert 0 < waiting <= MIB
        after = 0
        while after < ahead[0]["params"]["seq"] - 1:
            page = await _read(client, afterSeq=after, maxBytes=16 * MIB)
            after = page["nextSeq"] - 1
        client.notifications.clear()
        more = 0
        while more < 4 * MIB:
            event = await client.notification()
            more += len(decode_base64(event["params"]["chunk"]))
        await client.call("process/terminate", {"processId": "p"})
        await client.connection.close()
        await watcher.connection.close()


@requirement("PROC-READ-03")
async def test_a_peer_that_reads_but_answers_no_ping_is_not_left_waiting(
    server: ServerProcess,
) -> None:
    size = 20_000_000
    async with asyncio.timeout(50):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE_REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        for message in (
            {"id": 1, "method": "initialize", "params": {"clientName": "mute"}},
            {"method": "initialized"},
            {
                "id": 2,
                "method": "process/start",
                "params": {
                    "processId": "p",
                    "argv": ["head", "-c", str(size), "/dev/zero"],
                    "cwd": "file:///",
                    "env": {"PATH": "/usr/bin:/bin"},
                    "tty": False,
                    "arg0": None,
                },
            },
        ):
            frame = Frame(Opcode.TEXT, json.dumps(message).encode())
            writer.write(frame.serialize(mask=True))
        received = 0
        while received < size * 4 / 3:
            data = await reader.read(1 << 20)
            assert data
            received += len(data)
        writer.close()


LOST = b"".join(b"%d\n" % number for number in range(1, 800_001))
"""What ``seq 800000`` writes: 5.3 MiB."""


@requirement("PROC-OFFSETS-01")
@pytest.mark.parametrize("disk", ["0", "2MiB"])
async def test_a_reader_can_tell_how_much_of_each_stream_is_no_longer_kept(
    disk: str, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    script = f"read go; echo error >&2; seq 800000; echo end >&2; touch {done}; exit 3"
    with ServerProcess("--retain-output-bytes", disk) as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["sh", "-c", script], pipeStdin=True)
        before = await _read(client, streamOffsets=True)
        assert before["streamOffsets"] == {"stdout": 0, "stderr": 0}
        assert "exitSeq" not in before
        await client.call("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
        await client.connection.close()
        async with asyncio.timeout(20):
            while not done.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
        client = await WireClient.ready(server.url, client.session_id)
        after, missing = 0, 0
        have = {"stdout": 0, "stderr": 0}
        kept = b""
        while True:
            answer = await _read(
                client, afterSeq=after, maxBytes=200_000, streamOffsets=True, waitMs=1000
            )
            offsets = answer["streamOffsets"]
            missing += offsets["stdout"] - have["stdout"]
            assert offsets["stderr"] - have["stderr"] == (6 if not after else 0)
            have = offsets
            for chunk in answer["chunks"]:
                data = decode_base64(chunk["chunk"])
                have[chunk["stream"]] += len(data)
                kept += data if chunk["stream"] == "stdout" else b""
            after = answer["nextSeq"] - 1
            if answer["closed"] and not answer["chunks"]:
                break
        assert have == {"stdout": len(LOST), "stderr": 10}
        assert missing > 0
        assert kept == LOST[missing:]
        numbers = {chunk["seq"] for chunk in (await _read(client))["chunks"]}
        assert answer["exitSeq"] not in numbers
        assert answer["exitSeq"] <= after - 1
        # Who does not ask is told nothing, as the reference tells nothing.
        assert not {"streamOffsets", "exitSeq"} & set(await _read(client))
        await client.close()
