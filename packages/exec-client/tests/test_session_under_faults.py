"""A whole client against an executor in memory whose links break all the time.

Virtual time and one seeded generator: a seed that fails fails again. Every run is checked
against all the invariants at once.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientOptions,
    ClientState,
    ConnectError,
    ConnectionBrokenError,
    Process,
    ProcessBrokenError,
)
from exec_client.connection.websocket import NotSentError
from exec_client.process.events import (
    ClosedEvent,
    ExitedEvent,
    FailedEvent,
    GapEvent,
    OutputEvent,
    ProcessEvent,
    last_number,
)
from exec_client.process.ordering import MAX_PENDING_EVENTS
from exec_client.session.session import Session
from exec_testkit.fake_executor import FakeExecutor, Faults
from exec_testkit.requirements import requirement
from exec_testkit.virtual_time import run

SEEDS = int(os.environ.get("CLIENT_FAULT_SEEDS", "40"))
"""Runs; the release check takes thousands."""
HANDSHAKE = ["initialize", "initialized"]
CAUGHT_UP = {"initialize", "initialized", "process/read", "process/catchUp", "process/terminate"}
ASKED = {"process/read", "process/catchUp"}


def _executor(seed: int, faults: Faults, **capabilities: bool) -> FakeExecutor:
    return FakeExecutor(
        seed, faults, nobody=ConnectError, not_sent=NotSentError, capabilities=capabilities
    )


async def _connect(executor: FakeExecutor, options: ClientOptions) -> tuple[Client, Session]:
    while True:
        session = Session("ws://memory", options, dial=executor.dial)
        try:
            async with asyncio.timeout(1):
                await session.connect(resume=False)
        except Exception:  # noqa: BLE001 - the first connections break as well
            executor.attached = None
            continue
        return Client(session), session


async def _call_now_and_then(client: Client, executor: FakeExecutor, seed: int) -> None:
    """Calls that change something: each has a name, which must be seen once at most."""
    for number in range(20):
        await asyncio.sleep(executor.rng.random() * 0.05)
        try:
            async with asyncio.timeout(executor.rng.choice([None, None, 0.003])):
                await client.call(f"token/{seed}-{number}")
        except (ConnectionBrokenError, TimeoutError):
            continue


async def _start(client: Client, outputs: int, name: str) -> Process | None:
    try:
        return await client.start(["x", str(outputs)], process_id=name)
    except ConnectionBrokenError as error:
        if not error.maybe_executed:
            raise  # it would have been sent on the next connection
        return None


async def _follow(process: Process) -> list[Any]:
    return [event async for event in process.events()]


def _check_events(executor: FakeExecutor, process: Process, seen: list[Any]) -> None:
    """1, 2, 3, 4: what was published is what happened, once and in order."""
    happened = executor.processes[process.process_id].events
    wanted: list[Any] = []
    for method, params in happened:
        if method == "process/output":
            data = base64.b64decode(params["chunk"])
            wanted.append(OutputEvent(params["seq"], params["stream"], data))
        elif method == "process/exited":
            wanted.append(ExitedEvent(params["seq"], params["exitCode"]))
        else:
            wanted.append(ClosedEvent(params["seq"]))
    assert seen == wanted
    assert process.returncode == next(e.exit_code for e in wanted if isinstance(e, ExitedEvent))


def _check_frames(executor: FakeExecutor, session_id: str) -> None:
    """12, 13, 18, 21, 33: what was said on which connection, and in which order."""
    tokens: Counter[str] = Counter()
    learned = False
    for connection in executor.connections:
        said = connection.said
        ids = [message["id"] for message in said if "id" in message]
        assert ids == list(range(1, len(ids) + 1))
        methods = [message["method"] for message in said]
        assert methods[:2] == HANDSHAKE[: len(methods)]
        tokens.update(method for method in methods if method.startswith("token/"))
        if said and learned:
            assert said[0]["params"]["resumeSessionId"] == session_id
        calls = [n for n, method in enumerate(methods) if method not in CAUGHT_UP]
        reads = [
            n for n, m in enumerate(said) if m["method"] in ASKED and not m["params"]["maxBytes"]
        ]
        if calls and reads:
            assert max(reads) < min(calls)
        learned = learned or any(method not in HANDSHAKE for method in methods)
    assert set(tokens.values()) <= {1}


def _check_nothing_left(session: Session, executor: FakeExecutor) -> None:
    """16, 22, 23: no call, start or process is left over."""
    generation = session._generation
    assert generation is not None
    assert generation.pending == 0
    assert session.starts.active == 0
    assert session._processes == {}
    assert [name for name, process in executor.processes.items() if not process.closed] == []


@requirement(
    "CLIENT-INV-01",
    "CLIENT-INV-02",
    "CLIENT-INV-03",
    "CLIENT-INV-04",
    "CLIENT-INV-08",
    "CLIENT-INV-10",
    "CLIENT-INV-12",
    "CLIENT-INV-13",
    "CLIENT-INV-16",
    "CLIENT-INV-18",
    "CLIENT-INV-21",
    "CLIENT-INV-22",
    "CLIENT-INV-23",
    "CLIENT-INV-24",
    "CLIENT-INV-33",
)
@pytest.mark.slow
@pytest.mark.parametrize("pages", [None, 16])
def test_nothing_is_lost_doubled_or_left_over_whatever_breaks(pages: int | None) -> None:
    options = ClientOptions(
        retry_delay=0.01, recovery_deadline=1e6, attempt_timeout=0.3, catch_up_bytes=pages or 1
    )

    async def one(seed: int) -> None:
        faults = Faults(
            cuts=25, refuse=0.1, hang=0.05, half_open_seconds=0.05, misorder=0.1, repeat=0.1
        )
        executor = _executor(seed, faults, processCatchUp=pages is not None)
        client, session = await _connect(executor, options)
        calls = asyncio.ensure_future(_call_now_and_then(client, executor, seed))
        names = [f"p{number}" for number in range(6)]
        started = await asyncio.gather(*(_start(client, 25, name) for name in names))
        processes = [process for process in started if process is not None]
        # These never end by themselves: who gets no handle must see them ended all the same.
        endless = [asyncio.ensure_future(_start(client, 9999, f"e{n}")) for n in range(4)]
        cancelled = asyncio.ensure_future(_start(client, 9999, "cancelled"))
        await asyncio.sleep(executor.rng.random() * 0.02)
        cancelled.cancel()
        for process, seen in zip(
            processes, await asyncio.gather(*map(_follow, processes)), strict=True
        ):
            assert isinstance(seen[-1], ClosedEvent), seen[-1]
            _check_events(executor, process, seen)
        await asyncio.wait([calls, cancelled])
        held = [process for process in await asyncio.gather(*endless) if process is not None]
        if not cancelled.cancelled() and (result := cancelled.result()) is not None:
            held.append(result)
        for process in held:
            following = asyncio.ensure_future(_follow(process))
            while not following.done():
                with suppress(ConnectionBrokenError):
                    await process.terminate()
                await asyncio.wait([following], timeout=0.1)
            assert process.returncode == 137
        while client.state is not ClientState.CONNECTED or session.starts._tasks:
            assert await client.status() == "ready"
            await asyncio.sleep(0.05)
        assert await client.status() == "ready"
        await asyncio.sleep(1)
        _check_frames(executor, client.session_id)
        _check_nothing_left(session, executor)
        await client.aclose()
        await executor.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for seed in range(SEEDS):
        try:
            run(one(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@requirement("CLIENT-INV-02", "CLIENT-INV-03", "CLIENT-INV-06", "CLIENT-INV-27")
@pytest.mark.slow
@pytest.mark.parametrize("pages", [None, 16])
def test_an_executor_that_forgets_output_fails_single_processes_and_never_shortens_one(
    pages: int | None,
) -> None:
    options = ClientOptions(
        retry_delay=0.05, recovery_deadline=1e6, attempt_timeout=0.3, catch_up_bytes=pages or 1
    )
    outcomes: Counter[str] = Counter()

    async def one(seed: int) -> None:
        faults = Faults(cuts=6, frames=90, refuse=0.3, retain=8)
        executor = _executor(seed, faults, processCatchUp=pages is not None)
        client, _session = await _connect(executor, options)
        started = await asyncio.gather(*(_start(client, 40, f"p{n}") for n in range(6)))
        processes = [process for process in started if process is not None]
        for process, seen in zip(
            processes, await asyncio.gather(*map(_follow, processes)), strict=True
        ):
            *before, last = seen
            assert not any(isinstance(event, ClosedEvent | FailedEvent) for event in before)
            assert [event.seq for event in before] == list(range(1, len(seen)))
            if isinstance(last, FailedEvent):
                outcomes["failed"] += 1
                assert "no longer retained" in last.message
                with pytest.raises(ProcessBrokenError):
                    await process.wait()
            else:
                outcomes["complete"] += 1
                _check_events(executor, process, seen)
        assert await client.status() == "ready"
        await client.aclose()
        await executor.aclose()

    for seed in range(SEEDS):
        try:
            run(one(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert outcomes["failed"] > 5
    assert outcomes["complete"] > 5


@requirement("CLIENT-GAP-01")
@pytest.mark.slow
@pytest.mark.parametrize("pages", [None, 16])
def test_with_gaps_what_is_read_is_what_was_written_but_for_holes_where_they_are_said_to_be(
    pages: int | None,
) -> None:
    options = ClientOptions(
        retry_delay=0.05,
        recovery_deadline=1e6,
        attempt_timeout=0.3,
        catch_up_bytes=pages or 1,
        lost_output="gap",
        gap_marker=lambda gap: f"<{gap.lost_bytes}>",
    )
    outcomes: Counter[str] = Counter()

    async def one(seed: int) -> None:
        faults = Faults(cuts=6, frames=90, refuse=0.3, retain=8)
        executor = _executor(seed, faults, processCatchUp=pages is not None)
        client, session = await _connect(executor, options)
        started = await asyncio.gather(*(_start(client, 40, f"p{n}") for n in range(6)))
        for process in filter(None, started):
            following = asyncio.ensure_future(_follow(process))
            out, err = await process.communicate()
            assert await process.wait() == executor.processes[process.process_id].exit_code
            lost = _check_gaps(executor, process, await following, exact=pages is not None)
            outcomes["with gaps" if process.stdout.gaps or process.stderr.gaps else "whole"] += 1
            for stream, data in ((process.stdout, out), (process.stderr, err)):
                assert (
                    len(data)
                    == sum(len(f"<{gap.lost_bytes}>") for gap in stream.gaps)
                    + len(_written(executor, process, stream.name))
                    - lost[stream.name]
                )
                for gap in stream.gaps:
                    assert data[gap.offset :].startswith(b"<%s>" % str(gap.lost_bytes).encode())
        while client.state is not ClientState.CONNECTED or session.starts._tasks:
            assert await client.status() == "ready"
            await asyncio.sleep(0.05)
        _check_nothing_left(session, executor)
        await client.aclose()
        await executor.aclose()

    for seed in range(SEEDS):
        try:
            run(one(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert outcomes["with gaps"] > 5
    assert outcomes["whole"] > 5


def _written(executor: FakeExecutor, process: Process, stream: str) -> bytes:
    """Return all that a process wrote to a stream."""
    events = executor.processes[process.process_id].events
    return b"".join(
        base64.b64decode(params["chunk"])
        for method, params in events
        if method == "process/output" and params["stream"] == stream
    )


def _check_gaps(
    executor: FakeExecutor, process: Process, seen: list[ProcessEvent], *, exact: bool
) -> Counter[str]:
    """Compare events with what happened; return how much of each stream is in gaps."""
    happened = executor.processes[process.process_id].events
    lost: Counter[str] = Counter()
    expected, exits = 1, 0
    for event in seen:
        assert not isinstance(event, FailedEvent)
        assert event.seq == expected, (event, expected)
        method, params = happened[event.seq - 1]
        if isinstance(event, OutputEvent):
            assert method == "process/output"
            assert (event.stream, event.data) == (
                params["stream"], base64.b64decode(params["chunk"])
            )  # fmt: skip
        elif isinstance(event, ExitedEvent):
            exits += 1
            assert event.exit_code == executor.processes[process.process_id].exit_code
            assert method == "process/exited" or not exact
            if method == "process/output":  # nobody can tell which of the lost ones it was
                lost[params["stream"]] += len(base64.b64decode(params["chunk"]))
        elif isinstance(event, GapEvent):
            here: Counter[str] = Counter()
            for method, params in happened[event.seq - 1 : event.last_seq]:
                assert method == "process/output" or not exact
                if method == "process/output":
                    here[params["stream"]] += len(base64.b64decode(params["chunk"]))
            said = (event.stdout_bytes, event.stderr_bytes)
            assert said == ((here["stdout"], here["stderr"]) if exact else (None, None))
            lost += here
        else:
            assert method == "process/closed"
        expected = last_number(event) + 1
    assert exits == 1
    assert isinstance(seen[-1], ClosedEvent)
    return lost


@requirement("CLIENT-INV-18")
@pytest.mark.slow
def test_replayed_writes_arrive_once_and_in_order() -> None:
    options = ClientOptions(
        retry_delay=0.01, recovery_deadline=1e6, attempt_timeout=0.3, replay_writes=True
    )

    async def one(seed: int) -> None:
        executor = _executor(seed, Faults(cuts=20, frames=12))
        client, _session = await _connect(executor, options)
        process = None
        names = itertools.count()
        while process is None:
            process = await _start(client, 2000, f"p{next(names)}")
        wanted = b""
        for number in range(60):
            await process.write(b"%d," % number)
            wanted += b"%d," % number
        assert executor.processes[process.process_id].received == wanted
        await client.aclose()
        await executor.aclose()

    for seed in range(SEEDS):
        run(one(seed))


async def _lose(executor: FakeExecutor) -> None:
    assert executor.attached is not None
    executor.attached.cut()


@requirement("CLIENT-INV-14", "CLIENT-INV-15", "CLIENT-R17")
@pytest.mark.parametrize("outage", ["refused", "hanging", "attached"])
def test_the_default_deadline_and_pace_hold_to_the_millisecond(outage: str) -> None:
    async def main() -> None:
        faults = Faults(cuts=10**6, frames=10**9)
        executor = _executor(1, faults)
        client, _session = await _connect(executor, ClientOptions())
        process = await client.start(["x", "9999"])
        dials = len(executor.dials)
        if outage == "attached":
            faults.half_open_seconds = 1e9
        else:
            setattr(faults, {"refused": "refuse", "hanging": "hang"}[outage], 1.0)
        await _lose(executor)
        lost_at = asyncio.get_running_loop().time()
        with pytest.raises(ProcessBrokenError, match="recovery timed out after 25s"):
            await process.wait()
        took = asyncio.get_running_loop().time() - lost_at
        assert took == pytest.approx(25.0, abs=0.001)
        attempts = executor.dials[dials:]
        assert attempts[0] - lost_at < 0.001
        gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        if outage == "hanging":
            assert gaps == pytest.approx([10.1, 10.1], abs=0.01)
        else:
            assert min(gaps) >= 0.1
            assert max(gaps) < 0.13
        await asyncio.sleep(60)
        assert len(executor.dials) == dials + len(attempts)
        await client.aclose()
        await executor.aclose()

    run(main())


@requirement("CLIENT-INV-14", "CLIENT-R16", "CLIENT-R08")
def test_an_outage_of_twenty_seconds_is_ridden_out() -> None:
    async def main() -> None:
        faults = Faults(cuts=10**6, frames=10**9)
        executor = _executor(2, faults)
        client, session = await _connect(executor, ClientOptions())
        process = await client.start(["x", "30"])
        following = asyncio.ensure_future(_follow(process))
        faults.refuse = 1.0
        await _lose(executor)
        calls = [asyncio.ensure_future(client.status()) for _ in range(3)]
        read = asyncio.ensure_future(process.read(0))
        await asyncio.sleep(20)
        assert session.state is ClientState.RECOVERING
        assert not any(call.done() for call in [*calls, read])
        faults.refuse = 0.0
        assert await asyncio.gather(*calls) == ["ready"] * 3
        assert (await read).closed
        _check_events(executor, process, await following)
        await client.aclose()
        await executor.aclose()

    run(main())


@requirement("CLIENT-INV-08")
def test_a_hole_that_stays_fails_one_process_at_the_limit() -> None:
    async def main() -> None:
        executor = _executor(3, Faults())
        client, session = await _connect(executor, ClientOptions())
        process = await client.start(["x", "9999"])
        other = await client.start(["x", "5"])
        fake = executor.processes[process.process_id]
        fake.events += [("nothing", {})]  # one number that nobody is told of
        while not process.failure:
            fake.happen(("stdout", b"x"))
            assert len(process.ordering.pending) <= MAX_PENDING_EVENTS
            await asyncio.sleep(0.001)
        assert "reorder buffer exceeds 256 entries" in str(process.failure)
        assert process.process_id not in session._processes
        await other.wait()
        assert other.returncode is not None
        await client.aclose()
        await executor.aclose()

    run(main())


@requirement("CLIENT-R19")
def test_a_client_that_is_dropped_while_it_recovers_ends_with_its_deadline() -> None:
    async def main() -> None:
        faults = Faults(cuts=10**6, frames=10**9)
        executor = _executor(4, faults)
        client, session = await _connect(executor, ClientOptions())
        await client.start(["x", "9999"])
        faults.refuse = 1.0
        await _lose(executor)
        await asyncio.sleep(0.5)
        assert session.state is ClientState.RECOVERING
        del client, session
        await executor.aclose()
        await asyncio.sleep(26)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
