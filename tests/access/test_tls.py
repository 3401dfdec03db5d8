"""TLS from end to end: what passes through it, and what each side says when it does not."""

from __future__ import annotations

import asyncio
import datetime
import re
import signal
import socket
import ssl
import statistics
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from exec_client import ClientOptions, ConnectError, TlsError, TlsFiles, connect
from exec_testkit.door import knock
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

from .conftest import Certificates

pytestmark = [pytest.mark.process, pytest.mark.slow]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Certificates, str]]:
    """A server with a certificate of its address."""
    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    with ServerProcess(*certificates.server("127.0.0.1")) as server:
        yield certificates, server.url


async def test_the_url_is_a_secure_one_and_commands_run(
    shared: tuple[Certificates, str],
) -> None:
    certificates, url = shared
    assert url.startswith("wss://127.0.0.1:")
    options = ClientOptions(ssl=TlsFiles(certificates.ca_file))
    async with connect(url, options=options) as client:
        done = await client.run(["sh", "-c", "cat; echo err >&2"], input=b"x" * 3 * MIB)
        assert (len(done.stdout), done.stderr) == (3 * MIB, b"err\n")


async def test_more_than_all_buffers_hold_arrives_whole_at_a_slow_reader(
    shared: tuple[Certificates, str],
) -> None:
    certificates, url = shared
    client = await WireClient.ready(url, tls=certificates.trusting())
    transport = client.connection.transport
    await client.start("p", ["sh", "-c", f"head -c {64 * MIB} /dev/zero; echo end >&2"])
    transport.pause_reading()
    await asyncio.sleep(0.5)  # for the server to fill what there is: nothing else tells of it
    transport.resume_reading()
    output, code, numbers = await client.finish("p")
    assert (len(output["stdout"]), output["stderr"], code) == (64 * MIB, b"end\n", 0)
    assert numbers == list(range(1, len(numbers) + 1))
    await client.close()


async def test_a_peer_that_reads_nothing_holds_a_child_up_and_not_the_memory(
    certificates: Certificates,
) -> None:
    with ServerProcess(*certificates.server()) as server:
        client = await WireClient.ready(server.url, tls=certificates.trusting())
        await client.start("p", ["sh", "-c", f"head -c {400 * MIB} /dev/zero"])
        client.connection.transport.pause_reading()
        await asyncio.sleep(1.0)
        assert server.resident_bytes < 150 * MIB
        client.abort()


@pytest.mark.parametrize("secure", [True, False])
async def test_small_messages_do_not_wait_for_acknowledgements(
    certificates: Certificates, secure: bool
) -> None:
    with ServerProcess(*(certificates.server() if secure else ())) as server:
        tls = certificates.trusting() if secure else None
        client = await WireClient.ready(server.url, tls=tls)
        taken = []
        for _ in range(30):
            start = time.perf_counter()
            for request_id in [await client.request("environment/status") for _ in range(3)]:
                await client.answer(request_id)
            taken.append(time.perf_counter() - start)
        await client.close()
    # With Nagle's algorithm the second answer waits 40 ms for the acknowledgement of the first.
    assert statistics.median(taken) < 0.03


async def test_a_session_is_resumed_when_the_link_is_cut(
    shared: tuple[Certificates, str],
) -> None:
    certificates, url = shared
    port = int(url.rpartition(":")[2])
    async with FaultProxy(port, opaque=True) as proxy:
        files = TlsFiles(certificates.ca_file)
        options = ClientOptions(ssl=files, retry_delay=0.01, replay_writes=True)
        async with connect(proxy.url.replace("ws:", "wss:"), options=options) as client:
            process = await client.start(["sh", "-c", "echo 1; read x; echo 2"], stdin=True)
            assert await process.stdout.readline() == b"1\n"
            proxy.cut_all()
            await process.write(b"\n")
            assert await process.stdout.readline() == b"2\n"


def _tcp(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10)


async def test_connections_that_end_anyhow_leave_nothing_behind(
    certificates: Certificates,
) -> None:
    with ServerProcess(*certificates.server()) as server:
        before = server.open_files
        hello = b"\x16\x03\x01\x02\x00\x01\x00"
        for sent in (
            b"",
            hello,
            b"\x00" * 3000,
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02",
        ):
            for reset in (False, True):
                with _tcp(server.url) as sock:
                    sock.sendall(sent)
                    if reset:
                        sock.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
        for polite in (True, False):
            client = await WireClient.ready(server.url, tls=certificates.trusting())
            await client.start("p", ["sleep", "600"])
            if polite:
                await client.close()
            else:
                client.abort()
        client = await WireClient.ready(server.url, tls=certificates.trusting())
        await client.close()
        deadline = time.monotonic() + 15
        # the two processes of the detached sessions have descriptors of their own
        while server.open_files > before + 12:
            assert time.monotonic() < deadline, server.open_files
            await asyncio.sleep(0.02)
        assert "Traceback" not in server.log()


# --------------------------------------------------------------------------- refusals


