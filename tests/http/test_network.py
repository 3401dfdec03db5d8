"""Proxies and certificates, as the executor's environment says."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
from exec_testkit.http_wire import fetch
from exec_testkit.origin import Exchange, Origin, reply
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]


def environment(**variables: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**ours, **variables}


def _context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def _tunnel(exchange: Exchange) -> None:
    """Answer CONNECT, and pass bytes on."""
    host, _, port = exchange.path.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await exchange.send(b"HTTP/1.1 200 Connected\r\n\r\n")
    await exchange.relay(reader, writer)


async def _no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(b"no"))
    await reader.read(1)
    writer.close()


async def test_plain_requests_go_through_the_proxy_of_the_environment() -> None:
    async with Origin({"http://origin.test/x": reply(b"by proxy")}) as proxy:
        url = proxy.url("").replace("//", "//user:pass@")
        with ServerProcess(env=environment(HTTP_PROXY=url)) as server:
            client = await WireClient.ready(server.url)
            response = await fetch(client, "http://origin.test/x", headers=[("X-Mine", "1")])
            await client.close()
    assert response.body == b"by proxy"
    seen = proxy.seen[0]
    assert seen.header("host") == b"origin.test"
    assert seen.header("x-mine") == b"1"
    assert seen.header("proxy-authorization") == b"Basic dXNlcjpwYXNz"


async def test_hosts_that_are_listed_are_reached_without_the_proxy() -> None:
    async with Origin({"/": reply(b"direct")}) as origin:
        variables = {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "localhost, 127.0.0.0/8"}
        with ServerProcess(env=environment(**variables)) as server:
            client = await WireClient.ready(server.url)
            for host in ("127.0.0.1", "localhost"):
                assert (await fetch(client, origin.url(host=host))).body == b"direct"
            with pytest.raises(WireError) as caught:
                await fetch(client, "http://origin.test/")
            assert caught.value.data == {"kind": "connect"}
            await client.close()


async def test_a_proxy_that_is_none_is_an_error_that_quotes_nothing() -> None:
    with ServerProcess(env=environment(ALL_PROXY="gopher://user:pass@x")) as server:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError) as caught:
            await fetch(client, "http://origin.test/")
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "proxy"})
        assert "pass" not in str(caught.value)
        await client.close()


async def test_https_goes_through_a_tunnel_and_trusts_the_named_certificates(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = _context(authority, "127.0.0.1")
    async with Origin({"/x": reply(b"secret")}, tls=tls) as origin:
        async with Origin({f"127.0.0.1:{origin.port}": _tunnel}) as proxy:
            variables = {
                "HTTPS_PROXY": proxy.url(""),
                "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            }
            with ServerProcess(env=environment(**variables)) as server:
                client = await WireClient.ready(server.url)
                assert (await fetch(client, origin.url("/x"))).body == b"secret"
                await client.close()
    assert proxy.seen[0].line == f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1"


async def test_a_certificate_that_is_not_to_be_trusted_is_refused(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    variables = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with ServerProcess(env=environment(**variables)) as server:
        client = await WireClient.ready(server.url)
        for context in (_context(stranger, "127.0.0.1"), _context(authority, "other.test")):
            async with Origin({"/": reply(b"no")}, tls=context) as origin:
                with pytest.raises(WireError, match=r"certificate of 127\.0\.0\.1") as caught:
                    await fetch(client, origin.url())
                assert (caught.value.code, caught.value.data) == (-32603, {"kind": "tls"})
                assert not origin.seen
        async with await asyncio.start_server(_no_tls, "127.0.0.1", 0) as plain:
            port = plain.sockets[0].getsockname()[1]
            with pytest.raises(WireError) as caught:
                await fetch(client, f"https://127.0.0.1:{port}/")
            assert caught.value.data == {"kind": "tls"}
        await client.close()


async def test_certificates_that_cannot_be_read_trust_nobody() -> None:
    with ServerProcess(env=environment(SSL_CERT_FILE="/nonexistent/ca.pem")) as server:
        client = await WireClient.ready(server.url)
        with pytest.raises(WireError, match="certificates that cannot be read") as caught:
            await fetch(client, "https://127.0.0.1:1/")
        assert (caught.value.code, caught.value.data) == (-32603, {"kind": "tls"})
        await client.close()
