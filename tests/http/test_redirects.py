"""Redirects that the executor follows: what changes, what is not told, where it ends."""

from __future__ import annotations

import pytest
from exec_testkit.http_wire import fetch
from exec_testkit.origin import Origin, Reply, reply
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECRET = "s3cret-of-the-executor"


def moved(location: str, status: int = 302) -> bytes:
    return reply(b"moved", f"Location: {location}", status=f"{status} Moved")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_the_status_says_whether_method_and_body_are_kept(
    server: ServerProcess, status: int, method: str
) -> None:
    body = b"body" if method in ("POST", "PUT") else None
    async with Origin({"/a": moved("/b?c", status), "/b": reply()}) as origin:
        client = await WireClient.ready(server.url)
        headers = [("Content-Type", "a/b"), ("X-Mine", "1"), ("Authorization", "key")]
        response = await fetch(client, origin.url("/a"), method=method, body=body, headers=headers)
        await client.close()
    assert response.status == 200
    becomes_get = (method == "POST" and status in (301, 302)) or (body and status == 303)
    second = origin.seen[1]
    assert second.line == f"{'GET' if becomes_get else method} /b?c HTTP/1.1"
    assert second.body == (b"" if becomes_get else body or b"")
    drops_body = becomes_get or status == 303
    assert second.header("content-type") == (None if drops_body else b"a/b")
    assert (second.header("content-length") is None) == (not second.body)
    assert second.header("x-mine") == b"1"
    assert second.header("authorization") == b"key"
    assert second.header("referer") == origin.url("/a").encode()


async def test_another_origin_is_not_told_what_was_for_the_first(server: ServerProcess) -> None:
    secrets = ["Authorization", "cookie", "Proxy-Authorization", "Host", "Referer"]
    async with Origin({"/": reply()}) as other:
        target = f"http://user:password@localhost:{other.port}/"
        async with Origin({"/secret": moved(target)}) as origin:
            client = await WireClient.ready(server.url)
            headers = [*((name, "mine") for name in secrets), ("X-Mine", "1")]
            await fetch(client, origin.url("/secret?q=1"), headers=headers)
            await client.close()
    assert other.seen[0].headers == [
        ("host", f"localhost:{other.port}".encode()),
        ("X-Mine", b"1"),
        ("referer", origin.url("/").encode()),
        ("accept", b"*/*"),
    ]


async def test_no_header_of_the_executors_environment_reaches_another_origin(
    server: ServerProcess,
) -> None:
    filled = {"name": "X-Api-Key", "value": "key ", "valueEnvVar": "HTTP_TEST_SECRET"}
    headers = [filled, {"name": "X-Mine", "value": "1"}]
    async with Origin({"/": moved("/last"), "/last": reply()}) as other:
        first: dict[str, Reply] = {"/a": moved("/b"), "/b": moved(other.url("/"))}
        async with Origin(first) as origin:
            client = await WireClient.ready(server.url)
            await fetch(client, origin.url("/a"), headers=headers)
            await client.close()
    secret = f"key {SECRET}".encode()
    assert [request.header("x-api-key") for request in origin.seen] == [secret, secret]
    assert [request.header("x-api-key") for request in other.seen] == [None, None]
    assert [request.header("x-mine") for request in other.seen] == [b"1", b"1"]


async def test_a_way_back_does_not_bring_a_secret_back(server: ServerProcess) -> None:
    filled = {"name": "X-Api-Key", "value": "", "valueEnvVar": "HTTP_TEST_SECRET"}
    routes: dict[str, Reply] = {"/b": reply()}
    async with Origin(routes) as origin, Origin({"/": moved(origin.url("/b"))}) as other:
        routes["/a"] = moved(other.url("/"))
        client = await WireClient.ready(server.url)
        await fetch(client, origin.url("/a"), headers=[filled])
        await client.close()
    assert [request.header("x-api-key") for request in origin.seen] == [SECRET.encode(), None]
    assert [request.header("x-api-key") for request in other.seen] == [None]


async def test_a_redirect_is_the_response_when_that_is_asked_for(server: ServerProcess) -> None:
    async with Origin({"/a": moved("/b")}) as origin:
        client = await WireClient.ready(server.url)
        response = await fetch(client, origin.url("/a"), redirectPolicy="stop")
        await client.close()
    assert (response.status, response.body) == (302, b"moved")
    assert response.values("location") == ["/b"]
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    "response",
    [
        reply(b"moved", status="302 Moved"),
        moved("http://[/"),
        reply(b"moved", "Location: /b", status="300 Choices"),
        reply(b"moved", "Location: /b", status="305 Proxy"),
    ],
)
async def test_what_leads_nowhere_is_the_response(server: ServerProcess, response: bytes) -> None:
    async with Origin({"/a": response}) as origin:
        client = await WireClient.ready(server.url)
        result = await fetch(client, origin.url("/a"))
        await client.close()
    assert 300 <= result.status < 306
    assert result.body == b"moved"
    assert len(origin.seen) == 1


async def test_ten_redirects_are_followed_and_no_more(server: ServerProcess) -> None:
    chain = {f"/{number}": moved(f"/{number + 1}") for number in range(10)}
    async with Origin({**chain, "/10": reply(b"there"), "/loop": moved("/loop")}) as origin:
        client = await WireClient.ready(server.url)
        assert (await fetch(client, origin.url("/0"))).body == b"there"
        assert len(origin.seen) == 11
        with pytest.raises(WireError, match="too many redirects") as caught:
            await fetch(client, origin.url("/loop"))
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "redirect"})
        assert len(origin.seen) == 22
        await client.close()


async def test_a_redirect_to_another_scheme_is_an_error(server: ServerProcess) -> None:
    async with Origin({"/": moved("file:///etc/passwd")}) as origin:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError, match="unsupported URL scheme: file") as caught:
            await fetch(client, origin.url())
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "redirect"})
        await client.close()