def _expired(ca: trustme.CA) -> trustme.LeafCert:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return ca.issue_cert("127.0.0.1", not_after=past)


async def test_a_client_refuses_a_certificate_that_is_not_the_servers(
    certificates: Certificates,
) -> None:
    options = ClientOptions(ssl=TlsFiles(certificates.ca_file), token="s3cret")
    for leaf, text in [
        (_expired(certificates.ca), "certificate has expired"),
        (certificates.ca.issue_cert("build.example.org"), "IP address mismatch"),
        (trustme.CA().issue_cert("127.0.0.1"), "unable to get local issuer"),
    ]:
        with ServerProcess(*certificates.write(leaf), "--log-level", "debug") as server:
            with pytest.raises(TlsError, match=f"not to be trusted: .*{text}"):
                await connect(server.url, options=options)
            await _logged(server, "refused a connection: TLS: ")
            assert re.search("TLS: .*(left in the middle|alert|certificate)", server.log())
            assert "s3cret" not in server.log()


async def _logged(server: ServerProcess, line: str) -> None:
    deadline = time.monotonic() + 10
    while line not in server.log():
        assert time.monotonic() < deadline, server.log()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_refuses_clients_without_a_certificate_that_counts(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    arguments = (*certificates.server(), "--tls-client-ca", certificates.ca_file)
    with ServerProcess(*arguments) as server:
        for signer, told, logged in [
            (None, "it says `.*(certificate required|handshake failure)`", "did not return"),
            (trustme.CA(), "it says `(unknown ca|bad certificate)`", "verify failed"),
        ]:
            context = certificates.trusting(certificate_of=signer)
            context.maximum_version = version
            with pytest.raises(TlsError, match=f"no TLS with wss://.*: {told}"):
                await connect(server.url, options=ClientOptions(ssl=context))
            await _logged(server, logged)
        context = certificates.trusting(certificate_of=certificates.ca)
        context.maximum_version = version
        async with connect(server.url, options=ClientOptions(ssl=context)) as client:
            assert await client.status() == "ready"


async def test_a_certificate_and_a_token_may_both_be_asked_for(
    certificates: Certificates,
) -> None:
    (certificates.folder / "token").write_text("s3cret")
    with ServerProcess(
        *certificates.server(),
        *("--tls-client-ca", certificates.ca_file, "--ws-auth", "capability-token"),
        *("--ws-token-file", str(certificates.folder / "token")),
    ) as server:
        context = certificates.trusting(certificate_of=certificates.ca)
        assert knock(server.url, tls=context)[0] == 401
        assert knock(server.url, b"Authorization: Bearer s3cret", tls=context)[0] == 101
        with pytest.raises(OSError, match=r"alert|reset"):
            knock(server.url, b"Authorization: Bearer s3cret", tls=certificates.trusting())


async def test_who_forgets_tls_is_told(shared: tuple[Certificates, str]) -> None:
    _, url = shared
    plain = url.replace("wss:", "ws:")
    assert knock(plain) == (400, "this port speaks TLS: use wss\n")
    with pytest.raises(ConnectError, match="HTTP 400: this port speaks TLS"):
        await connect(plain)


def test_old_versions_of_tls_are_refused(shared: tuple[Certificates, str]) -> None:
    certificates, url = shared
    context = certificates.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"protocol version|NO_PROTOCOLS|alert|internal"):
        knock(url, tls=context)


# --------------------------------------------------------------------------- files


def _serial(url: str, context: ssl.SSLContext) -> str:
    with _tcp(url) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        certificate = sock.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def _spoil(path: str) -> None:
    Path(path).write_text("garbage")


async def test_a_new_certificate_is_shown_after_sighup_and_a_bad_one_is_not(
    certificates: Certificates,
) -> None:
    arguments = certificates.server()
    context = certificates.trusting()
    with ServerProcess(*arguments, "--log-level", "info") as server:
        client = await WireClient.ready(server.url, tls=context)
        first = _serial(server.url, context)
        certificates.server()
        server.signal(signal.SIGHUP)
        await _logged(server, "were read again")
        second = _serial(server.url, context)
        assert second != first

        _spoil(arguments[1])
        server.signal(signal.SIGHUP)
        await _logged(server, "not reloaded, what was loaded before stays in force: --tls-cert")
        assert _serial(server.url, context) == second
        assert await client.call("environment/status") == {"status": "ready"}
        await client.close()


def test_a_server_whose_certificates_cannot_be_used_does_not_start(
    certificates: Certificates,
) -> None:
    arguments = certificates.server()
    key = Path(arguments[3])
    other = trustme.CA().issue_cert("127.0.0.1")
    changes: list[tuple[Callable[[], object], str]] = [
        (lambda: other.private_key_pem.write_to_path(str(key)), "key values mismatch"),
        (lambda: key.write_text("garbage"), "cannot use them"),
        (key.unlink, "--tls-key: cannot open the file: No such file"),
    ]
    for change, text in changes:
        change()
        with pytest.raises(RuntimeError, match=f"exec-server: error: .*{text}"):
            ServerProcess(*arguments)
