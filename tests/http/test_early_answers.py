"""Origins that answer before they have the whole body: that is an answer."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from exec_client import connect
from exec_server.http.early_answers import is_final_answer
from exec_testkit.server import ServerProcess
from hypothesis import given
from hypothesis import strategies as st

pytestmark = [pytest.mark.process, pytest.mark.slow]

BODY = b"x" * (24 * 1024 * 1024)
"""More than the buffers of a loopback connection hold."""
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def refuse_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(TOO_LARGE)
    await writer.drain()


async def refuse_and_stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INTERIM + TOO_LARGE)
    await writer.drain()
    await asyncio.Event().wait()


LONG = b"too large " * 40_000
"""More than one record of TLS, and than is taken while the request is sent."""


async def refuse_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\n" % len(LONG)
    writer.write(head + LONG)
    await writer.drain()
    await asyncio.Event().wait()


async def take_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INTERIM)
    body = await reader.readexactly(len(BODY))
    assert body == BODY
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall")
    await writer.drain()


@asynccontextmanager
async def origin(
    answer: Answer,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """An origin that reads the head of a request and leaves the rest to ``answer``."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=4096)
    scheme = "http" if tls is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ANSWERS: list[tuple[Answer, tuple[int, bytes]]] = [
    (refuse_and_close, (413, b"too large")),
    (refuse_and_stay, (413, b"too large")),
    (refuse_at_length, (413, LONG)),
    (take_all, (200, b"all")),
]


@pytest.mark.parametrize(("answer", "wanted"), ANSWERS)
async def test_an_answer_before_the_end_of_the_body_is_the_answer(
    server: ServerProcess, answer: Answer, wanted: tuple[int, bytes]
) -> None:
    async with origin(answer) as url, connect(server.url) as client, asyncio.timeout(30):
        response = await client.http.request("POST", url, body=BODY)
        assert (response.status, response.body) == wanted


@pytest.mark.parametrize(("answer", "wanted"), ANSWERS)
async def test_so_it_is_over_tls(tmp_path: Path, answer: Answer, wanted: tuple[int, bytes]) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    environ = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    async with origin(answer, context) as url, asyncio.timeout(30):
        with ServerProcess(env=environ) as own:
            async with connect(own.url) as client:
                response = await client.http.request("POST", url, body=BODY)
                assert (response.status, response.body) == wanted


INTERIMS = st.lists(st.sampled_from([INTERIM, b"HTTP/1.1 100 Continue\r\n\r\n"]))


@given(interims=INTERIMS, cut=st.integers(min_value=0))
def test_only_an_answer_that_is_not_interim_is_final(interims: list[bytes], cut: int) -> None:
    before = b"".join(interims)
    assert not is_final_answer(before[: cut % (len(before) + 1)])
    assert not is_final_answer(before + b"HTTP/1.1 ")
    assert is_final_answer(before + TOO_LARGE[: 10 + cut % 40])
