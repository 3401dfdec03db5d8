"""``exec-client http``: the body on stdout, and an exit code that tells how it went."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from exec_testkit.origin import Exchange, Origin, chunked, reply
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]
CLIENT = Path(sys.executable).parent / "exec-client"
WAIT_S = 40.0


async def _run(server: ServerProcess, *words: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        CLIENT,
        "http",
        "--url",
        server.url,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate(stdin)
    return process.returncode or 0, out, err.decode()


async def test_the_body_is_written_as_it_is(server: ServerProcess) -> None:
    async with Origin(
        {"/ok": reply(b"a\0\xff"), "/moved": reply(b"", "Location: /ok", status="302 M")}
    ) as origin:
        assert await _run(server, "GET", origin.url("/moved")) == (0, b"a\0\xff", "")
        code, out, _ = await _run(server, "-i", "--no-follow", "GET", origin.url("/moved"))
        assert (code, out) == (0, b"HTTP 302\nlocation: /ok\ncontent-length: 0\n\n")


async def test_headers_variables_and_stdin_reach_the_origin(server: ServerProcess) -> None:
    async with Origin({"/": reply(b"ok")}) as origin:
        words = ["-H", "X-A: 1", "-H", "X-A:2", "--header-env", "X-B: p ", "HTTP_TEST_SECRET"]
        done = await _run(server, *words, "--data", "-", "PUT", origin.url(), stdin=b"\0body")
        assert done == (0, b"ok", "")
        seen = origin.seen[0]
    assert (seen.line, seen.body) == ("PUT / HTTP/1.1", b"\0body")
    assert [value for name, value in seen.headers if name == "X-A"] == [b"1", b"2"]
    assert seen.header("x-b") == b"p s3cret-of-the-executor"


async def test_the_exit_code_tells_how_it_went(server: ServerProcess) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(chunked())
        await exchange.send_chunk(b"some")

    async with Origin(
        {"/no": reply(b"no", status="404 No"), "/cut": cut, "/slow": Exchange.wait_gone}
    ) as o:
        assert await _run(server, "GET", o.url("/no")) == (1, b"no", "")
        code, out, err = await _run(server, "GET", o.url("/cut"))
        assert (code, out) == (125, b"some")
        assert "not complete" in err
        code, out, err = await _run(server, "--timeout", "0.1", "GET", o.url("/slow"))
        assert (code, out) == (125, b"")
        assert "timeoutMs" in err
        for words in (["-H", "nonsense"], ["--header-env", "nonsense", "PATH"]):
            code, out, err = await _run(server, *words, "GET", o.url())
            assert (code, out) == (125, b"")
            assert "expected 'Name: value'" in err
            assert "Traceback" not in err
