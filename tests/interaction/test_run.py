"""``run``: what it returns, when it returns, and what it takes of memory meanwhile."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from exec_client import (
    Client,
    CompletedProcess,
    Environment,
    OutputLimitError,
    ProcessFailedError,
    TimeoutExpired,
    connect,
    sync,
)
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.server import ServerProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.extension("it neither merges streams nor tells details"),
]

LATE = 1.5
"""Seconds that a test on a busy machine allows for what takes a quarter of one."""


async def _run(server: ServerProcess, script: str, **options: Any) -> CompletedProcess[Any]:
    async with asyncio.timeout(30), connect(server.url) as client:
        done: CompletedProcess[Any] = await client.run(["sh", "-c", script], **options)
        return done


async def test_text_is_decoded_and_bytes_that_are_none_do_not_cost_the_result(
    server: ServerProcess,
) -> None:
    script = r"printf 'caf\351 h\303\244\n'; printf 'e\n' >&2"
    assert (await _run(server, script)).stdout == b"caf\xe9 h\xc3\xa4\n"
    text = await _run(server, script, text=True)
    assert (text.stdout, text.stderr) == ("caf\ufffd hä\n", "e\n")
    assert (await _run(server, script, encoding="latin-1")).stdout == "café hÃ¤\n"
    with pytest.raises(UnicodeDecodeError):
        await _run(server, script, text=True, errors="strict")


async def test_merged_streams_are_in_the_order_of_writing(server: ServerProcess) -> None:
    done = await _run(server, "for i in 1 2 3; do echo $i; echo -$i >&2; done", merge_stderr=True)
    assert (done.stdout, done.stderr) == (b"1\n-1\n2\n-2\n3\n-3\n", b"")


@pytest.mark.parametrize(
    ("keep", "wanted"),
    [("head", b"1\n2\n3\n4\n5\n"), ("tail", b"9\n1000000\n"), ("both", b"1\n2\n30000\n")],
)
async def test_of_a_long_output_the_wanted_ends_are_kept(
    server: ServerProcess, keep: str, wanted: bytes
) -> None:
    done = await _run(server, "seq 1000000", max_output=10, keep=keep)
    assert (done.stdout, done.returncode, done.truncated) == (wanted, 0, True)
    assert done.dropped_bytes == len("\n".join(map(str, range(1, 1000001)))) + 1 - 10


async def test_a_command_that_writes_too_much_is_drained_or_killed(server: ServerProcess) -> None:
    drained = await _run(server, "seq 100000; exit 3", max_output=100)
    assert (drained.returncode, drained.signal, drained.truncated) == (3, None, True)
    killed = await _run(server, "exec yes", max_output=100, when_full="kill")
    assert (killed.returncode, killed.signal, killed.truncated) == (137, signal.SIGKILL, True)
    fits = await _run(server, "seq 3", max_output=6, when_full="kill")
    assert (fits.stdout, fits.truncated) == (b"1\n2\n3\n", False)


async def test_more_than_the_default_limit_is_an_error_that_has_both_ends(
    server: ServerProcess,
) -> None:
    script = "echo first; head -c 70000000 /dev/zero; echo last"
    with pytest.raises(OutputLimitError, match="max_output") as caught:
        await _run(server, script)
    assert caught.value.returncode == 0
    assert caught.value.stdout.startswith(b"first\n")
    assert caught.value.stdout.endswith(b"last\n")
    whole = await _run(server, script, max_output=sys.maxsize)
    assert (len(whole.stdout), whole.truncated) == (70000011, False)


FLOOD = """
import resource, sys
from exec_client import TimeoutExpired
from exec_client.sync import connect
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
with connect(sys.argv[1]) as client:
    client.run(["true"])
    before = peak()
    try:
        client.run(["yes"], timeout=2)
    except TimeoutExpired as error:
        print(len(error.stdout) >> 20, peak() - before)
