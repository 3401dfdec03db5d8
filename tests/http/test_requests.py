"""One request of the executor: what the origin gets, what the client gets, what is refused."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from exec_testkit.http_wire import deltas, fetch, params
from exec_testkit.origin import Exchange, Origin, Reply, reply
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECRET = "s3cret-of-the-executor"


@requirement("HTTP-BUFFER-01")
async def test_a_request_reaches_the_origin_whole_and_so_does_its_response(
    server: ServerProcess,
) -> None:
    async with Origin(
        {"/mcp": reply(b"a\0\xff" * 9, "X-Twice: 1", "A: b", "x-twice: 2")}
    ) as origin:
        client = await WireClient.ready(server.url)
        response = await fetch(
            client,
            origin.url("/mcp?x=1&y=%20"),
            method="POST",
            body=b"\x00\xffbody",
            headers=[("X-Mine", "1"), ("b", "caf\u00e9\t!"), ("X-Mine", "2"), ("Empty", "")],
        )
        seen = origin.seen[0]
        await client.close()
    assert seen.line == "POST /mcp?x=1&y=%20 HTTP/1.1"
    assert seen.headers == [
        ("host", f"127.0.0.1:{origin.port}".encode()),
        ("X-Mine", b"1"),
        ("b", "caf\u00e9\t!".encode()),
        ("X-Mine", b"2"),
        ("Empty", b""),
        ("accept", b"*/*"),
        ("content-length", b"6"),
    ]
    assert seen.body == b"\x00\xffbody"
    assert response.status == 200
    assert response.headers == [
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("a", "b"),
        ("content-length", "27"),
    ]
    assert response.body == b"a\0\xff" * 9


async def test_methods_are_sent_in_the_case_that_was_asked_for(server: ServerProcess) -> None:
    async with Origin({"/": reply(b"x")}) as origin:
        client = await WireClient.ready(server.url)
        for method in ("get", "FROB", "pOsT"):
            await fetch(client, origin.url(), method=method, bodyBase64="")
        await client.close()
    assert [seen.line.split()[0] for seen in origin.seen] == ["get", "FROB", "pOsT"]
    assert all(seen.header("content-length") is None for seen in origin.seen)


async def test_headers_of_the_caller_take_the_place_of_ours(server: ServerProcess) -> None:
    headers = [("HOST", "other"), ("Accept", "a/b"), ("User-Agent", "u"), ("Content-Length", "99")]
    async with Origin({"/": reply()}) as origin:
        client = await WireClient.ready(server.url)
        await fetch(client, origin.url(), method="PUT", body=b"abc", headers=headers)
        await fetch(client, origin.url(), method="POST", headers=[("content-length", "0")])
        await client.close()
    assert origin.seen[0].headers == [
        ("HOST", b"other"),
        ("Accept", b"a/b"),
        ("User-Agent", b"u"),
        ("content-length", b"3"),
    ]
    assert origin.seen[1].header("content-length") == b"0"


async def test_any_status_is_a_result_and_a_1xx_is_none(server: ServerProcess) -> None:
    early = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    replies: dict[str, Reply] = {
        "/teapot": reply(b"short", status="418 Teapot"),
        "/error": reply(b"broken", status="500 Error"),
        "/early": early + reply(b"late"),
        "/none": b"HTTP/1.1 204 No\r\nX: y\r\n\r\n",
        "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "/old": b"HTTP/1.0 200 OK\r\n\r\nto the end",
    }
    async with Origin({**replies}) as origin:
        client = await WireClient.ready(server.url)
        for path, method, expected in (
            ("/teapot", "GET", (418, b"short")),
            ("/error", "GET", (500, b"broken")),
            ("/early", "GET", (200, b"late")),
            ("/none", "GET", (204, b"")),
            ("/head", "HEAD", (200, b"")),
            ("/old", "GET", (200, b"to the end")),
        ):
            response = await fetch(client, origin.url(path), method=method)
            assert (response.status, response.body) == expected
        await client.close()


async def test_bodies_are_not_decoded(server: ServerProcess) -> None:
    packed = gzip.compress(b"text" * 100)
    async with Origin({"/": reply(packed, "Content-Encoding: gzip")}) as origin:
        client = await WireClient.ready(server.url)
        response = await fetch(client, origin.url())
        await client.close()
    assert response.body == packed
    assert response.values("content-encoding") == ["gzip"]


async def test_a_header_value_that_peers_may_refuse_is_left_out(server: ServerProcess) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A: caf\xc3\xa9\r\nX-B: ok\ttab\r\nContent-Length: 0\r\n\r\n"
    async with Origin({"/": head}) as origin:
        client = await WireClient.ready(server.url)
        response = await fetch(client, origin.url())
        await client.close()
    assert response.headers == [("x-b", "ok\ttab"), ("content-length", "0")]


async def test_header_values_come_from_the_executors_environment(server: ServerProcess) -> None:
    secret = {"name": "Authorization", "value": "Bearer ", "valueEnvVar": "HTTP_TEST_SECRET"}
    async with Origin({"/": reply()}) as origin:
        client = await WireClient.ready(server.url)
        assert client.info["capabilities"]["httpHeaderEnvVars"] is True
        await fetch(client, origin.url(), headers=[secret])
        missing = {**secret, "valueEnvVar": "NOPE_NOT_SET"}
        refused = params(origin.url(), headers=[missing])
        with pytest.raises(WireError, match="requires executor environment variable NOPE_NOT_SET"):
            await client.call("http/request", refused)
        await client.close()
    assert origin.seen[0].header("authorization") == f"Bearer {SECRET}".encode()
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    "name",
    [
        "EXEC_SERVER_TOKEN",
        "exec_server_token",
        "CODEX_EXEC_SERVER_NOISE_AUTH_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    ],
)
async def test_what_the_server_keeps_to_itself_fills_no_header(name: str) -> None:
    header = {"name": "X", "value": "", "valueEnvVar": name}
    async with Origin({"/": reply()}) as origin:
        with ServerProcess(env={**os.environ, name: "the-servers-own"}) as server:
            client = await WireClient.ready(server.url)
            with pytest.raises(WireError) as unset:
                await client.call(
                    "http/request",
                    params(origin.url(), headers=[{**header, "valueEnvVar": "NOT_SET"}]),
                )
            with pytest.raises(WireError) as withheld:
                await client.call("http/request", params(origin.url(), headers=[header]))
            await client.close()
    assert origin.seen == []
    assert str(withheld.value).replace(name, "NOT_SET") == str(unset.value)


async def test_user_and_password_of_the_url_become_a_header(server: ServerProcess) -> None:
    async with Origin({"/": reply()}) as origin:
        client = await WireClient.ready(server.url)
        url = f"http://u%20x:p%3A@127.0.0.1:{origin.port}/#fragment"
        await fetch(client, url)
        await fetch(client, url, headers=[("Authorization", "mine")])
        await client.close()
    assert [seen.header("authorization") for seen in origin.seen] == [b"Basic dSB4OnA6", b"mine"]
    assert [seen.path for seen in origin.seen] == ["/", "/"]


@pytest.mark.parametrize(
    "members",
    [
        {"method": ""},
        {"method": "bad method"},
        {"method": "G\u00cbT"},
        {"url": "relative"},
        {"url": "http:///path"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://[/"},
        {"url": "http://a b/"},
        {"url": "ftp://127.0.0.1/"},
        {"headers": [("bad name", "v")]},
        {"headers": [("", "v")]},
        {"headers": [("X", "a\r\nY: b")]},
        {"headers": [("X", "a\x00b")]},
        {"headers": [("X", "a\x7fb")]},
        {"headers": [("Host", "a"), ("host", "b")]},
    ],
)
async def test_what_is_no_http_is_refused_and_nothing_is_sent(
    server: ServerProcess, members: dict[str, Any]
) -> None:
    async with Origin({}) as origin:
        client = await WireClient.ready(server.url)
        url = members.pop("url", origin.url())
        assert await client.refused("http/request", params(url, **members)) == -32602
        await client.close()
    assert not origin.seen


async def _cut_in_the_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nX-Head")
    exchange.cut()


async def _cut_in_the_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/garbage", "protocol"),
        ("/nothing", "protocol"),
        ("/head", "network"),
        ("/body", "protocol"),
        ("/length", "protocol"),
    ],
)
async def test_an_origin_that_fails_is_one_error_with_its_kind(
    server: ServerProcess, path: str, kind: str
) -> None:
    replies: dict[str, Reply] = {
        "/garbage": b"\x00\x01\x02 not http\r\n\r\n",
        "/nothing": b"",
        "/head": _cut_in_the_head,
        "/body": _cut_in_the_body,
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    }
    async with Origin(replies) as origin:
        client = await WireClient.ready(server.url)
        request = await client.request("http/request", params(origin.url(path) + "?q=query"))
        with pytest.raises(WireError) as caught:
            await client.answer(request)
        assert await client.call("environment/status") == {"status": "ready"}
        await client.close()
    assert caught.value.code == -32603
    assert caught.value.data == {"kind": kind}
    assert "query" not in str(caught.value)


async def test_nobody_there_is_an_error_that_says_so(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url)
    for url, text in (
        ("http://127.0.0.1:1/x", "cannot connect to 127.0.0.1: Connection refused"),
        ("http://127.0.0.1:0/x", "cannot connect to 127.0.0.1: port 0"),
        (f"http://{'a' * 64}.test/", "cannot connect"),
    ):
        with pytest.raises(WireError, match=text) as caught:
            await client.call("http/request", params(url))
        assert caught.value.code == -32603
        assert caught.value.data == {"kind": "connect"}
    await client.close()


@requirement("HTTP-TIMEOUT-01")
async def test_a_timeout_is_for_the_whole_exchange_and_null_is_none(server: ServerProcess) -> None:
    proceed = asyncio.Event()

    async def slow_body(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await proceed.wait()
        await exchange.send(b"b")

    async with Origin({"/": slow_body}) as origin:
        client = await WireClient.ready(server.url)
        patient = await client.request("http/request", params(origin.url(), timeoutMs=None))
        for milliseconds in (50, 0):
            with pytest.raises(WireError) as caught:
                await client.call("http/request", params(origin.url(), timeoutMs=milliseconds))
            assert (caught.value.code, caught.value.data) == (-32603, {"kind": "timeout"})
        stream = params(origin.url(), timeoutMs=2000, streamResponse=True, requestId="s")
        assert (await client.call("http/request", stream))["status"] == 200
        assert await deltas(client, "s") == (b"a", "it took longer than timeoutMs")
        proceed.set()
        assert (await client.answer(patient))["bodyBase64"] == "YWI="
        longest = await client.call("http/request", params(origin.url(), timeoutMs=2**64 - 1))
        assert longest["status"] == 200
        await client.close()


async def test_a_slow_response_holds_up_nothing(server: ServerProcess) -> None:
    async with Origin({"/slow": Exchange.wait_gone, "/": reply(b"ok")}) as origin:
        client = await WireClient.ready(server.url)
        slow = [
            await client.request("http/request", params(origin.url("/slow"), requestId=str(number)))
            for number in range(80)
        ]
        await origin.wait_seen(80)
        assert (await fetch(client, origin.url())).body == b"ok"
        await client.start("p", ["echo", "through"])
        assert (await client.finish("p"))[0]["stdout"] == b"through\n"
        for number in range(80):
            await client.call("http/request/cancel", {"requestId": str(number)})
        assert {await client.outcome(request) for request in slow} == {-32603}
        await client.close()


async def test_an_answer_is_as_large_as_peers_take_and_no_larger(server: ServerProcess) -> None:
    fits = 50_000_000

    async def body(exchange: Exchange) -> None:
        size = fits if exchange.path == "/fits" else 2 * fits
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 1_000_000):
            await exchange.send(bytes(1_000_000))

    async with Origin({"/fits": body, "/larger": body}) as origin:
        client = await WireClient.ready(server.url)
        assert len((await fetch(client, origin.url("/fits"))).body) == fits
        with pytest.raises(WireError, match="ask for streamResponse") as caught:
            await fetch(client, origin.url("/larger"))
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "limit"})
        await origin.seen[1].wait_gone()
        await client.close()


async def test_a_body_that_says_how_large_it_is_is_refused_before_it_comes(
    server: ServerProcess,
) -> None:
    head = b"Content-Length: 100000000\r\n\r\n"

    async def silent(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + head)
        await exchange.wait_gone()

    replies: dict[str, Reply] = {
        "/silent": silent,
        "/head": b"HTTP/1.1 200 OK\r\n" + head,
        "/unchanged": b"HTTP/1.1 304 Not Modified\r\n" + head,
    }
    async with Origin(replies) as origin:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError, match="ask for streamResponse"):
            await fetch(client, origin.url("/silent"))
        assert (await fetch(client, origin.url("/head"), method="HEAD")).status == 200
        assert (await fetch(client, origin.url("/unchanged"))).status == 304
        await client.close()


async def test_bodies_that_are_too_large_leave_no_memory_behind(server: ServerProcess) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.send(bytes(1_000_000))

    async with Origin({"/": endless}) as origin:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError):
            await fetch(client, origin.url())
        before = server.resident_bytes
        for _ in range(6):
            with pytest.raises(WireError):
                await fetch(client, origin.url())
        # One takes 67 MB as base64, and the allocator keeps as much at hand for the next.
        assert server.resident_bytes < before + 200_000_000
        await client.close()


async def test_large_answers_of_any_kind_do_not_mix_and_are_not_cut(
    server: ServerProcess, tmp_path: Path
) -> None:
    size = 12_000_000
    (tmp_path / "file").write_bytes(b"f" * size)
    read = {"path": (tmp_path / "file").as_uri()}
    async with Origin({"/": reply(b"o" * size)}) as origin:
        client = await WireClient.ready(server.url)
        requests = []
        for number in range(3):
            request = params(origin.url(), requestId=str(number), timeoutMs=30_000)
            requests.append((await client.request("http/request", request), "bodyBase64", b"o"))
            requests.append((await client.request("fs/readFile", read), "dataBase64", b"f"))
        for request_id, member, letter in requests:
            answer = await client.answer(request_id)
            assert base64.b64decode(answer[member]) == letter * size
        late = await client.request("http/request", params(origin.url()))
        cancelled = False
        while not cancelled:
            await client.call("http/request/cancel", {"requestId": "r"})
            cancelled = late in client._answers
        assert await client.outcome(late) in (0, -32603)
        assert await client.call("environment/status") == {"status": "ready"}
        await client.close()


async def test_too_many_requests_are_refused_and_there_is_room_again(
    server: ServerProcess,
) -> None:
    async with Origin({"/slow": Exchange.wait_gone, "/": reply(b"ok")}) as origin:
        client = await WireClient.ready(server.url)
        slow = [
            await client.request("http/request", params(origin.url("/slow"), requestId=str(number)))
            for number in range(256)
        ]
        await origin.wait_seen(256)
        with pytest.raises(WireError) as caught:
            await fetch(client, origin.url())
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "limit"})
        await client.call("http/request/cancel", {"requestId": "7"})
        assert await client.outcome(slow[7]) == -32603
        assert (await fetch(client, origin.url())).body == b"ok"
        client.abort()


async def test_logs_have_nothing_of_urls_headers_or_bodies(server: ServerProcess) -> None:
    words = ["in-the-path", "in-the-query", "in-a-header", "in-the-body", "in-the-response"]
    answer = reply(words[4].encode(), f"X: {words[4]}", status="500 No")
    async with Origin({f"/{words[0]}": answer}) as origin:
        client = await WireClient.ready(server.url)
        secret = {"name": "B", "value": "", "valueEnvVar": "HTTP_TEST_SECRET"}
        request = {
            "method": "POST",
            "body": words[3].encode(),
            "headers": [("X-Secret", words[2]), secret],
        }
        for port in (origin.port, 1):
            url = f"http://user:password@127.0.0.1:{port}/{words[0]}?{words[1]}"
            request_id = await client.request("http/request", params(url, **request))
            await client.outcome(request_id)
        await client.close()
    log = server.log()
    assert "http request failed: connect" in log
    assert not [word for word in [*words, SECRET, "password"] if word in log]
