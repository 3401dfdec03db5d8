"""A server of one's own, with small programs in the place of the server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
from pathlib import Path

import pytest
from exec_client import ClientOptions, embedded
from exec_client.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    ServerProgramMissingError,
    find_program,
)

pytestmark = pytest.mark.process

URL = "ws://127.0.0.1:4242"


def program(folder: Path, body: str) -> Path:
    """Return an executable of this interpreter that runs ``body``."""
    path = folder / "exec-server"
    path.write_text(f"#!{sys.executable} -IS\nimport os, sys, time\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


GOOD = f"""
print("{URL}", flush=True)
sys.stdin.buffer.read()
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_url_is_known_inside_the_block_and_the_server_gone_after_it(
    tmp_path: Path,
) -> None:
    threads = threading.active_count()
    async with asyncio.timeout(10):
        async with EmbeddedServer(program=program(tmp_path, GOOD)) as server:
            assert server.url == URL
            pid = server.pid
            assert pid is not None
            assert is_running(pid)
        assert not is_running(pid)
        await server.aclose()
    assert threading.active_count() == threads


async def test_the_server_is_told_to_end_with_us_and_to_take_a_free_loopback_port(
    tmp_path: Path,
) -> None:
    body = "print('ws://' + '_'.join(sys.argv[1:]), flush=True); sys.stdin.read()"
    async with asyncio.timeout(10), EmbeddedServer(program=program(tmp_path, body)) as server:
        digest = hashlib.sha256(server.token.encode()).hexdigest()
        assert server.url == (
            "ws://--listen_ws://127.0.0.1:0_--exit-on-stdin-close"
            f"_--ws-auth_capability-token_--ws-token-sha256_{digest}"
        )


async def test_options_for_it_have_its_token_and_nothing_meant_for_others(tmp_path: Path) -> None:
    server = EmbeddedServer(program=program(tmp_path, GOOD))
    options = server.client_options(
        ClientOptions(
            client_name="me",
            token="other",
            additional_headers={"authorization": "other", "X-Mine": "1"},
            proxy="http://proxy:1",
        )
    )
    assert (options.token, options.client_name, options.proxy) == (server.token, "me", None)
    assert options.additional_headers == {"X-Mine": "1"}
    assert server.token != EmbeddedServer(program=program(tmp_path, GOOD)).token


async def test_the_server_starts_in_the_folder_it_is_told(tmp_path: Path) -> None:
    body = "print('ws://' + os.getcwd(), flush=True); sys.stdin.read()"
    (tmp_path / "sub").mkdir()
    path = program(tmp_path, body)
    async with asyncio.timeout(10), EmbeddedServer(program=path, cwd=tmp_path / "sub") as server:
        assert server.url == f"ws://{tmp_path}/sub"


async def test_an_exception_in_the_block_does_not_leave_the_server_behind(tmp_path: Path) -> None:
    server = EmbeddedServer(program=program(tmp_path, GOOD))
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(10), server:
            raise ZeroDivisionError
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_server_that_ignores_the_end_of_its_stdin_is_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.1)
    body = f"print('{URL}', flush=True)\ntime.sleep(60)"
    async with asyncio.timeout(10):
        async with EmbeddedServer(program=program(tmp_path, body)) as server:
            pass
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_server_that_ignores_everything_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.1)
    body = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print('{URL}', flush=True)\ntime.sleep(60)"
    )
    async with asyncio.timeout(10):
        async with EmbeddedServer(program=program(tmp_path, body)) as server:
            pass
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_cancelled_stop_kills_at_once(tmp_path: Path) -> None:
    body = f"print('{URL}', flush=True)\ntime.sleep(60)"
    server = EmbeddedServer(program=program(tmp_path, body))
    async with asyncio.timeout(10):
        server.launch()
        await server.wait_ready()
        stopping = asyncio.create_task(server.aclose())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_server_that_fails_is_quoted(tmp_path: Path) -> None:
    body = "print('the port is taken', file=sys.stderr); sys.exit(7)"
    async with asyncio.timeout(10):
        with pytest.raises(EmbeddedServerError, match=r"code 7.*\n*the port is taken"):
            await EmbeddedServer(program=program(tmp_path, body)).__aenter__()


async def test_only_the_end_of_a_long_complaint_is_quoted(tmp_path: Path) -> None:
    body = "print('x' * 300_000 + 'the end', file=sys.stderr); sys.exit(7)"
    async with asyncio.timeout(10):
        with pytest.raises(EmbeddedServerError, match=r"the end$") as caught:
            await EmbeddedServer(program=program(tmp_path, body)).__aenter__()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    "body",
    [
        "print('hello', flush=True); sys.stdin.read()",
        "print('x' * 100_000, flush=True); sys.stdin.read()",
        "os.close(1); sys.stdin.read()",
    ],
)
async def test_a_program_that_prints_no_url_is_refused_and_ended(tmp_path: Path, body: str) -> None:
    server = EmbeddedServer(program=program(tmp_path, body))
    async with asyncio.timeout(10):
        with pytest.raises(EmbeddedServerError):
            await server.__aenter__()
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_program_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    server = EmbeddedServer(program=program(tmp_path, "sys.stdin.read()"))
    async with asyncio.timeout(10):
        server.launch()
        with pytest.raises(EmbeddedServerError, match=r"within 0\.2 s"):
            await server.wait_ready(timeout=0.2)
    assert server.pid is not None
    assert not is_running(server.pid)


async def test_a_program_that_cannot_be_executed_is_an_error_with_the_reason(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plain"
    path.write_text("no program", encoding="utf-8")
    with pytest.raises(EmbeddedServerError, match="Permission denied"):
        EmbeddedServer(program=path).launch()


def test_the_program_beside_the_interpreter_goes_before_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, on_path = tmp_path / "beside", tmp_path / "path"
    for folder in (beside, on_path):
        folder.mkdir()
        program(folder, "")
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", str(on_path))
    assert find_program() == beside / "exec-server"
    (beside / "exec-server").unlink()
    assert find_program() == on_path / "exec-server"


def test_a_missing_program_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerProgramMissingError, match="pip install exec-server"):
        find_program()
