"""How long a client goes on with what fails: in virtual time, so that every pause can be seen."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from exec_client import (
    BadAnswerError,
    Client,
    ClientOptions,
    ClientState,
    ConnectError,
    ProcessBrokenError,
    SessionLostError,
)
from exec_client.connection.persistence import (
    LONGEST_PAUSE,
    SAME_FAILURES,
    STABLE_SECONDS,
    Pauses,
    SameFailure,
)
from exec_client.connection.websocket import NotSentError
from exec_client.session.session import Session
from exec_testkit.fake_executor import FakeConnection, FakeExecutor, Faults
from exec_testkit.requirements import requirement
from exec_testkit.virtual_time import run
from hypothesis import given
from hypothesis import strategies as st


async def _connect(faults: Faults, *, pages: bool = True) -> tuple[Client, FakeExecutor]:
    executor = FakeExecutor(
        1,
        faults,
        nobody=ConnectError,
        not_sent=NotSentError,
        capabilities={"processCatchUp": pages},
    )
    session = Session("ws://memory", ClientOptions(), dial=executor.dial)
    await session.connect(resume=False)
    return Client(session), executor


async def _end(client: Client, executor: FakeExecutor) -> None:
    await client.aclose()
    await executor.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@given(st.lists(st.tuples(st.floats(0, 2 * STABLE_SECONDS), st.integers(0, 2))))
def test_pauses_grow_to_a_limit_and_end_with_a_good_connection(
    connections: list[tuple[float, int]],
) -> None:
    pauses = Pauses(0.1)
    now, bad = 0.0, 0
    assert pauses.lost(now, 5) == 0.0
    for seconds, brought in connections:
        pauses.resumed(now, 7)
        began, now = now, now + seconds
        pause = pauses.lost(now, 7 + brought)
        good = brought > 0 or now - began >= STABLE_SECONDS
        bad = 0 if good else bad + 1
        assert pause == (0.0 if good else min(0.1 * 2 ** (bad - 1), LONGEST_PAUSE))
        now += pause


@given(st.lists(st.sampled_from("ab")))
def test_only_the_same_failure_in_a_row_counts(failures: list[str]) -> None:
    failure = SameFailure()
    for number, text in enumerate(failures):
        last = failures[max(0, number + 1 - SAME_FAILURES) : number + 1]
        assert failure.add(text) == (last == [text] * SAME_FAILURES)


@requirement("CLIENT-INV-35")
def test_an_answer_that_is_never_a_message_is_an_error_of_that_call_and_of_no_other() -> None:
    async def main() -> None:
        client, executor = await _connect(Faults(spoil=lambda method, _: method == "bad/call"))
        innocent = asyncio.ensure_future(client.call("good/call", idempotent=True))
        executor.latency = 0.5  # it is under way whenever the bad answer comes
        with pytest.raises(BadAnswerError, match="no message, each time that bad/call was called"):
            await client.call("bad/call", idempotent=True)
        assert len(executor.connections) == SAME_FAILURES
        assert await innocent == {}
        assert await client.status() == "ready"
        await _end(client, executor)

    run(main())


@requirement("CLIENT-INV-27", "CLIENT-INV-35")
@pytest.mark.parametrize("pages", [False, True])
def test_a_process_whose_catch_up_is_never_a_message_fails_alone(pages: bool) -> None:
    async def main() -> None:
        asked = ("process/read", "process/catchUp")
        faults = Faults(spoil=lambda method, p: method in asked and p["processId"] == "bad")
        client, executor = await _connect(faults, pages=pages)
        bad = await client.start(["x", "5000"], process_id="bad")
        good = await client.start(["x", "50"], process_id="good")
        assert executor.attached is not None
        executor.attached.cut()
        with pytest.raises(ProcessBrokenError, match="no message, each time"):
            await bad.wait()
        await good.wait()
        assert await client.status() == "ready"
        assert len(executor.connections) <= SAME_FAILURES + 2
        await _end(client, executor)

    run(main())


@requirement("CLIENT-INV-35")
def test_a_resumption_that_is_never_answered_with_a_message_is_given_up() -> None:
    async def main() -> None:
        spoiled = False
        client, executor = await _connect(Faults(spoil=lambda method, _: spoiled))
        spoiled = True
        assert executor.attached is not None
        executor.attached.cut()
        with pytest.raises(SessionLostError, match="no message, each time that initialize"):
            await client.status()
        assert len(executor.connections) == 1 + SAME_FAILURES
        await _end(client, executor)

    run(main())


@requirement("CLIENT-INV-15", "CLIENT-INV-36")
def test_a_session_that_is_lost_as_soon_as_it_is_resumed_is_resumed_ever_more_slowly() -> None:
    async def main() -> None:
        client, executor = await _connect(Faults())
        changes = client.state_changes()
        loop = asyncio.get_running_loop()
        pauses = []
        for _ in range(12):
            assert executor.attached is not None
            executor.attached.cut()
            lost = loop.time()
            while (await anext(changes)).new is not ClientState.CONNECTED:
                pass
            pauses.append(executor.dials[-1] - lost)
        assert pauses[0] < 0.001
        assert pauses[1] == pytest.approx(0.1, abs=0.01)
        assert all(later >= earlier - 0.01 for earlier, later in itertools.pairwise(pauses))
        assert pauses[-1] == pytest.approx(LONGEST_PAUSE, abs=0.01)
        assert await client.status() == "ready"  # it is good for something again
        assert executor.attached is not None
        executor.attached.cut()
        lost = loop.time()
        while (await anext(changes)).new is not ClientState.CONNECTED:
            pass
        assert executor.dials[-1] - lost < 0.001
        await _end(client, executor)

    run(main())


class _Silent(FakeExecutor):
    """Resumes sessions, never says what was missed, and sends something else meanwhile."""

    noise = 0

    def handle(self, connection: FakeConnection, message: dict[str, object]) -> None:
        """Answer everything but the one thing that matters."""
        if message["method"] != "process/catchUp":
            super().handle(connection, message)
        elif self.noise:
            self._make_noise(connection)

    def _make_noise(self, connection: FakeConnection) -> None:
        if not connection.socket.over:
            connection.send({"method": "x/noise", "params": "x" * self.noise})
            asyncio.get_running_loop().call_later(0.25, self._make_noise, connection)


@requirement("CLIENT-INV-14")
@pytest.mark.parametrize(
    ("noise", "least", "most"),
    [(0, 25.0, 25.001), (100, 25.0, 25.001), (20_000, 600.0, 1900.0), (10**6, 40.0, 120.0)],
)
def test_a_recovery_has_an_end_whatever_is_sent_in_place_of_an_answer(
    noise: int, least: float, most: float
) -> None:
    async def main() -> None:
        executor = _Silent(
            1,
            Faults(),
            nobody=ConnectError,
            not_sent=NotSentError,
            capabilities={"processCatchUp": True},
        )
        session = Session("ws://memory", ClientOptions(), dial=executor.dial)
        await session.connect(resume=False)
        client = Client(session)
        process = await client.start(["x", "5000"])
        await process.stdout.read(1)
        executor.noise = noise
        assert executor.attached is not None
        executor.attached.cut()
        lost = asyncio.get_running_loop().time()
        with pytest.raises(ProcessBrokenError, match="timed out after 25s"):
            await process.wait()
        assert least <= asyncio.get_running_loop().time() - lost <= most
        await _end(client, executor)

    run(main())
