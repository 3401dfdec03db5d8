"""One conversation, broken once at each of its messages, in every way; and single moments.

Virtual time: an outage of twenty seconds costs nothing here.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from exec_client import (
    Client,
    ClientClosedError,
    ClientError,
    ClientOptions,
    ClientState,
    ConnectError,
    ConnectionBrokenError,
    Process,
    RecoveryDeadlineError,
    SessionLostError,
)
from exec_client.connection.generation import Generation
from exec_client.connection.websocket import NotSentError
from exec_client.process.events import ClosedEvent, ExitedEvent, OutputEvent
from exec_client.process.followed_process import FollowedProcess
from exec_client.recovery.recovery import recover
from exec_client.session.session import Session
from exec_client.session.status import EnvironmentStatus
from exec_testkit.fake_executor import FakeExecutor, Faults
from exec_testkit.requirements import requirement
from exec_testkit.virtual_time import run

OUTAGES: dict[str, Faults] = {
    "reset": Faults(lose=3),
    "fin": Faults(lose=0),
    "half-open for 5 s": Faults(lose=0, half_open_seconds=5.0),
    "stall of 3 s": Faults(lose=0, stall_seconds=3.0),
    "accept and drop for 10 s": Faults(lose=0, outage="dropped", outage_seconds=10.0),
    "hanging for 8 s": Faults(lose=0, outage="hanging", outage_seconds=8.0),
    "refused for 20 s": Faults(lose=0, outage="refused", outage_seconds=20.0),
}
HANDSHAKE_MESSAGES = 3
NEVER = 10**9


def _executor(faults: Faults, seed: int = 1, *, pages: bool = False) -> FakeExecutor:
    capabilities = {"processCatchUp": pages}
    return FakeExecutor(
        seed, faults, nobody=ConnectError, not_sent=NotSentError, capabilities=capabilities
    )


def _broken_at(message: int, faults: Faults, *, pages: bool) -> FakeExecutor:
    """An executor whose first connection carries so many messages; later ones live."""
    copied = Faults(
        lose=faults.lose,
        half_open_seconds=faults.half_open_seconds,
        stall_seconds=faults.stall_seconds,
        outage=faults.outage,
        outage_seconds=faults.outage_seconds,
        plan=lambda number: message if number == 0 else None,
    )
    return _executor(copied, pages=pages)


async def _connect(
    executor: FakeExecutor, options: ClientOptions | None = None
) -> tuple[Client, Session]:
    session = Session("ws://memory", options or ClientOptions(), dial=executor.dial)
    await session.connect(resume=False)
    return Client(session), session


async def _until(met: Callable[[], bool], step: float = 0.0) -> None:
    """Wait for what nobody tells, in small steps."""
    for _ in range(10_000):
        if met():
            return
        await asyncio.sleep(step)
    raise AssertionError("it does not come")


async def _end(client: Client, executor: FakeExecutor) -> None:
    await client.aclose()
    await executor.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _happened(executor: FakeExecutor, process: Process) -> list[Any]:
    found: list[Any] = []
    for method, params in executor.processes[process.process_id].events:
        seq = params["seq"]
        if method == "process/output":
            data = base64.b64decode(params["chunk"])
            found.append(OutputEvent(seq, params["stream"], data))
        elif method == "process/exited":
            found.append(ExitedEvent(seq, params["exitCode"]))
        else:
            found.append(ClosedEvent(seq))
    return found


async def _run_one(client: Client, executor: FakeExecutor, name: str) -> None:
    for attempt in range(3):
        try:
            process = await client.start(["x", "4"], process_id=f"{name}-{attempt}")
            break
        except ConnectionBrokenError:
            continue
    seen = [event async for event in process.events()]
    assert seen == _happened(executor, process)
    assert process.returncode == executor.processes[process.process_id].exit_code


async def _converse(executor: FakeExecutor) -> int:
    """Eight processes and a few calls. Returns how many messages there were."""
    client, session = await _connect(executor)
    async with asyncio.timeout(60):
        await asyncio.gather(*(_run_one(client, executor, f"p{n}") for n in range(8)))
        assert await client.status() == "ready"
        await _until(lambda: not session.starts._tasks, 0.05)
    assert client.state is ClientState.CONNECTED
    assert session._processes == {}
    assert session.starts.active == 0
    assert all(process.closed for process in executor.processes.values())
    _check_one_connection_at_a_time(executor)
    await _end(client, executor)
    (first, *_) = executor.connections
    return len(first.said) + first.sent


def _check_one_connection_at_a_time(executor: FakeExecutor) -> None:
    """Nothing is said on a connection once a later one is in use."""
    for earlier, later in zip(executor.connections, executor.connections[1:], strict=False):
        assert max(earlier.order, default=-1) < min(later.order, default=NEVER)


@requirement(
    "CLIENT-INV-01",
    "CLIENT-INV-02",
    "CLIENT-INV-03",
    "CLIENT-INV-12",
    "CLIENT-INV-16",
    "CLIENT-INV-23",
    "CLIENT-INV-24",
    "CLIENT-INV-25",
)
@pytest.mark.slow
@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize("outage", OUTAGES)
def test_a_break_at_any_message_costs_no_event_and_no_process(outage: str, pages: bool) -> None:
    messages = run(_converse(_executor(Faults(), pages=pages)))
    assert messages > 60
    for message in range(HANDSHAKE_MESSAGES, messages + 1):
        try:
            run(_converse(_broken_at(message, OUTAGES[outage], pages=pages)))
        except BaseException as error:
            error.add_note(f"broken at message {message}")
            raise


@requirement("CLIENT-R19", "CLIENT-R20", "CLIENT-INV-10", "CLIENT-INV-22")
@pytest.mark.slow
def test_closing_at_any_moment_of_a_recovery_wins_and_leaves_nothing() -> None:
    async def main(milliseconds: int) -> ClientState:
        faults = Faults(lose=1, outage_seconds=0.05)
        executor = _broken_at(20, faults, pages=milliseconds % 2 == 0)
        client, session = await _connect(executor)
        starts = [
            asyncio.ensure_future(client.start(["x", "50"], process_id=f"p{n}")) for n in range(4)
        ]
        changes = client.state_changes()
        assert (await anext(changes)).new is ClientState.RECOVERING
        waiting = [asyncio.ensure_future(client.status()) for _ in range(3)]
        await asyncio.sleep(milliseconds / 1000)
        before = client.state
        recoveries = [t for t in asyncio.all_tasks() if t.get_name() == "exec-client-recovery"]
        assert len(recoveries) == (before is ClientState.RECOVERING)
        await client.aclose()
        assert client.state is ClientState.CLOSED
        results = await asyncio.gather(*waiting, *starts, return_exceptions=True)
        kinds = (EnvironmentStatus, Process, ClientClosedError, ConnectionBrokenError)
        assert all(isinstance(result, kinds) for result in results)
        if before is ClientState.RECOVERING:
            assert all(isinstance(r, ClientClosedError) for r in results[:3])
        await asyncio.sleep(1)
        assert executor.attached is None
        assert session._processes == {}
        await _end(client, executor)
        return before

    seen = {run(main(milliseconds)) for milliseconds in range(150)}
    assert seen == {ClientState.RECOVERING, ClientState.CONNECTED}


@requirement("CLIENT-R01", "CLIENT-INV-10")
def test_what_an_older_connection_still_reports_changes_nothing() -> None:
    async def main() -> None:
        executor = _executor(Faults())
        client, session = await _connect(executor)
        older = session._generation
        assert older is not None
        assert executor.attached is not None
        executor.attached.cut()
        assert await client.status() == "ready"
        current = session._generation
        assert current is not older
        changes = client.state_changes()
        session._generation_lost(older, "late")
        older.abort("later still")
        await asyncio.sleep(1)
        assert (client.state, session._generation) == (ClientState.CONNECTED, current)
        assert len(executor.dials) == 2
        await client.aclose()
        assert [change.new async for change in changes] == [ClientState.CLOSED]
        await _end(client, executor)

    run(main())


@requirement("CLIENT-R02", "CLIENT-INV-18")
def test_a_start_whose_connection_is_dead_though_nobody_knows_goes_to_the_next_one() -> None:
    async def main() -> None:
        executor = _executor(Faults(lose=0))
        client, _session = await _connect(executor)
        assert executor.attached is not None
        executor.attached.cut()
        assert client.state is ClientState.CONNECTED  # as far as anybody has noticed
        process = await client.start(["x", "3"], process_id="p")
        assert [event async for event in process.events()] == _happened(executor, process)
        said = [m["method"] for c in executor.connections for m in c.said]
        assert said.count("process/start") == 1
        assert said.count("process/terminate") == 0
        await _end(client, executor)

    run(main())


class _Stub:
    """A client whose start stays in flight for as long as it likes."""

    def __init__(self, session: Session, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self.options = session.options
        self.read_budget = session.read_budget

    async def wait_starts(self) -> None:
        await asyncio.sleep(self._seconds)

    async def open_generation(self, *, resume: bool) -> Generation:
        return await self._session.open_generation(resume=resume)

    def recoverable_processes(self) -> Iterable[FollowedProcess]:
        return []

    def supports(self, capability: str) -> bool:
        return False

    def forget(self, process: FollowedProcess) -> None:
        raise AssertionError


@requirement("CLIENT-INV-25", "CLIENT-R17")
def test_an_unresolved_start_delays_the_recovery_but_not_beyond_the_deadline() -> None:
    async def main(seconds: float) -> None:
        executor = _executor(Faults())
        client, session = await _connect(executor)
        loop = asyncio.get_running_loop()
        executor.attached = None
        executor.dials.clear()
        started = loop.time()
        if seconds > session.options.recovery_deadline:
            with pytest.raises(RecoveryDeadlineError, match="timed out after 25s"):
                await recover(_Stub(session, seconds), "gone")
            assert loop.time() - started == pytest.approx(25.0)
            assert executor.dials == []
        else:
            resumed = await recover(_Stub(session, seconds), "gone")
            assert executor.dials == [pytest.approx(started + seconds)]
            await resumed.generation.close()
        await _end(client, executor)

    run(main(3.0))
    run(main(30.0))


Call = Callable[[Client, Process], Awaitable[Any]]

CALLS: dict[str, tuple[Call, bool]] = {
    "start": (lambda client, _: client.start(["x", "1"]), False),
    "read": (lambda _, process: process.read(0), True),
    "write": (lambda _, process: process.write(b"x"), False),
    "signal": (lambda _, process: process.send_signal("interrupt"), False),
    "terminate": (lambda _, process: process.terminate(), False),
    "info": (lambda client, _: client.info(), True),
    "status": (lambda client, _: client.status(), True),
    "a call that changes something": (lambda client, _: client.call("fs/remove"), False),
    "a call that does not": (
        lambda client, _: client.call("environment/status", idempotent=True),
        True,
    ),
}
"""Each call, and whether it is asked again when its answer was lost."""


@requirement("CLIENT-INV-18", "CLIENT-INV-19", "CLIENT-R08", "CLIENT-R16")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("replay", [False, True])
def test_each_call_does_in_each_state_what_the_table_of_calls_says(name: str, replay: bool) -> None:
    call, repeated = CALLS[name]
    repeated = repeated or (replay and name == "write")

    async def main() -> None:
        executor = _executor(Faults(lose=0, outage_seconds=2.0))
        client, _session = await _connect(executor, ClientOptions(replay_writes=replay))
        process = await client.start(["x", "9999"], process_id="p")
        await call(client, process)  # connected
        # In flight when the link breaks: repeated if that changes nothing, an error if not.
        in_flight = asyncio.ensure_future(call(client, process))
        said = executor.connections[0].said
        count = len(said)
        await _until(lambda: len(said) > count)
        assert executor.attached is not None
        executor.attached.cut()
        await _until(lambda: client.state is not ClientState.CONNECTED)
        waiting = asyncio.ensure_future(call(client, process))  # new: waits
        await asyncio.sleep(1)
        assert client.state is ClientState.RECOVERING
        assert not waiting.done()
        assert in_flight.done() is not repeated
        if not repeated:
            with pytest.raises(ConnectionBrokenError) as caught:
                await in_flight
            assert caught.value.maybe_executed
        await waiting
        if repeated:
            await in_flight
        # Failed: one text for all; a read says it instead of raising it.
        executor.forgotten = True
        assert executor.attached is not None
        executor.attached.cut()
        await asyncio.sleep(10)
        assert client.state.name == "FAILED"
        for _ in range(2):
            if name == "read":
                answer = await process.read(0)
                assert (answer.closed, answer.exited, answer.exit_code) == (True, True, None)
                assert "unknown session id" in str(answer.failure)
            else:
                with pytest.raises(ClientError, match="unknown session id") as refused:
                    await call(client, process)
                assert isinstance(refused.value, SessionLostError)
                assert not refused.value.maybe_executed
        await _end(client, executor)

    run(main())


@requirement("CLIENT-INV-16", "CLIENT-INV-23")
@pytest.mark.slow
def test_starts_get_through_a_link_that_breaks_all_the_time_and_lost_ones_do_not_pile_up() -> None:
    async def main() -> None:
        executor = _executor(Faults(lose=0, plan=lambda _: 40))
        client, session = await _connect(executor, ClientOptions(retry_delay=0.01))
        most = done = 0

        async def start_and_follow(slot: int) -> None:
            nonlocal most, done
            attempt = 0
            while done < 100:
                attempt += 1
                try:
                    process = await client.start(["x", "2"], process_id=f"p{slot}-{attempt}")
                except ConnectionBrokenError:
                    most = max(most, len(session._processes))
                    continue
                seen = [event async for event in process.events()]
                assert seen == _happened(executor, process)
                done += 1

        await asyncio.gather(*(start_and_follow(slot) for slot in range(8)))
        assert most < 100
        executor.faults.plan = None
        assert await client.status() == "ready"
        await _until(lambda: not session.starts._tasks, 0.05)
        await _end(client, executor)

    run(main(), limit=600)


@requirement("CLIENT-INV-13", "CLIENT-INV-24")
@pytest.mark.slow
def test_a_thousand_processes_are_caught_up_with_in_one_attempt_over_a_slow_link() -> None:
    async def main() -> None:
        executor = _executor(Faults(lose=0))
        executor.events_per_second = 0.001
        client, _session = await _connect(executor)
        processes = [await client.start(["x", "2"], process_id=f"p{n}") for n in range(1000)]
        executor.latency = 0.1
        assert executor.attached is not None
        executor.attached.cut()
        changes = client.state_changes()
        started = asyncio.get_running_loop().time()
        assert await client.status() == "ready"
        assert asyncio.get_running_loop().time() - started < 10.0
        assert [(await anext(changes)).new for _ in range(2)] == [
            ClientState.RECOVERING,
            ClientState.CONNECTED,
        ]
        assert len(executor.dials) == 2
        methods = [message["method"] for message in executor.connections[1].said]
        assert methods[2:] == ["process/read"] * 1000 + ["environment/status"]
        assert all(process.failure is None for process in processes)
        await _end(client, executor)

    run(main())
