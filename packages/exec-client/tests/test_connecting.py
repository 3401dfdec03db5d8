"""Peers that are not there, refuse, or speak something else; and odd but honest executors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from exec_client import (
    BadAnswerError,
    ClientClosedError,
    ClientOptions,
    ClientState,
    ConnectError,
    ConnectTimeoutError,
    HandshakeRejectedError,
    HandshakeTimeoutError,
    ProcessBrokenError,
    TimeoutExpired,
    connect,
)
from exec_client.connection.websocket import _connect_error
from exec_testkit.requirements import requirement
from exec_testkit.scripted_peer import PeerConnection, ScriptedPeer
from opentelemetry.trace import NoOpTracerProvider

FAST = ClientOptions(retry_delay=0.005, recovery_deadline=3.0, attempt_timeout=1.0)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _tcp(handler: Handler) -> AsyncIterator[str]:
    """Serve raw TCP on an ephemeral port; yields what follows ``ws://``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def _saying(answer: bytes) -> Handler:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return  # it gave up, having said something else
        writer.write(answer)
        await writer.drain()

    return say


async def _refused(url: str, options: ClientOptions | None = None) -> ConnectError:
    before = asyncio.all_tasks()
    with pytest.raises(ConnectError) as caught:
        async with asyncio.timeout(10):
            await connect(url, options=options)
    assert not caught.value.maybe_executed
    await asyncio.sleep(0)
    assert {t for t in asyncio.all_tasks() - before if t.get_name().startswith("exec-client")} == (
        set()
    )
    return caught.value


async def test_nobody_is_there() -> None:
    async with _tcp(_saying(b"")) as address:
        pass
    error = await _refused(f"ws://user:secret@{address}/path?token=secret")
    assert type(error) is ConnectError
    assert "secret" not in str(error)
    assert address in str(error)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "HTTP 401"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP 200"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "no WebSocket server"),
        (b"", "no WebSocket server"),
    ],
)
async def test_the_peer_is_something_else(answer: bytes, text: str) -> None:
    async with _tcp(_saying(answer)) as address:
        error = await _refused(f"ws://{address}")
    assert isinstance(error, HandshakeRejectedError)
    assert text in str(error)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "127.0.0.1:x", "ws://", "", "ws://[::1"])
async def test_a_url_that_is_none(url: str) -> None:
    assert "not a ws:// or wss:// URL" in str(await _refused(url))


async def test_a_peer_that_never_answers_the_upgrade_costs_the_connect_timeout() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with _tcp(hang) as address:
        error = await _refused(f"ws://{address}", ClientOptions(connect_timeout=0.1))
        assert isinstance(error, ConnectTimeoutError)


async def test_a_peer_without_tls_is_no_secure_one() -> None:
    async with _tcp(_saying(b"HTTP/1.1 400 No\r\n\r\n")) as address:
        context = ssl.create_default_context()
        error = await _refused(f"wss://{address}", ClientOptions(ssl=context, connect_timeout=0.5))
        assert type(error) in (ConnectError, ConnectTimeoutError, HandshakeRejectedError)
        assert "not a ws://" not in str(error)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ({"error": {"code": -32600, "message": "full"}}, HandshakeRejectedError, "full"),
        ({"result": {"nothing": 1}}, HandshakeRejectedError, "does not speak"),
        ({"result": 5}, HandshakeRejectedError, "does not speak"),
        (None, HandshakeTimeoutError, "did not answer initialize within 0.2 s"),
    ],
)
async def test_the_handshake_goes_wrong(answer: Any, kind: type[ConnectError], text: str) -> None:
    async def script(peer: PeerConnection) -> None:
        request = await peer.expect("initialize")
        if answer is not None:
            await peer.send({**answer, "id": request["id"]})
        await peer.wait_closed()

    async with ScriptedPeer(script) as peer:
        error = await _refused(peer.url, ClientOptions(initialize_timeout=0.2))
        assert isinstance(error, kind)
        assert text in str(error)
        assert len(peer.connections) == 1


async def test_headers_and_a_session_to_resume_are_passed_on() -> None:
    async def script(peer: PeerConnection) -> None:
        request = await peer.handshake("mine")
        assert request["params"] == {"clientName": "me", "resumeSessionId": "mine"}
        headers = peer._connection.request.headers  # type: ignore[union-attr]
        assert headers["Authorization"] == "Bearer t"
        await peer.wait_closed()

    options = ClientOptions(client_name="me", additional_headers={"Authorization": "Bearer t"})
    async with ScriptedPeer(script) as peer:
        async with connect(peer.url, options=options, session_id="mine") as client:
            assert client.session_id == "mine"


@pytest.mark.parametrize("answers", [True, False])
async def test_an_executor_that_says_nothing_about_itself_at_first(answers: bool) -> None:
    async def script(peer: PeerConnection) -> None:
        await peer.answer(await peer.expect("initialize"), {"sessionId": "s"})
        await peer.expect("initialized")
        request = await peer.expect("environment/info")
        if answers:
            await peer.answer(request, {"shell": {"name": "zsh", "path": "/bin/zsh"}})
        else:
            await peer.refuse(request, -32601)
        await peer.answer(await peer.expect("environment/status"), {"status": "ready"})
        await peer.wait_closed()

    async with ScriptedPeer(script) as peer, connect(peer.url) as client:
        assert client.environment_info.shell.name == ("zsh" if answers else "sh")
        assert await client.status() == "ready"


