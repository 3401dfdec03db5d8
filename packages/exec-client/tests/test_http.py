"""HTTP requests of the executor, as the client sees them: ids, order, ends, lost connections."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientClosedError,
    ClientError,
    ClientOptions,
    ConnectionBrokenError,
    HttpBodyError,
    UnsupportedError,
)
from exec_client.connection.websocket import NotSentError
from exec_client.http import HttpStream
from exec_client.session.bodies import MAX_WAITING_BYTES, MAX_WAITING_PIECES
from exec_client.session.session import Session
from exec_server_protocol.errors import InternalError, InvalidParamsError
from exec_server_protocol.http import HttpHeader
from exec_testkit.memory_socket import MemorySocket
from exec_testkit.requirements import requirement
from exec_testkit.virtual_time import run

BOTH = {"httpRequestCancel": True, "httpStreamCredit": True, "httpHeaderEnvVars": True}


class Executor:
    """An executor in memory that answers handshakes, and HTTP only when the test says so.

    Attributes:
        said: What the client sent about HTTP, in order.
        sockets: Its connections.
    """

    def __init__(self, **capabilities: bool) -> None:
        self.capabilities = capabilities
        self.said: list[dict[str, Any]] = []
        self.sockets: list[MemorySocket] = []
        self.news = asyncio.Event()

    async def dial(self, url: str, options: ClientOptions) -> MemorySocket:
        socket = MemorySocket(lambda data: self._received(socket, data), lambda: None, NotSentError)
        self.sockets.append(socket)
        return socket

    def _received(self, socket: MemorySocket, data: bytes) -> None:
        message = json.loads(data)
        if message["method"] == "initialize":
            info = {"shell": {"name": "sh", "path": "/bin/sh"}, "capabilities": self.capabilities}
            result = {"sessionId": "s", "environmentInfo": info}
            socket.deliver(json.dumps({"id": message["id"], "result": result}).encode())
        elif message["method"].startswith("http/"):
            self.said.append(message)
            self.news.set()
            if message["method"] != "http/request":
                self.send({"id": message["id"], "result": {}})

    def send(self, message: dict[str, Any]) -> None:
        self.sockets[-1].deliver(json.dumps(message).encode())

    async def request(self, number: int = 1) -> dict[str, Any]:
        """Wait for the n-th request; returns it."""
        while len(requests := [m for m in self.said if m["method"] == "http/request"]) < number:
            self.news.clear()
            await self.news.wait()
        return requests[number - 1]

    async def wait_said(self, method: str) -> dict[str, Any]:
        """Wait for a message; returns its params."""
        while not (found := [m for m in self.said if m["method"] == method]):
            self.news.clear()
            await self.news.wait()
        params: dict[str, Any] = found[-1]["params"]
        return params

    def answer(self, request: dict[str, Any], body: bytes = b"", status: int = 200) -> None:
        result = {
            "status": status,
            "headers": [{"name": "A", "value": "1"}, {"name": "b", "value": "2"}],
            "bodyBase64": base64.b64encode(body).decode(),
        }
        self.send({"id": request["id"], "result": result})

    def delta(
        self,
        body_id: str,
        seq: int,
        data: bytes = b"",
        done: bool = False,
        error: str | None = None,
    ) -> None:
        params = {
            "requestId": body_id,
            "seq": seq,
            "deltaBase64": base64.b64encode(data).decode(),
            "done": done,
            "error": error,
        }
        self.send({"method": "http/request/bodyDelta", "params": params})


Script = Callable[[Client, Executor], Awaitable[None]]


def play(script: Script, **capabilities: bool) -> None:
    """Run a script with a client and an executor, in virtual time."""

    async def main() -> None:
        executor = Executor(**capabilities)
        session = Session("ws://memory", ClientOptions(), dial=executor.dial)
        await session.connect(resume=False)
        client = Client(session)
        try:
            await script(client, executor)
        finally:
            await client.aclose()

    run(main())


@requirement("HTTP-CLIENT-01")
def test_a_buffered_request_asks_for_a_buffered_response() -> None:
    async def script(client: Client, executor: Executor) -> None:
        headers: list[tuple[str, str] | HttpHeader] = [
            ("X", "1"),
            HttpHeader(name="Y", value="p", value_env_var="V"),
            ("X", "2"),
        ]
        call = asyncio.ensure_future(
            client.http.request("POST", "http://o/", headers=headers, body="caf\u00e9", timeout=1.5)
        )
        request = await executor.request()
        assert request["params"] == {
            "method": "POST",
            "url": "http://o/",
            "headers": [
                {"name": "X", "value": "1"},
                {"name": "Y", "value": "p", "valueEnvVar": "V"},
                {"name": "X", "value": "2"},
            ],
            "bodyBase64": "Y2Fmw6k=",
            "timeoutMs": 1500,
            "redirectPolicy": "follow",
            "requestId": "http-1",
            "streamResponse": False,
        }
        executor.answer(request, b"whole", status=404)
        response = await call
        assert (response.status, response.body) == (404, b"whole")
        assert response.headers == [("a", "1"), ("b", "2")]
        assert (response.header("A"), response.header("c"), response.header("c", "d")) == (
            "1",
            None,
            "d",
        )
        call = asyncio.ensure_future(
            client.http.request("GET", "http://o/", follow_redirects=False)
        )
        request = await executor.request(2)
        assert request["params"]["redirectPolicy"] == "stop"
        assert (request["params"]["requestId"], request["params"]["timeoutMs"]) == ("http-2", None)
        executor.answer(request)
        await call
        assert len(executor.said) == 2

    play(script, **BOTH)


@requirement("HTTP-CLIENT-02")
def test_streams_have_ids_of_their_own_and_their_bytes_in_order() -> None:
    async def script(client: Client, executor: Executor) -> None:
        for number in (1, 2):
            body_id = f"http-{number}"
            call = asyncio.ensure_future(_collect(client))
            request = await executor.request(number)
            assert request["params"]["requestId"] == body_id
            assert request["params"]["streamResponse"] is True
            assert "streamCredit" not in request["params"]
            executor.delta(body_id, 1, b"before the answer, ")  # the two may overtake each other
            executor.answer(request)
            executor.delta(body_id, 2, b"x" * 5000)
            executor.delta(body_id, 3, b" and with the end", done=True)
            assert await call == b"before the answer, " + b"x" * 5000 + b" and with the end"
        assert len(executor.said) == 2

    play(script)


async def _collect(client: Client) -> bytes:
    async with client.http.stream("GET", "http://o/") as response:
        return await response.read()


@requirement("HTTP-CLIENT-03")
def test_what_nobody_reads_any_more_does_not_leak_into_the_next_stream() -> None:
    async def script(client: Client, executor: Executor) -> None:
        left = asyncio.ensure_future(_leave_at_once(client))
        executor.answer(await executor.request())
        await left
        executor.delta("http-1", 1, b"late", done=True)
        call = asyncio.ensure_future(_collect(client))
        executor.answer(await executor.request(2))
        executor.delta("http-1", 2, b"later", done=True)
        executor.delta("http-2", 1, b"mine", done=True)
        assert await call == b"mine"

    play(script)


async def _leave_at_once(client: Client) -> None:
    async with client.http.stream("GET", "http://o/") as response:
        assert response.status == 200


@requirement("HTTP-CLIENT-04")
@pytest.mark.parametrize("can_cancel", [True, False])
def test_a_request_that_is_cancelled_is_ended_where_that_is_possible(can_cancel: bool) -> None:
    async def script(client: Client, executor: Executor) -> None:
        for number, call in enumerate(
            (_collect(client), client.http.request("GET", "http://o/"), _collect(client)), start=1
        ):
            task = asyncio.ensure_future(call)
            request = await executor.request(number)
            if number == 3:  # after the headers
                executor.answer(request)
                executor.delta("http-3", 1, b"some")
                await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            executor.answer(request)
            executor.delta(request["params"]["requestId"], 2, b"late")
            if can_cancel:
                cancelled = await executor.wait_said("http/request/cancel")
                assert cancelled == {"requestId": f"http-{number}"}
        said = [message["method"] for message in executor.said]
        assert said.count("http/request/cancel") == (3 if can_cancel else 0)

    play(script, httpRequestCancel=can_cancel)


def test_a_stream_that_ended_is_not_cancelled() -> None:
    async def script(client: Client, executor: Executor) -> None:
        call = asyncio.ensure_future(_collect(client))
        executor.answer(await executor.request())
        executor.delta("http-1", 1, done=True)
        await call
        await asyncio.sleep(1)
        assert [message["method"] for message in executor.said] == ["http/request"]

    play(script, **BOTH)


@requirement("HTTP-CLIENT-05", "CLIENT-INV-30")
def test_a_lost_connection_is_one_error_and_no_end_even_for_who_does_not_read() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            executor.delta("http-1", 1, b"some")
            executor.sockets[-1].cut()
            async with asyncio.timeout(0.1):
                received, error = await read_to_error(response)
            assert received == b"some"
            assert isinstance(error, ConnectionBrokenError)
            assert "disconnected" in str(error)
            with pytest.raises(ConnectionBrokenError):
                await response.next_piece()
            # The session has been resumed, and a new stream works.
            async with client_stream(client, executor, 2) as second:
                executor.delta("http-2", 1, b"new", done=True)
                assert await second.read() == b"new"
        assert len(executor.sockets) == 2

    play(script, **BOTH)


async def read_to_error(response: HttpStream) -> tuple[bytes, Exception]:
    """Return what comes before the error, and the error."""
    received = b""
    try:
        async for piece in response:
            received += piece
    except ClientError as error:
        return received, error
    raise AssertionError("the body came to an end")


class client_stream:
    """Opens a stream whose headers are answered."""

    def __init__(self, client: Client, executor: Executor, number: int) -> None:
        self._manager = client.http.stream("GET", "http://o/")
        self._executor = executor
        self._number = number

    async def __aenter__(self) -> Any:
        entering = asyncio.ensure_future(self._manager.__aenter__())
        self._executor.answer(await self._executor.request(self._number))
        return await entering

    async def __aexit__(self, *error: Any) -> None:
        await self._manager.__aexit__(*error)


@requirement("HTTP-CLIENT-06")
def test_a_lost_connection_comes_behind_all_that_had_arrived() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            for seq in range(1, MAX_WAITING_PIECES + 1):
                executor.delta("http-1", seq, b"%d," % seq)
            await asyncio.sleep(1)
            executor.sockets[-1].cut()
            received, error = await read_to_error(response)
            assert received.count(b",") == MAX_WAITING_PIECES
            assert isinstance(error, ConnectionBrokenError)

    play(script)


@requirement("HTTP-CLIENT-07")
def test_a_body_that_nobody_reads_fails_when_it_is_in_the_way_of_others() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            for seq in range(1, 1025):
                executor.delta("http-1", seq, b"%d," % seq)
            start = asyncio.get_running_loop().time()
            other = asyncio.ensure_future(client.http.request("GET", "http://o/"))
            executor.answer(await executor.request(2), b"through")
            assert (await other).body == b"through"
            assert 9 < asyncio.get_running_loop().time() - start < 15
            received, error = await read_to_error(response)
            assert received.count(b",") == MAX_WAITING_PIECES
            assert isinstance(error, HttpBodyError)
            assert "not read in time" in str(error)
            cancelled = await executor.wait_said("http/request/cancel")
            assert cancelled == {"requestId": "http-1"}

    play(script, httpRequestCancel=True)


def test_a_slow_reader_loses_nothing_while_nobody_else_waits() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            for seq in range(1, 2001):
                executor.delta("http-1", seq, b"%d," % seq)
            executor.delta("http-1", 2001, done=True)
            received = b""
            async for piece in response:
                received += piece
                await asyncio.sleep(0.5)
            assert received == b"".join(b"%d," % seq for seq in range(1, 2001))

    play(script)


def test_all_bodies_together_wait_within_their_bytes() -> None:
    async def script(client: Client, executor: Executor) -> None:
        piece = bytes(1024 * 1024)
        async with client_stream(client, executor, 1), client_stream(client, executor, 2):
            session = await client.http.session()
            for seq in range(1, 20):
                executor.delta("http-1", seq, piece)
                executor.delta("http-2", seq, piece)
            await asyncio.sleep(100)
            waiting = sum(body.size for body in session.bodies._open.values())
            assert MAX_WAITING_BYTES <= waiting <= MAX_WAITING_BYTES + len(piece)

    play(script)


def test_with_credit_the_executor_sends_as_the_body_is_read() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            credit = (await executor.request())["params"]["streamCredit"]
            assert credit == 64
            for seq in range(1, credit + 1):
                executor.delta("http-1", seq, b"x")
            for _ in range(credit // 2 - 1):
                await response.next_piece()
            await asyncio.sleep(1)
            assert len(executor.said) == 1
            await response.next_piece()
            granted = await executor.wait_said("http/request/credit")
            assert granted == {"requestId": "http-1", "pieces": credit // 2}
            # Nobody reads on, and nobody is held up by that.
            other = asyncio.ensure_future(client.http.request("GET", "http://o/"))
            executor.answer(await executor.request(2), b"through")
            async with asyncio.timeout(1):
                assert (await other).body == b"through"

    play(script, **BOTH)


def test_an_executor_that_sends_more_than_was_asked_for_is_not_believed() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            for seq in range(1, 200):
                executor.delta("http-1", seq, b"x")
            await asyncio.sleep(1)
            received, error = await read_to_error(response)
            assert len(received) == 65
            assert isinstance(error, HttpBodyError)
            await executor.wait_said("http/request/cancel")

    play(script, **BOTH)


def test_many_bodies_share_what_may_wait() -> None:
    async def script(client: Client, executor: Executor) -> None:
        bodies = (await client.http.session()).bodies
        total = 0
        for _ in range(256):
            total += bodies.fair_credit()
            bodies.open()
        assert bodies.fair_credit() == 4
        assert total < 2000

    play(script, **BOTH)


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        ([(2, b"b", False, None)], "gap: piece 2, expected 1"),
        ([(1, b"a", False, None), (1, b"a", False, None)], "gap: piece 1, expected 2"),
        ([(1, b"a", False, None), (3, b"c", True, None)], "gap: piece 3, expected 2"),
        ([(1, b"a", False, None), (2, b"", True, "cut off")], "cut off"),
        ([(1, b"a", False, None), (1, b"", True, "cut off")], "cut off"),
    ],
)
def test_a_body_that_is_not_complete_is_one_error_behind_its_pieces(
    deltas: list[tuple[int, bytes, bool, str | None]], text: str
) -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            for delta in deltas:
                executor.delta("http-1", *delta)
            received, error = await read_to_error(response)
            assert received in (b"", b"a")
            assert isinstance(error, HttpBodyError)
            assert text in str(error)
            assert len(executor.sockets) == 1

    play(script)


def test_a_request_that_was_not_sent_goes_out_on_the_next_connection() -> None:
    async def script(client: Client, executor: Executor) -> None:
        executor.sockets[-1].cut()
        async with client_stream(client, executor, 1) as response:
            executor.delta("http-1", 1, b"ok", done=True)
            assert await response.read() == b"ok"
        assert len(executor.sockets) == 2

    play(script)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_whose_answer_was_lost_is_not_repeated(stream: bool) -> None:
    async def script(client: Client, executor: Executor) -> None:
        call = _collect(client) if stream else client.http.request("GET", "http://o/")
        task: asyncio.Future[Any] = asyncio.ensure_future(call)
        await executor.request()
        executor.sockets[-1].cut()
        with pytest.raises(ConnectionBrokenError) as caught:
            await task
        assert caught.value.maybe_executed
        await asyncio.sleep(1)
        assert len(executor.said) == 1

    play(script, **BOTH)


def test_a_closed_client_fails_its_bodies_and_requests() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            reading = asyncio.ensure_future(response.read())
            other = asyncio.ensure_future(client.http.request("GET", "http://o/"))
            await executor.request(2)
            await client.aclose()
            for task in (reading, other):
                with pytest.raises(ClientClosedError):
                    await task
            with pytest.raises(ClientClosedError):
                await client.http.request("GET", "http://o/")

    play(script, **BOTH)


def test_what_the_executor_refuses_is_raised_and_leaves_nothing_open() -> None:
    async def script(client: Client, executor: Executor) -> None:
        for number, (code, kind) in enumerate(
            ((-32602, InvalidParamsError), (-32603, InternalError)), start=1
        ):
            task = asyncio.ensure_future(_collect(client))
            request = await executor.request(number)
            executor.send({"error": {"code": code, "message": "no"}, "id": request["id"]})
            with pytest.raises(kind):
                await task
        assert len((await client.http.session()).bodies) == 0
        await asyncio.sleep(1)
        assert {message["method"] for message in executor.said} == {"http/request"}

    play(script, **BOTH)


def test_a_header_from_a_variable_needs_an_executor_that_takes_it() -> None:
    async def script(client: Client, executor: Executor) -> None:
        header = HttpHeader(name="A", value="", value_env_var="TOKEN")
        with pytest.raises(UnsupportedError):
            await client.http.request("GET", "http://o/", headers=[header])
        assert not executor.said

    play(script)


def test_a_piece_that_makes_no_sense_ends_the_connection_and_not_the_session() -> None:
    async def script(client: Client, executor: Executor) -> None:
        async with client_stream(client, executor, 1) as response:
            executor.send({"method": "http/request/bodyDelta", "params": {"requestId": "http-1"}})
            with pytest.raises(ConnectionBrokenError):
                await response.read()
        async with client_stream(client, executor, 2) as response:
            executor.delta("http-2", 1, b"ok", done=True)
            assert await response.read() == b"ok"

    play(script)