"""


async def test_a_flood_takes_bounded_memory_until_its_timeout(server: ServerProcess) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FLOOD, server.url],
        capture_output=True,
        check=True,
        timeout=60,
    )
    kept, grown = map(int, done.stdout.split())
    assert kept <= 64
    assert grown < 300  # the two halves, and the whole that is made of them


@pytest.mark.parametrize("wait_for", ["eof", "exit"])
async def test_what_stays_in_the_background_is_not_waited_for(
    server: ServerProcess, wait_for: str
) -> None:
    before = time.monotonic()
    done = await _run(server, "sleep 30 & echo $!; exit 3", wait_for=wait_for)
    assert time.monotonic() - before < 0.5 + LATE
    assert (done.returncode, done.complete) == (3, False)
    os.kill(int(done.stdout), signal.SIGKILL)  # it was left alone


async def test_output_behind_the_exit_arrives_as_long_as_it_goes_on(
    server: ServerProcess,
) -> None:
    script = "(for i in 1 2 3 4; do sleep 0.2; echo $i; done) & echo 0"
    done = await _run(server, script, eof_grace=2)
    assert (done.stdout, done.complete) == (b"0\n1\n2\n3\n4\n", True)


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("sleep 60", {}),
        ("sleep 60 & echo $!; sleep 60", {}),
        ("sleep 60 & echo $!", {"eof_grace": None}),
        ("setsid sleep 60 & echo $!; sleep 60", {}),
        ("exec yes", {"max_output": 10}),
        ("sleep 60", {"input": b"x" * 10_000_000}),
        ("trap '' TERM; sleep 60", {"kill_after": 0.2}),
    ],
)
async def test_a_timeout_holds(server: ServerProcess, script: str, options: dict[str, Any]) -> None:
    before = time.monotonic()
    with pytest.raises(TimeoutExpired) as caught:
        await _run(server, script, timeout=0.5, **options)
    late = time.monotonic() - before - 0.5 - options.get("kill_after", 0)
    assert -0.1 < late < LATE
    if "echo" in script:
        with pytest.raises(ProcessLookupError):  # one that is dead counts; it is not ours to reap
            _signal_unless_dead(int(caught.value.stdout))


def _signal_unless_dead(pid: int) -> None:
    state = Path(f"/proc/{pid}/stat")
    until = time.monotonic() + 5
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until, "it lives"
        time.sleep(0.02)
    raise ProcessLookupError


async def test_a_command_can_end_by_itself_before_it_is_killed(server: ServerProcess) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done"
    before = time.monotonic()
    with pytest.raises(TimeoutExpired) as caught:
        await _run(server, script, timeout=0.5, kill_after=20)
    assert time.monotonic() - before < 10
    assert caught.value.stdout == b"hello\nbye\n"


async def test_all_that_a_command_has_started_is_asked_to_end_and_then_killed(
    server: ServerProcess, tmp_path: Path
) -> None:
    polite = f"trap 'echo asked >> {tmp_path}/asked; exit 0' TERM"
    stubborn = "trap '' TERM"
    loop = "while :; do sleep 0.05; done"
    script = f"""
        setsid sh -c "{polite}; echo ready; {loop}" &
        setsid sh -c "{stubborn}; echo \\$\\$; {loop}" &
        {polite}; {loop}
    """
    with pytest.raises(TimeoutExpired) as caught:
        await _run(server, script, timeout=1, kill_after=0.5, eof_grace=0.1)
    assert (tmp_path / "asked").read_text() == "asked\n" * 2
    (stubborn_pid,) = [word for word in caught.value.stdout.split() if word.isdigit()]
    with pytest.raises(ProcessLookupError):
        _signal_unless_dead(int(stubborn_pid))


def test_grace_without_async(server: ServerProcess) -> None:
    with sync.connect(server.url) as client:
        script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
        with client.start(["sh", "-c", script]) as process:
            assert process.stdout.readline() == b"up\n"
            process.terminate(grace=20)
            assert process.wait(10) == 3
        with client.start(["sleep", "60"]) as process:
            for grace in (-1, 3601):
                with pytest.raises(ValueError, match="grace"):
                    process.terminate(grace=grace)


async def test_a_timeout_holds_while_the_executor_is_out_of_reach(server: ServerProcess) -> None:
    async with FaultProxy(server.port) as proxy, asyncio.timeout(30):
        async with connect(proxy.url) as client:
            before = time.monotonic()
            running = asyncio.create_task(client.run(["sleep", "60"], timeout=1))
            await client.run(["true"])
            proxy.stop_listening()
            proxy.cut_all()
            with pytest.raises(TimeoutExpired):
                await running
            assert time.monotonic() - before < 1 + LATE
            await proxy.listen()  # the command is ended as soon as the executor is back
            await _until_none_runs(client)


async def _until_none_runs(client: Client) -> None:
    while any(info.state == "running" for info in await client.list_processes()):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_functions_and_files_get_the_output_as_it_arrives(
    server: ServerProcess, tmp_path: Path
) -> None:
    pieces: list[bytes] = []
    texts: list[str] = []
    seen = asyncio.Event()

    async def take(data: bytes) -> None:
        pieces.append(data)
        seen.set()

    async with asyncio.timeout(20), connect(server.url) as client:
        argv = ["sh", "-c", f"echo 1; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo 2"]
        running = asyncio.create_task(client.run(argv, stdout=take))
        await seen.wait()
        assert pieces == [b"1\n"]
        (tmp_path / "go").touch()
        done = await running
        assert (b"".join(pieces), done.stdout, done.truncated) == (b"1\n2\n", b"", False)
        await client.run(["seq", "3"], stdout=texts.append, text=True)
        assert "".join(texts) == "1\n2\n3\n"
        memory, raw = io.BytesIO(), (tmp_path / "raw").open("wb", buffering=0)
        with raw:
            await client.run(["seq", "100000"], stdout=memory)
            await client.run(["sh", "-c", "seq 100000 >&2"], stderr=raw)
        wanted = "".join(f"{i}\n" for i in range(1, 100001)).encode()
        assert memory.getvalue() == (tmp_path / "raw").read_bytes() == wanted
        short = io.BytesIO()
        done = await client.run(["seq", "100000"], stdout=short, max_output=4)
        assert (short.getvalue(), done.truncated) == (b"1\n2\n", True)


async def test_what_a_function_for_output_raises_ends_the_command(server: ServerProcess) -> None:
    def refuse(data: bytes) -> None:
        raise ZeroDivisionError(data[:1])

    async with asyncio.timeout(20), connect(server.url) as client:
        with pytest.raises(ZeroDivisionError):
            await client.run(["yes"], stdout=refuse)
        await _until_none_runs(client)


async def test_a_failure_has_the_text_and_the_signal_is_told(server: ServerProcess) -> None:
    with pytest.raises(ProcessFailedError) as caught:
        await _run(server, "echo why >&2; exit 2", text=True, check=True)
    assert (caught.value.stderr, caught.value.returncode) == ("why\n", 2)
    plain, killed = await _run(server, "exit 137"), await _run(server, "kill -9 $$")
    assert (plain.returncode, plain.signal) == (137, None)
    assert (killed.returncode, killed.signal) == (137, 9)
    assert killed.pid


async def test_a_wrong_value_is_refused_before_anything_is_sent(server: ServerProcess) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"keep": "middle"}, ValueError, "keep"),
        ({"when_full": "stop"}, ValueError, "when_full"),
        ({"wait_for": "end"}, ValueError, "wait_for"),
        ({"max_output": -1}, ValueError, "max_output"),
        ({"max_output": "1M"}, TypeError, "max_output"),
        ({"eof_grace": "1"}, TypeError, "eof_grace"),
        ({"kill_after": -1}, ValueError, "kill_after"),
        ({"encoding": "latin-99"}, ValueError, "encoding"),
        ({"text": True, "errors": "guess"}, ValueError, "errors"),
        ({"stdout": 3}, TypeError, "stdout"),
        ({"cdw": "/"}, TypeError, "cdw"),
    ]
    async with asyncio.timeout(20), connect(server.url) as client:
        for options, kind, name in wrong:
            with pytest.raises(kind, match=name):
                await client.run(["true"], **options)
        assert await client.list_processes() == []


def test_without_async_and_in_an_environment_it_is_the_same(server: ServerProcess) -> None:
    threads: set[int] = set()

    def take(data: str) -> None:
        threads.add(threading.get_ident())
        assert client.status() == "ready"  # it may block, and use the client

    with sync.connect(server.url) as client:
        assert client.run(["echo", "a"], text=True).stdout == "a\n"
        done = client.run(["echo", "a"], stdout=take, text=True)
        assert (done.stdout, len(threads)) == ("", 1)
        with pytest.raises(TimeoutExpired):
            client.run(["sleep", "60"], timeout=0.2)
    with sync.Environment.remote(server.url) as environment:
        assert environment.run(["echo", "a"], encoding="ascii").stdout == "a\n"

    async def main() -> None:
        async with Environment.remote(server.url) as environment:
            done = await environment.run(["yes"], max_output=2, when_full="kill", text=True)
            assert (done.stdout[:1], done.truncated) == ("y", True)

    asyncio.run(main())
