"""More output than the executor keeps: what a client does without, and what it still gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    ClosedEvent,
    ExitedEvent,
    GapEvent,
    OutputLostError,
    Process,
    ProcessEvent,
    connect,
    sync,
)
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess, program

pytestmark = [pytest.mark.process, pytest.mark.slow]

OPTIONS = ClientOptions(retry_delay=0.01)
WAIT_S = 50.0
WRITTEN = b"".join(b"%d\n" % number for number in range(1, 900_001))
"""What ``seq 900000`` writes: 6 MiB. An executor here keeps the newest 1 MiB of it."""


async def _until(url: str, path: Path) -> None:
    """Wait for a file that a process makes; a command of the server's sets the pace."""
    async with connect(url) as other:
        await other.run(["sh", "-c", 'until test -e "$0"; do sleep 0.02; done', str(path)])


@asynccontextmanager
async def _away(proxy: FaultProxy, client: Client) -> AsyncIterator[None]:
    """Nobody is connected inside the block."""
    changes = client.state_changes()
    proxy.stop_listening()
    proxy.cut_all()
    while (await anext(changes)).new is not ClientState.RECOVERING:
        pass
    yield
    await proxy.listen()
    while (await anext(changes)).new is not ClientState.CONNECTED:
        pass


@pytest.fixture(params=["ours", "reference"])
def small(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """An executor that keeps 1 MiB of a process, in memory."""
    if request.param == "reference":
        yield request.getfixturevalue("reference")
        return
    with ServerProcess("--retain-output-bytes", "0") as server:
        yield server


@asynccontextmanager
async def _missed(
    server: ServerProcess, folder: Path, *, end: str = "exit 7", tty: bool = False, **options: Any
) -> AsyncIterator[tuple[Client, Process, asyncio.Future[list[ProcessEvent]]]]:
    """A process that has written more than is kept while its client was away."""
    wait = f"until test -e {folder}/go; do sleep 0.02; done"
    script = f"echo before; {wait}; echo lost >&2; seq 900000; touch {folder}/done; {end}"
    async with (
        asyncio.timeout(WAIT_S),
        FaultProxy(server.port) as proxy,
        connect(proxy.url, options=OPTIONS) as client,
    ):
        process = await client.start(["sh", "-c", script], tty=tty, **options)
        assert (await process.stdout.readline()).strip() == b"before"
        events = asyncio.ensure_future(_follow(process))
        async with _away(proxy, client):
            (folder / "go").touch()
            await _until(server.url, folder / "done")
        yield client, process, events
        await events


async def _follow(process: Process) -> list[ProcessEvent]:
    return [event async for event in process.events()]


@requirement("CLIENT-GAP-01")
async def test_the_streams_go_on_behind_what_was_lost_and_say_how_much_it_is(
    small: ServerProcess, tmp_path: Path
) -> None:
    async with _missed(small, tmp_path, lost_output="gap") as (client, process, events):
        exact = client.supports("processCatchUp")
        out, err = await process.communicate()
        assert await process.wait() == 7
        [gap] = process.stdout.gaps
        assert (gap.stream, gap.offset) == ("stdout", len(b"before\n"))
        out = out.removeprefix(b"\n")
        head, _, kept = out.partition(b"output lost]\n")
        assert WRITTEN.endswith(kept)
        assert 900_000 < len(kept) < 3_000_000
        if exact:
            assert gap.lost_bytes == len(WRITTEN) - len(kept)
            assert head == f"[{gap.lost_bytes:,} bytes of ".encode()
            assert [g.lost_bytes for g in process.stderr.gaps] == [5]
            assert err == b"\n[5 bytes of output lost]\n"
        else:  # nobody knows how much of which stream it was
            assert gap.lost_bytes is None
            assert (head, err) == (b"[", b"\n[output lost]\n")
        # Of many small pieces, a subscriber that comes late or is slow gets the newest.
        seen = await events
        event = next(event for event in seen if isinstance(event, GapEvent))
        assert event.seq == gap.seq
        assert event.stdout_bytes is None or event.stdout_bytes >= (gap.lost_bytes or 0)
        assert [type(event) for event in seen[-2:]] == [ExitedEvent, ClosedEvent]
        assert await client.status() == "ready"


async def test_a_terminal_s_gap_is_in_its_one_stream_and_lines_have_it_as_the_caller_says(
    small: ServerProcess, tmp_path: Path
) -> None:
    marker = "\r\n-- cut --\r\n"
    async with _missed(small, tmp_path, tty=True, lost_output="gap", gap_marker=marker) as (
        _,
        process,
        _events,
    ):
        lines = [line async for line in process.stdout.lines()]
        at = lines.index("-- cut --")
        assert lines[:at] == [""]
        assert lines[-1] == "900000"
        numbers = [int(line) for line in lines[at + 2 :]]  # the first may have lost its head
        assert numbers == list(range(numbers[0], 900_001))
        [gap] = process.stdout.gaps
        assert (gap.stream, gap.offset) == ("pty", len(b"before\r\n"))
        assert process.stderr.gaps == ()
        assert await process.wait() == 7


async def test_a_command_that_still_runs_goes_on_after_a_gap(
    small: ServerProcess, tmp_path: Path
) -> None:
    wait = f"until test -e {tmp_path}/more; do sleep 0.02; done"
    async with _missed(
        small, tmp_path, end=f"{wait}; echo alive", lost_output="gap", gap_marker=""
    ) as (_, process, _events):
        (tmp_path / "more").touch()
        out = await process.stdout.read()
        assert out.endswith(b"900000\nalive\n")
        assert process.stdout.gaps
        assert await process.wait() == 0


@requirement("CLIENT-GAP-02")
async def test_without_gaps_the_process_is_ended_and_what_is_kept_can_be_read(
    small: ServerProcess, tmp_path: Path
) -> None:
    async with _missed(small, tmp_path, end="sleep 300") as (client, process, _events):
        with pytest.raises(OutputLostError, match="no longer retained") as caught:
            await process.communicate()
        lost = caught.value
        with pytest.raises(OutputLostError):
            await process.wait()
        if client.supports("processCatchUp"):
            assert lost.lost_bytes is not None
            assert lost.retained_bytes == len(WRITTEN) + 5 - lost.lost_bytes
        assert lost.oldest_seq is not None
        kept = b"".join([e.data async for e in process.retained(lost.oldest_seq - 1)])
        assert WRITTEN.endswith(kept)
        assert len(kept) == lost.retained_bytes
        answer = await process.read(wait=5)
        while not answer.closed:
            answer = await process.read(answer.next_seq - 1, wait=5)
        assert answer.exit_code == 137
        assert await client.status() == "ready"


@requirement("CLIENT-GAP-03")
async def test_a_client_that_is_connected_and_far_behind_loses_nothing(tmp_path: Path) -> None:
    options = ClientOptions(max_buffered_bytes=1024 * 1024, lost_output="gap")
    with ServerProcess("--retain-output-bytes", "0") as server:
        async with asyncio.timeout(WAIT_S), connect(server.url, options=options) as client:
            process = await client.start(["seq", "9000000"])
            assert await process.stdout.read(1) == b"1"
            # Nobody reads while others are busy: more than all the buffers on the way together.
            for _ in range(20):
                async with connect(server.url) as other:
                    assert (await other.run(["seq", "20000"])).returncode == 0
            size = 1
            async for piece in process.stdout:
                size += len(piece)
                last = piece
            assert (
                size
                == len(b"".join(b"%d\n" % n for n in range(1, 10)))
                + sum(9 * 10**digits * (digits + 2) for digits in range(1, 6))
                + (9_000_000 - 999_999) * 8
            )
            assert last.endswith(b"9000000\n")
            assert process.stdout.gaps == ()


async def test_a_command_run_with_gaps_says_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path
    wait = f"until test -e {folder}/go; do sleep 0.02; done"
    script = f"echo before; touch {folder}/up; {wait}; seq 900000; touch {folder}/done"
    with ServerProcess("--retain-output-bytes", "0") as server:
        async with (
            asyncio.timeout(WAIT_S),
            FaultProxy(server.port) as proxy,
            connect(proxy.url, options=OPTIONS) as client,
        ):
            marker = "<here>"
            running = asyncio.ensure_future(
                client.run(["sh", "-c", script], lost_output="gap", gap_marker=marker)
            )
            await _until(server.url, folder / "up")
            await client.status()
            async with _away(proxy, client):
                (folder / "go").touch()
                await _until(server.url, folder / "done")
            done = await running
            [gap] = done.gaps
            assert done.stdout[: gap.offset] + done.stdout[gap.offset + len(marker) :] == (
                b"before\n" + WRITTEN[gap.lost_bytes or 0 :]
            )
            assert done.returncode == 0


def _script(folder: Path, end: str = "exit 7") -> str:
    wait = f"until test -e {folder}/go; do sleep 0.02; done"
    return f"echo before; touch {folder}/up; {wait}; seq 900000; touch {folder}/done; {end}"


@pytest.mark.parametrize("policy", ["gap", "fail"])
async def test_the_program_says_on_stderr_what_is_lost_and_leaves_the_output_as_it_is(
    tmp_path: Path, policy: str
) -> None:
    with ServerProcess("--retain-output-bytes", "0") as server:
        async with asyncio.timeout(WAIT_S), FaultProxy(server.port) as proxy:
            words = ("run", "--url", proxy.url, f"--lost-output={policy}", "--")
            running = await asyncio.create_subprocess_exec(
                program("exec-client"), *words, "sh", "-c", _script(tmp_path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert running.stdout is not None
            assert await running.stdout.readline() == b"before\n"
            proxy.stop_listening()
            proxy.cut_all()
            (tmp_path / "go").touch()
            await _until(server.url, tmp_path / "done")
            await proxy.listen()
            out, err = await running.communicate()
            if policy == "gap":
                lost = len(WRITTEN) - len(out)
                assert lost > 0
                assert out == WRITTEN[lost:]
                assert f"exec-client: {lost:,} bytes of output lost here (stdout)\n" in err.decode()
                assert running.returncode == 7
            else:
                assert out == b""
                assert b"no longer retained" in err
                assert running.returncode == 125


async def test_without_async_there_are_the_same_gaps_and_the_same_rest(tmp_path: Path) -> None:
    with ServerProcess("--retain-output-bytes", "0") as server:
        async with asyncio.timeout(WAIT_S), FaultProxy(server.port) as proxy:
            (tmp_path / "a").mkdir()
            (tmp_path / "b").mkdir()
            client = await asyncio.to_thread(lambda: sync.connect(proxy.url, options=OPTIONS))
            argv = [["sh", "-c", _script(tmp_path / name)] for name in ("a", "b")]
            gap = await asyncio.to_thread(
                lambda: client.start(argv[0], lost_output="gap", gap_marker="<gap>")
            )
            fail = await asyncio.to_thread(lambda: client.start(argv[1]))
            for process in (gap, fail):
                assert await asyncio.to_thread(process.stdout.readline) == b"before\n"
            proxy.stop_listening()
            proxy.cut_all()
            for name in ("a", "b"):
                (tmp_path / name / "go").touch()
                await _until(server.url, tmp_path / name / "done")
            await proxy.listen()
            out = await asyncio.to_thread(gap.stdout.read)
            assert out.startswith(b"<gap>")
            [hole] = gap.stdout.gaps
            assert out[len("<gap>") :] == WRITTEN[hole.lost_bytes or 0 :]
            with pytest.raises(OutputLostError) as caught:
                await asyncio.to_thread(fail.stdout.read)
            oldest = caught.value.oldest_seq or 0
            rest = await asyncio.to_thread(lambda: list(fail.retained(oldest - 1)))
            assert WRITTEN.endswith(b"".join(event.data for event in rest))
            assert rest
            await asyncio.to_thread(client.close)


async def test_a_gap_is_the_end_of_a_protocol_whatever_the_client_s_default(tmp_path: Path) -> None:
    from exec_client.mcp import stdio_client
    from mcp import StdioServerParameters

    options = ClientOptions(retry_delay=0.01, lost_output="gap")
    with ServerProcess("--retain-output-bytes", "0") as server:
        async with (
            asyncio.timeout(WAIT_S),
            FaultProxy(server.port) as proxy,
            connect(proxy.url, options=options) as client,
        ):
            script = _script(tmp_path, "sleep 300")
            parameters = StdioServerParameters(command="sh", args=["-c", script])
            async with stdio_client(client, parameters) as (incoming, _outgoing):
                assert isinstance(await incoming.receive(), ValueError)  # "before"
                async with _away(proxy, client):
                    (tmp_path / "go").touch()
                    await _until(server.url, tmp_path / "done")
                assert isinstance(await incoming.receive(), OutputLostError)
