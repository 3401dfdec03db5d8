"""Nothing a peer sends can crash, wedge or grow the server without limit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import socket
import struct
import sys

import pytest
from exec_server_protocol import errors
from exec_testkit.door import UPGRADE_REQUEST
from exec_testkit.liveness import wait_gone
from exec_testkit.loop_watch import LoopWatch
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError
from exec_testkit.wire_params import GOOD_PARAMS, mutants, text_of
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

pytestmark = [pytest.mark.process, pytest.mark.slow]

LIMIT_BYTES = 200 * 1024 * 1024
HELD_SECONDS = 0.1
"""Of the loop, by one frame. A collection of garbage may be among ten thousand of them; what a
frame alone may take is in ``test_loop_time``."""


@pytest.fixture
def fresh() -> ServerProcess:
    return ServerProcess()


async def _serves(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    await client.start("p", ["echo", "fine"])
    assert (await client.finish("p"))[0]["stdout"] == b"fine\n"
    await client.close()
    assert server.resident_bytes < LIMIT_BYTES


VALID = [
    '{"id":1,"method":"initialize","params":{"clientName":"x","resumeSessionId":null}}',
    '{"method":"initialized","params":{}}',
    '{"id":2,"method":"environment/info"}',
    '{"id":3,"method":"process/start","params":{"processId":"a","argv":["true"],'
    '"cwd":"file:///","env":{},"tty":false}}',
    '{"id":4,"method":"process/read","params":{"processId":"a","afterSeq":0,"maxBytes":5}}',
    '{"id":"x","method":"process/write","params":{"processId":"a","chunk":"YQ==","writeId":"1"}}',
    '{"id":5,"method":"process/signal","params":{"processId":"a","signal":"interrupt"}}',
    '{"id":6,"method":"fs/readFile","params":{"path":"file:///etc/hostname"}}',
    '{"id":9,"method":"process/start","params":{"processId":"b","argv":["true"],"cwd":"file:///",'
    '"env":{},"tty":false,"envPolicy":{"inherit":"all","ignoreDefaultExcludes":false,"exclude":["'
    + "*A?" * 40
    + '"],"set":{"'
    + "A" * 250
    + '":"1"},"includeOnly":["'
    + "*A" * 64
    + '*B","*"]}}}',
    '{"id":10,"method":"fs/getMetadata","params":{"path":"file:///etc","sandbox":{"permissions":'
    '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special",'
    '"value":{"kind":"root"}},"access":"read"},{"path":{"type":"glob_pattern","pattern":"/etc/**/'
    + "*[a-z]" * 40
    + '\\u0001"},"access":"deny"}]},"network":"restricted"},"windowsSandboxLevel":"disabled"}}}',
    '{"id":7,"result":{}}',
    '{"error":{"code":-1,"message":"m"},"id":8}',
]


def _mutate(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randint(0, 4)):
        where = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[where:where] = rng.randbytes(rng.randint(1, 8))
            case 1:
                del data[where : where + rng.randint(1, 12)]
            case 2:
                data[where:where] = rng.choice([b"[" * 200, b"{", b'"', b"\\u0000", b"\\ud800"])
            case 3:
                data[where:where] = rng.choice([b"1e999", b"-0", b"null", b"9" * 5000, b"true"])
            case 4:
                data += data[: rng.randint(0, len(data))]
    return bytes(data)


async def test_ten_thousand_random_and_mutated_frames() -> None:
    rng = random.Random(20260)
    watch = LoopWatch()
    with ServerProcess(
        "--listen", "ws://127.0.0.1:0", command=watch.command, env=watch.env
    ) as server:
        await _warm_up(server)
        watch.forget()
        client: WireClient | None = None
        for number in range(10_000):
            if client is None:
                client = await WireClient.dial(server.url)
            frame = rng.randbytes(rng.randint(0, 80)) if number % 5 == 0 else None
            if frame is None:
                frame = _mutate(rng.choice(VALID), rng)
            try:
                if rng.random() < 0.8:
                    await client.send_raw(frame.decode(errors="replace"))
                else:
                    await client.send_raw(frame)
                if number % 10 == 0:
                    pong = await client.connection.ping()
                    async with asyncio.timeout(10):
                        await pong
            except ConnectionClosed:
                client = None
        assert watch.longest().seconds < HELD_SECONDS, watch.longest()
        await _serves(server)
    watch.close()


async def _warm_up(server: ServerProcess) -> None:
    """Have done once what is loaded when it is done for the first time."""
    client = await WireClient.ready(server.url)
    for text in VALID:
        if '"id":' in text and '"params"' in text and "initialize" not in text:
            await client.send_raw(text)
    await client.call("environment/status")
    await client.close()


_HARMLESS = [
    *("environment/info", "environment/status", "process/start", "process/read", "process/write"),
    *("process/signal", "process/terminate", "fs/readFile", "fs/getMetadata", "fs/canonicalize"),
    *("fs/readDirectory", "fs/readBlock", "fs/writeBlock", "fs/close", "fs/watchMissing"),
]
"""What changes nothing on this machine, whatever its params come out as."""


@pytest.mark.parametrize("method", _HARMLESS)
async def test_params_with_something_wrong_are_answered_once(method: str) -> None:
    """Up to 200 of each method, on a connection where they would be carried out."""
    rng = random.Random(method)
    found = [mutant for good in GOOD_PARAMS[method] for mutant in mutants(good)]
    chosen = rng.sample(found, min(200, len(found)))
    codes = {0, *(getattr(errors, name) for name in errors.__all__ if name.isupper())}
    with ServerProcess() as server:
        client = await WireClient.ready(server.url)
        for number, mutant in enumerate(chosen):
            params = text_of(mutant)
            await client.send_raw(f'{{"id":{number},"method":"{method}","params":{params}}}')
            assert await client.outcome(number) in codes, params
        await client.close()
        await _serves(server)
        assert "Traceback" not in server.log()


async def test_bytes_that_are_no_websocket_at_all(fresh: ServerProcess) -> None:
    rng = random.Random(7)
    with fresh as server:
        for number in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            if number % 2:
                writer.write(UPGRADE_REQUEST)
            writer.write(rng.randbytes(rng.randint(1, 4000)))
            writer.close()
            del reader
        await _serves(server)


async def test_connections_that_never_initialize_keep_nobody_out() -> None:
    with ServerProcess() as server:
        sockets = []
        try:
            for number in range(1000):
                sock = socket.create_connection(("127.0.0.1", server.port))
                sock.sendall([b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"][number % 3])
                sockets.append(sock)
            await _serves(server)
        finally:
            for sock in sockets:
                sock.close()


async def test_half_open_connections_do_not_hold_anything_up(fresh: ServerProcess) -> None:
    with fresh as server:
        clients = [await WireClient.ready(server.url) for _ in range(50)]
        for client in clients:
            sock = client.connection.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            await client.request("process/read", {"processId": "nobody", "waitMs": 60_000})
        await _serves(server)
        for client in clients:
            client.abort()
        await _serves(server)


async def test_an_argument_list_of_100_000_elements(fresh: ServerProcess) -> None:
    with fresh as server:
        client = await WireClient.ready(server.url)
        argv = ["sh", "-c", "echo $#", "sh", *(["x"] * 100_000)]
        await client.start("p", argv)
        assert (await client.finish("p"))[0]["stdout"] == b"100000\n"
        await client.close()
        await _serves(server)


async def test_a_child_that_writes_a_gigabyte_while_nobody_reads(fresh: ServerProcess) -> None:
    with fresh as server:
        client = await WireClient.ready(server.url)
        script = "echo $$; read line; exec head -c 1000000000 /dev/zero"
        await client.start("p", ["sh", "-c", script], pipeStdin=True)
        pid = int(await client.output_until(b"\n"))
        client.connection.transport.pause_reading()
        await client.request("process/write", {"processId": "p", "chunk": "Cg==", "writeId": "1"})
        await _serves(server)
        client.abort()  # detached: the child goes on, its output goes to disk and is dropped
        assert await asyncio.to_thread(wait_gone, pid, 40)
        second = await _resume(server.url, client.session_id)
        answer = await second.call("process/read", {"processId": "p", "maxBytes": 1_000_000})
        assert answer["closed"]
        assert answer["exitCode"] == 0
        await second.close()
        await _serves(server)


async def _resume(url: str, session_id: str) -> WireClient:
    async with asyncio.timeout(20):
        while True:
            try:
                return await WireClient.ready(url, session_id)
            except WireError as error:
                if error.code != -32010:
                    raise


def _masked(text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=True)


async def test_a_peer_that_answers_no_pings_is_served_all_the_same(fresh: ServerProcess) -> None:
    count = 20_000  # their answers are more than what may be in flight
    with fresh as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE_REQUEST)
        writer.write(_masked(b'{"id":1,"method":"initialize","params":{"clientName":"x"}}'))
        writer.write(_masked(b'{"method":"initialized"}'))
        writer.write(_masked(b'{"id":2,"method":"environment/info"}') * count)
        seen, tail = 0, b""
        async with asyncio.timeout(40):
            while seen < count:
                data = tail + await reader.read(1 << 20)
                seen += data.count(b'{"id":2,')
                tail = data[-7:]
        writer.transport.abort()
        await _serves(server)


async def test_unread_answers_do_not_pile_up(fresh: ServerProcess) -> None:
    with fresh as server:
        client = await WireClient.ready(server.url)
        await client.start("p", ["head", "-c", "1000000", "/dev/zero"])
        await client.finish("p")
        client.connection.transport.pause_reading()
        request = b'{"id":1,"method":"process/read","params":{"processId":"p"}}'
        # The server stops reading before it has taken them all, as it should.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(2000):
                    await client.send_raw(request.decode())
        await _serves(server)
        client.abort()


async def test_a_slow_reader_loses_nothing(fresh: ServerProcess) -> None:
    with fresh as server:
        client = await WireClient.ready(server.url)
        code = "import random,sys;sys.stdout.buffer.write(random.Random(3).randbytes(30_000_000))"
        await client.start("p", [sys.executable, "-I", "-c", code])
        digest = hashlib.sha256()
        expected = 1
        while True:
            note = await client.notification()
            assert note["params"]["seq"] == expected
            expected += 1
            if note["method"] == "process/closed":
                break
            if note["method"] == "process/output":
                digest.update(base64.b64decode(note["params"]["chunk"]))
                if expected % 20 == 0:
                    await _serves(server)
        assert digest.digest() == hashlib.sha256(random.Random(3).randbytes(30_000_000)).digest()
        await client.close()


async def test_a_flood_of_values_is_refused_before_it_is_parsed(fresh: ServerProcess) -> None:
    with fresh as server:
        client = await WireClient.ready(server.url)
        for text in ("[" + "[]," * 3_000_000 + "[]]", "[" * 1_000_000, '{"a":' * 500_000):
            await client.send_raw(text)
        assert await client.call("environment/status") == {"status": "ready"}
        await client.close()
        await _serves(server)