async def test_an_answer_that_makes_no_sense_costs_its_caller_an_error_and_nothing_else() -> None:
    async def script(peer: PeerConnection) -> None:
        await peer.handshake(capabilities={"processList": True})
        await peer.answer(await peer.expect("process/start"), {"processId": "p"})
        for _ in range(3):
            await peer.answer(await peer.receive(), {"nonsense": True})
        await peer.answer(await peer.expect("environment/status"), {"status": "ready"})
        await peer.wait_closed()

    async with ScriptedPeer(script) as peer, connect(peer.url, options=FAST) as client:
        process = await client.start(["x"])
        for call in (client.info, client.list_processes, process.read):
            with pytest.raises(BadAnswerError, match="makes no sense"):
                await call()
        assert await client.status() == "ready"
        assert len(peer.connections) == 1


@requirement("CLIENT-R07")
async def test_a_link_that_dies_with_the_last_word_of_the_handshake_is_recovered() -> None:
    async def dies(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    async def lives(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.answer(await peer.expect("environment/status"), {"status": "ready"})
        await peer.wait_closed()

    for _ in range(10):
        async with ScriptedPeer(dies, lives) as peer, connect(peer.url, options=FAST) as client:
            assert await client.status() == "ready"


async def test_a_close_frame_ends_the_connection_also_when_the_socket_stays_open() -> None:
    lives = asyncio.Event()

    async def closes(peer: PeerConnection) -> None:
        await peer.handshake()
        peer._connection.protocol.send_close(1001, "going away")
        peer._connection.transport.write(b"".join(peer._connection.protocol.data_to_send()))
        await lives.wait()

    async def again(peer: PeerConnection) -> None:
        lives.set()
        await peer.handshake()
        await peer.wait_closed()

    async with ScriptedPeer(closes, again) as peer, connect(peer.url, options=FAST) as client:
        changes = client.state_changes()
        async with asyncio.timeout(5):
            lost = await anext(changes)
            assert lost.reason == "exec-server transport disconnected: going away"
            assert (await anext(changes)).new is ClientState.CONNECTED


@requirement("CLIENT-INV-22")
async def test_closing_the_client_ends_every_wait_with_an_error_of_its_own() -> None:
    asked = asyncio.Event()

    async def script(peer: PeerConnection) -> None:
        await peer.handshake()
        await peer.answer(await peer.expect("process/start"), {"processId": "p"})
        await peer.receive()
        await peer.receive()
        asked.set()
        await peer.wait_closed()

    async with ScriptedPeer(script) as peer:
        client = await connect(peer.url, options=FAST)
        process = await client.start(["x"])
        waits = [
            asyncio.ensure_future(wait)
            for wait in (client.start(["y"]), client.call("fs/remove"), process.wait())
        ]
        await asked.wait()
        await client.aclose()
        start, call, wait = await asyncio.gather(*waits, return_exceptions=True)
        assert isinstance(start, ClientClosedError)
        assert isinstance(call, ClientClosedError)
        assert (start.maybe_executed, call.maybe_executed) == (True, True)
        assert isinstance(wait, ProcessBrokenError)
        assert isinstance(wait.__cause__, ClientClosedError)
        with pytest.raises(ClientClosedError):
            await client.status()
        assert client.state is ClientState.CLOSED


async def test_a_timeout_is_a_timeout_also_when_the_link_is_down() -> None:
    async def dies(peer: PeerConnection) -> None:
        await peer.handshake()
        request = await peer.expect("process/start")
        params = request["params"]
        await peer.answer(request, {"processId": params["processId"]})
        await peer.notify(
            "process/output", processId=params["processId"], seq=1, stream="stdout", chunk="aGk="
        )
        await peer.receive()

    async def hangs(peer: PeerConnection) -> None:
        await peer.wait_closed()

    options = ClientOptions(retry_delay=0.005, recovery_deadline=0.5)
    async with ScriptedPeer(dies, hangs) as peer, connect(peer.url, options=options) as client:
        with pytest.raises(TimeoutExpired) as caught:
            await client.run(["x"], timeout=0.2)
        assert caught.value.stdout == b"hi"


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has TCP_QUICKACK")
async def test_a_peer_that_waits_for_acknowledgements_gets_them_at_once() -> None:
    """With Nagle's algorithm on, the second of two messages waits for the ACK of the first."""

    async def script(peer: PeerConnection) -> None:
        await peer.handshake()
        sock = peer._connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for _ in range(50):
            first, second = await peer.receive(), await peer.receive()
            await peer.answer(first, {"status": "ready"})
            await peer.answer(second, {"status": "ready"})
        await peer.wait_closed()

    async with ScriptedPeer(script) as peer, connect(peer.url) as client:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(50):
            await asyncio.gather(client.status(), client.status())
        # A delayed acknowledgement takes 40 ms: two seconds for all of them.
        assert loop.time() - started < 1.0


async def test_a_url_that_is_none_is_told_in_the_same_words_with_telemetry() -> None:
    provider = NoOpTracerProvider()
    with pytest.raises(ConnectError, match="not a ws:// or wss:// URL"):
        await connect("ws://[::1", options=ClientOptions(tracer_provider=provider))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_localhost_is_this_machine_over_either_protocol(address: str) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 418 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    try:
        server = await asyncio.start_server(refuse, address, 0)
    except OSError:
        pytest.skip(f"this machine has no {address}")
    async with server:
        port = server.sockets[0].getsockname()[1]
        for url in (f"ws://localhost:{port}", f"localhost:{port}"):
            assert "HTTP 418" in str(await _refused(url))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect ('::1', 1), [Errno 111] Connect ()"),
            "Connection refused",
        ),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 113] b"), "refused, No route"),
        (ConnectionResetError(), "Connection reset"),
        (ConnectionAbortedError(""), "abort"),
        (OSError(), "OSError"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    ],
)
def test_a_failure_to_connect_has_a_reason_whatever_was_raised(error: OSError, reason: str) -> None:
    text = str(_connect_error("ws://h", error))
    assert text.startswith("cannot connect to ws://h: ")
    assert reason in text
