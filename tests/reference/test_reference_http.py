"""HTTP requests: our server beside the reference server, and our client against it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from exec_client import HttpBodyError, connect
from exec_testkit.http_wire import deltas, params, response
from exec_testkit.origin import Exchange, Origin, chunked, reply
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 40.0
CLOSE = "Connection: close"
"""The reference fails a request whose pooled connection its origin has closed."""


def _moved(location: str, status: int) -> bytes:
    return reply(b"moved", f"Location: {location}", CLOSE, status=f"{status} Moved")


REPLIES = {
    "/ok": reply(b"body\x00\xff", "X-B: 1", "X-A: 2", "x-b: 3", "Bad: caf\u00e9", CLOSE),
    "/empty": b"HTTP/1.1 204 None\r\nX: y\r\nConnection: close\r\n\r\n",
    "/error": reply(b"oh", CLOSE, status="503 Oh"),
    "/chunks": chunked(CLOSE) + b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "/garbage": b"\x01\x02\r\n\r\n",
    "/loop": _moved("/loop", 302),
    "/scheme": _moved("ftp://127.0.0.1/", 302),
    "/nowhere": reply(b"moved", CLOSE, status="302 Moved"),
    "/300": _moved("/ok", 300),
    **{f"/{status}": _moved("/ok?a=b", status) for status in (301, 302, 303, 307, 308)},
}
HEADERS = [("X-Mine", "1"), ("x-mine", "2"), ("Content-Type", "a/b"), ("Empty", "")]
REQUESTS: list[dict[str, Any]] = [
    {"path": "/ok?a=%20b&c", "headers": HEADERS},
    {"path": "/ok", "method": "FROB", "body": b"\x00body", "headers": HEADERS},
    {"path": "/ok", "method": "HEAD"},
    {"path": "/ok", "headers": [("Accept", "x"), ("User-Agent", "u"), ("Host", "h")]},
    {"path": "/ok", "method": "POST", "body": b""},
    {"path": "/ok", "headers": [("X", "caf\u00e9\ttab")]},
    {"path": "/ok", "streamResponse": True},
    {"path": '/a b/\u00e9?\u00fc=%zz|{}^`"<>'},
    {"path": "/a/../ok"},
    {"path": "/empty"},
    {"path": "/empty", "streamResponse": True},
    {"path": "/error"},
    {"path": "/chunks"},
    {"path": "/chunks", "streamResponse": True},
    {"path": "/cut"},
    {"path": "/cut", "streamResponse": True},
    {"path": "/garbage"},
    {"path": "/loop"},
    {"path": "/loop", "redirectPolicy": "stop"},
    {"path": "/scheme"},
    {"path": "/nowhere"},
    {"path": "/300"},
    *(
        {"path": f"/{status}", "method": method, "body": body, "headers": HEADERS}
        for status in (301, 302, 303, 307, 308)
        for method, body in (("GET", None), ("HEAD", None), ("POST", b"x"), ("PUT", b"x"))
    ),
    {"path": "/ok", "timeoutMs": 0},
    {"path": "/ok", "method": "bad method"},
    {"path": "/ok", "headers": [("bad name", "x")]},
    {"path": "/ok", "headers": [("X", "a\nb")]},
    {"path": "/ok", "headers": [{"name": "X", "value": "p", "valueEnvVar": "HOME"}]},
    {"path": "/ok", "headers": [{"name": "X", "value": "p", "valueEnvVar": "NOT_SET_AT_ALL"}]},
    {"url": "relative"},
    {"url": "ftp://127.0.0.1/"},
    {"url": "http://127.0.0.1:99999/"},
    {"url": "http://127.0.0.1:1/"},
    {"path": "/ok", "redirectPolicy": "x"},
    {"path": "/ok", "timeoutMs": -1},
    {"path": "/ok", "bodyBase64": "*"},
]


async def _outcome(client: WireClient, origin: Origin, request: dict[str, Any]) -> Any:
    """What the client gets: a response with its body, or the code of an error."""
    members = dict(request)
    url = members.pop("url", None) or origin.url(members.pop("path"))
    try:
        head = response(await client.call("http/request", params(url, **members)))
    except WireError as error:
        return error.code
    if not members.get("streamResponse"):
        return head
    body, error_text = await deltas(client, "r")
    return head, body, error_text is not None


def _seen(origin: Origin) -> list[Any]:
    """What the origin got, without what no rule of HTTP is about: case and order of names."""
    return [
        (
            one.line,
            sorted(
                (name.lower(), value.replace(b"%d" % origin.port, b"PORT"))
                for name, value in one.headers
            ),
            [value for name, value in one.headers if name.lower() == "x-mine"],
            one.body,
        )
        for one in origin.seen
    ]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_both_servers_send_and_answer_the_same(
    reference: ServerProcess, ours: ServerProcess, request_: dict[str, Any]
) -> None:
    async with asyncio.timeout(WAIT_S):
        results = []
        for server in (reference, ours):
            async with Origin({**REPLIES}) as origin:
                client = await WireClient.ready(server.url)
                outcome = await _outcome(client, origin, request_)
                results.append((outcome, _seen(origin)))
                await client.close()
        assert results[0] == results[1]


@pytest.fixture(scope="module")
def ours() -> Any:
    with ServerProcess() as server:
        yield server


async def test_our_client_streams_from_it_without_losing_a_byte(reference: ServerProcess) -> None:
    piece, count = bytes(range(256)) * 4096, 50

    async def large(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % (count * len(piece))
        )
        for _ in range(count):
            await exchange.send(piece)

    async with Origin({"/": large, "/cut": REPLIES["/cut"]}) as origin:
        async with asyncio.timeout(WAIT_S), connect(reference.url) as client:
            digest = hashlib.sha256()
            async with client.http.stream("GET", origin.url()) as stream:
                async for part in stream:
                    digest.update(part)
                    await asyncio.sleep(0.001)  # slower than it comes
            assert digest.digest() == hashlib.sha256(piece * count).digest()
            async with client.http.stream("GET", origin.url("/cut")) as stream:
                with pytest.raises(HttpBodyError):
                    await stream.read()


async def test_httpx_works_through_it(reference: ServerProcess) -> None:
    async with Origin({**REPLIES}) as origin, connect(reference.url) as client:
        async with (
            asyncio.timeout(WAIT_S),
            httpx.AsyncClient(transport=client.http.transport(), follow_redirects=True) as web,
        ):
            answer = await web.post(origin.url("/307"), json={"a": 1})
            assert (answer.status_code, answer.content) == (200, b"body\x00\xff")
            assert origin.seen[1].body == b'{"a":1}'
            with pytest.raises(httpx.TransportError):
                await web.get(origin.url("/garbage"))
