"""What a client shows at the door, and to whom."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trustme
from exec_client import (
    AccessDeniedError,
    ClientOptions,
    ClientState,
    ConnectError,
    HandshakeRejectedError,
    InsecureTokenError,
    SessionLostError,
    TlsError,
    TlsFiles,
    TokenFile,
    connect,
)
from exec_client.access import authorization, is_loopback
from exec_testkit.scripted_peer import PeerConnection, ScriptedPeer
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

FAST = ClientOptions(retry_delay=0.005, recovery_deadline=5.0, attempt_timeout=1.0)
SECRET = "s3cret-token"


def _sent(peer: PeerConnection) -> list[str]:
    request = peer._connection.request
    assert request is not None
    return request.headers.get_all("Authorization")


async def _stays(peer: PeerConnection) -> None:
    await peer.handshake()
    await peer.wait_closed()


async def test_the_token_is_shown_on_each_connection_and_may_be_renewed() -> None:
    asked: list[int] = []

    def renew() -> str:
        asked.append(1)
        return f"token-{len(asked)}"

    async def drops(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    options = ClientOptions(token=renew, retry_delay=0.005)
    async with ScriptedPeer(drops, drops, _stays) as peer:
        async with asyncio.timeout(10), connect(peer.url, options=options) as client:
            changes = client.state_changes()
            async for change in changes:
                if change.new is ClientState.CONNECTED and len(peer.connections) == 3:
                    break
        tokens = [_sent(connection) for connection in peer.connections]
    assert tokens == [["Bearer token-1"], ["Bearer token-2"], ["Bearer token-3"]]


async def test_a_token_may_be_had_asynchronously() -> None:
    async def fetch() -> str:
        await asyncio.sleep(0)
        return SECRET

    async with ScriptedPeer(_stays) as peer:
        async with connect(peer.url, options=ClientOptions(token=fetch)):
            assert _sent(peer.connections[0]) == [f"Bearer {SECRET}"]


async def test_a_token_that_cannot_be_had_is_told_without_what_was_said_inside() -> None:
    def fails() -> str:
        raise RuntimeError(SECRET)

    with pytest.raises(ConnectError, match="RuntimeError") as caught:
        await connect("ws://127.0.0.1:1", options=ClientOptions(token=fails))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["", "  ", "two words", "a\r\nX-Evil: 1", "tökén", "a\0b"])
async def test_a_token_that_no_header_can_carry_is_not_sent(token: str) -> None:
    with pytest.raises(ConnectError, match="no header can carry") as caught:
        await authorization("wss://host", token, {}, allow_insecure=False)
    assert len(token.strip()) < 3 or token.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("executor.localhost", True),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("10.0.0.1", False),
        ("build", False),
        ("", False),
    ],
)
def test_what_stays_on_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    "options",
    [{"token": SECRET}, {"headers": {"AUTHORIZATION": f"Bearer {SECRET}"}}],
)
async def test_a_secret_does_not_cross_the_network_in_the_clear_unless_allowed(
    options: dict[str, Any],
) -> None:
    arguments = {"token": None, "headers": {}, **options}

    async def headers(url: str, **more: Any) -> dict[str, str]:
        return await authorization(url, **arguments, **{"allow_insecure": False, **more})

    with pytest.raises(InsecureTokenError) as caught:
        await headers("ws://user@build:8765")
    assert SECRET not in str(caught.value)
    with pytest.raises(InsecureTokenError):
        await headers("ws://127.0.0.1:1", proxied=True)
    for url, allow in [
        ("wss://build", False),
        ("ws://127.0.0.1:1", False),
        ("ws://build", True),
    ]:
        assert f"Bearer {SECRET}" in (await headers(url, allow_insecure=allow)).values()


async def test_two_proofs_at_once_are_refused() -> None:
    for url, headers in [
        ("wss://user:password@build", {}),
        ("wss://build", {"authorization": "Basic eDp5"}),
    ]:
        with pytest.raises(ConnectError, match="exclude another"):
            await authorization(url, SECRET, headers, allow_insecure=False)


async def test_a_token_file_is_read_for_each_connection_and_a_pipe_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" one\n")
    token = TokenFile(path)
    assert await token() == "one"
    path.write_text("two")
    assert await token() == "two"
    path.write_text(" \n")
    with pytest.raises(ConnectError, match="is empty"):
        await token()
    path.unlink()
    with pytest.raises(ConnectError, match="No such file"):
        await token()

    reading, writing = os.pipe()
    os.write(writing, b"piped\n")
    os.close(writing)
    token = TokenFile(f"/dev/fd/{reading}")
    assert (await token(), await token()) == ("piped", "piped")
    os.close(reading)


def test_no_secret_is_in_the_repr_of_the_options() -> None:
    options = ClientOptions(token=SECRET, additional_headers={"Authorization": SECRET})
    assert SECRET not in repr(options)


# --------------------------------------------------------------------------- refusals


@asynccontextmanager
async def _answering(
    status: int, body: str, **headers: str
) -> AsyncIterator[tuple[str, list[str]]]:
    paths: list[str] = []

    def answer(connection: ServerConnection, request: Request) -> Response:
        paths.append(request.path)
        response = connection.respond(HTTPStatus(status), body)
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def never(connection: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}", paths


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDeniedError), (403, AccessDeniedError), (503, HandshakeRejectedError)],
)
async def test_a_refusal_says_what_the_executor_said(status: int, kind: type[ConnectError]) -> None:
    async with _answering(status, "expired token\nand \x1b[31mmore\n") as (url, _):
        with pytest.raises(ConnectError) as caught:
            await connect(url, options=ClientOptions(token=SECRET))
    assert type(caught.value) is kind
    assert str(caught.value).endswith(f"with HTTP {status}: expired token")


async def test_a_redirect_is_not_followed_with_a_token() -> None:
    async with _answering(307, "", Location="/elsewhere") as (url, paths):
        with pytest.raises(HandshakeRejectedError, match="HTTP 307"):
            await connect(url, options=ClientOptions(token=SECRET))
    assert paths == ["/"]


async def test_a_recovery_ends_at_once_when_the_token_does_not_count_any_more() -> None:
    attempts = 0

    async def drops(peer: PeerConnection) -> None:
        await peer.handshake()
        peer.abort()

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        nonlocal attempts
        attempts += 1
        return (
            connection.respond(HTTPStatus.UNAUTHORIZED, "expired token") if attempts > 1 else None
        )

    peer = ScriptedPeer(drops)
    async with serve(peer._run, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with asyncio.timeout(3):  # well below the deadline of the recovery
            client = await connect(f"ws://127.0.0.1:{port}", options=FAST)
            with pytest.raises(SessionLostError, match="HTTP 401: expired token"):
                await client.status()
            await client.aclose()
    assert attempts == 2


# --------------------------------------------------------------------------- TLS


class Tls:
    """Certificates of a test, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.cacert = str(folder / "ca.pem")

    def server(self, *names: str, ca: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self.ca).issue_cert(*names).configure_cert(context)
        return context

    def client(self, ca: trustme.CA | None = None) -> TlsFiles:
        cert = (ca or self.ca).issue_cert("client")
        cert.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "client.pem"))
        return TlsFiles(cacert=self.cacert, cert=self.folder / "client.pem")


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


@asynccontextmanager
async def _serving(context: ssl.SSLContext) -> AsyncIterator[str]:
    peer = ScriptedPeer(_stays)
    async with serve(peer._run, "127.0.0.1", 0, ssl=context) as server:
        yield f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_an_executor_is_trusted_by_the_authority_in_a_file(tls: Tls) -> None:
    async with _serving(tls.server("127.0.0.1")) as url:
        for context in (TlsFiles(tls.cacert), TlsFiles(tls.cacert).make_context()):
            async with connect(url, options=ClientOptions(ssl=context, token=SECRET)) as client:
                assert client.session_id == "session-1"


async def test_without_files_the_authorities_of_the_system_count(tls: Tls) -> None:
    async with _serving(tls.server("127.0.0.1")) as url:
        with pytest.raises(TlsError, match=r"not to be trusted: .*issuer"):
            await connect(url)


async def test_an_executor_that_cannot_be_trusted_gets_no_token(tls: Tls) -> None:
    for context, text in [
        (tls.server("127.0.0.1", ca=trustme.CA()), "unable to get local issuer"),
        (tls.server("build.example.org"), "IP address mismatch"),
    ]:
        async with _serving(context) as url:
            with pytest.raises(TlsError, match=text):
                await connect(url, options=ClientOptions(ssl=TlsFiles(tls.cacert), token=SECRET))


async def test_a_client_certificate_is_shown(tls: Tls) -> None:
    context = tls.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    tls.ca.configure_trust(context)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context.maximum_version = version
        async with _serving(context) as url:
            async with connect(url, options=ClientOptions(ssl=tls.client())):
                pass


@pytest.mark.parametrize("name", ["missing.pem", "garbage.pem"])
async def test_files_that_are_no_certificates_are_told_apart(tls: Tls, name: str) -> None:
    (tls.folder / "garbage.pem").write_text("garbage")
    path = tls.folder / name
    for files, text in [
        (TlsFiles(cacert=path), "certificates to trust"),
        (TlsFiles(cacert=tls.cacert, cert=path), "client certificate"),
        (TlsFiles(key=path), "needs its certificate"),
    ]:
        with pytest.raises(TlsError, match=text):
            await connect("wss://127.0.0.1:1", options=ClientOptions(ssl=files))


async def test_an_executor_without_tls_is_told(tls: Tls) -> None:
    async with ScriptedPeer(_stays) as peer:
        url = peer.url.replace("ws:", "wss:")
        with pytest.raises(ConnectError, match=f"no TLS with {url}|cannot connect"):
            await connect(url, options=ClientOptions(ssl=TlsFiles(tls.cacert), connect_timeout=5))
