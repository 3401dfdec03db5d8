"""One client on demand: shared attempts, remembered failures, a fresh one after the end.

The names in the comments are those of the reference client's tests of the same behaviour.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from exec_client.connection.states import ClientState
from exec_client.embedded import ServerProgramMissingError
from exec_client.environment.environment import Environment
from exec_client.environment.lazy import LazyClient
from exec_client.environment.url_cell import (
    EnvironmentUnavailableError,
    UrlCell,
    UrlNotPendingError,
)
from exec_client.errors import ClientClosedError, ConnectError, HandshakeRejectedError
from exec_client.session.status import EnvironmentStatus, status_from_answer
from exec_server_protocol.errors import MalformedMessageError, RpcError
from exec_testkit.requirements import requirement

if TYPE_CHECKING:
    from exec_client.client import Client


class FakeClient:
    """What a lazy client looks at."""

    def __init__(self) -> None:
        self.state = ClientState.CONNECTED
        self.is_open = True

    async def status(self) -> EnvironmentStatus:
        return EnvironmentStatus("ready")


class Dialler:
    """Connects when told to, and counts."""

    def __init__(self) -> None:
        self.attempts = 0
        self.clients: list[FakeClient] = []
        self.failure: BaseException | None = None
        self.may_connect = asyncio.Event()
        self.may_connect.set()

    async def dial(self, stack: AsyncExitStack) -> Client:
        self.attempts += 1
        client = await stack.enter_async_context(self._opened())
        await self.may_connect.wait()
        if self.failure is not None:
            raise self.failure
        return cast("Client", client)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[FakeClient]:
        client = FakeClient()
        self.clients.append(client)
        try:
            yield client
        finally:
            client.is_open = False


@pytest.fixture
async def dialler() -> Dialler:
    return Dialler()


@requirement("CLIENT-INV-32")
async def test_any_number_of_callers_share_one_attempt(dialler: Dialler) -> None:
    # initial_connection_is_shared_by_all_waiters
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        clients = await asyncio.gather(*(lazy.get() for _ in range(50)))
        assert {id(client) for client in clients} == {id(dialler.clients[0])}
        await lazy.aclose()
    assert dialler.attempts == 1


async def test_nothing_is_dialled_before_the_first_use(dialler: Dialler) -> None:
    # create_local_environment_does_not_connect
    lazy = LazyClient(dialler.dial)
    await asyncio.sleep(0)
    assert dialler.attempts == 0
    assert not lazy.startup_finished
    await lazy.aclose()


async def test_a_waiter_gets_the_client_when_the_one_who_began_is_cancelled(
    dialler: Dialler,
) -> None:
    # waiter_completes_when_connection_starter_is_cancelled
    dialler.may_connect.clear()
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        starter = asyncio.create_task(lazy.get())
        await asyncio.sleep(0)
        waiter = asyncio.create_task(lazy.get())
        await asyncio.sleep(0)
        starter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starter
        dialler.may_connect.set()
        await waiter
        await lazy.aclose()
    assert dialler.attempts == 1


async def test_a_failure_that_may_pass_is_shared_and_then_forgotten(dialler: Dialler) -> None:
    # retryable_startup_failure_does_not_burn_environment, coalesces_only_concurrent_failures
    dialler.failure = ConnectError("refused")
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        results = await asyncio.gather(*(lazy.get() for _ in range(5)), return_exceptions=True)
        assert results == [dialler.failure] * 5
        assert dialler.attempts == 1
        assert str(lazy.last_error) == "refused"
        dialler.failure = None
        await lazy.get()
        assert dialler.attempts == 2
        assert lazy.last_error is None
        await lazy.aclose()


@requirement("CLIENT-INV-32")
async def test_a_failure_that_stays_is_remembered_as_the_same_error(dialler: Dialler) -> None:
    # terminal_stdio_startup_failure_is_remembered
    error = ServerProgramMissingError("not installed")
    dialler.failure = error
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        depths = set()
        for _ in range(20):
            with pytest.raises(ServerProgramMissingError) as caught:
                await lazy.get()
            assert caught.value is error
            depths.add(len(caught.traceback))
        await lazy.aclose()
    assert dialler.attempts == 1
    assert max(depths) < 10, "the traceback grows with each caller"


@pytest.mark.parametrize(
    ("cause", "attempts"),
    [
        (OSError("500"), 2),  # retryable_startup_failure_does_not_burn_environment
        (RpcError("not you"), 1),
        (MalformedMessageError("no executor"), 1),
    ],
)
async def test_a_refused_upgrade_may_pass_and_a_refused_handshake_stays(
    dialler: Dialler, cause: Exception, attempts: int
) -> None:
    error = HandshakeRejectedError("refused")
    error.__cause__ = cause
    dialler.failure = error
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(HandshakeRejectedError):
                await lazy.get()
        await lazy.aclose()
    assert dialler.attempts == attempts


async def test_a_client_that_recovers_is_still_the_client(dialler: Dialler) -> None:
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        client = await lazy.get()
        dialler.clients[0].state = ClientState.RECOVERING
        assert await lazy.get() is client
        await lazy.aclose()


@requirement("CLIENT-INV-32")
async def test_a_client_that_failed_is_closed_and_replaced_once(dialler: Dialler) -> None:
    # replaces_disconnected_websocket_client_with_one_shared_connection,
    # failed_reconnect_does_not_burn_environment
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        first = await lazy.get()
        dialler.clients[0].state = ClientState.FAILED
        dialler.failure = ConnectError("refused")
        with pytest.raises(ConnectError):
            await lazy.get()
        assert not dialler.clients[0].is_open
        dialler.failure = None
        clients = await asyncio.gather(*(lazy.get() for _ in range(10)))
        assert len({id(client) for client in clients}) == 1
        assert clients[0] is not first
        assert dialler.attempts == 3
        await lazy.aclose()
    assert [client.is_open for client in dialler.clients] == [False] * 3


async def test_what_a_failed_attempt_opened_is_closed(dialler: Dialler) -> None:
    dialler.failure = ConnectError("refused")
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        with pytest.raises(ConnectError):
            await lazy.get()
        assert not dialler.clients[0].is_open
        await lazy.aclose()


async def test_closing_cancels_the_attempt_and_tells_the_waiters_why(dialler: Dialler) -> None:
    # replacing_environment_stops_its_startup_task
    dialler.may_connect.clear()
    lazy = LazyClient(dialler.dial)
    async with asyncio.timeout(5):
        waiter = asyncio.create_task(lazy.get())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await lazy.aclose(reason="the machine is gone")
        with pytest.raises(EnvironmentUnavailableError, match="the machine is gone"):
            await waiter
        with pytest.raises(EnvironmentUnavailableError, match="the machine is gone"):
            await lazy.get()
        await lazy.aclose()
    assert [client.is_open for client in dialler.clients] == [False]


async def test_a_closed_one_says_that_it_was_closed(dialler: Dialler) -> None:
    lazy = LazyClient(dialler.dial)
    await lazy.aclose()
    with pytest.raises(ClientClosedError):
        await lazy.get()
    assert dialler.attempts == 0


async def test_the_status_of_an_environment_never_connects(dialler: Dialler) -> None:
    # environment_status_keeps_stdio_environment_pending
    environment = Environment(dialler.dial, url_cell=UrlCell("ws://h"))
    async with asyncio.timeout(5), environment:
        assert (await environment.status()).state == "pending"
        assert dialler.attempts == 0
        await environment.wait_until_ready()
        assert (await environment.status()).state == "ready"
        assert environment.startup_finished
        dialler.clients[0].state = ClientState.FAILED
        assert (await environment.status()).state == "disconnected"
        dialler.failure = ConnectError("nothing listens")
        with pytest.raises(ConnectError):
            await environment.client()
        status = await environment.status()
        assert (status.state, status.error) == ("disconnected", "nothing listens")
        assert dialler.attempts == 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "ready"}, EnvironmentStatus("ready")),
        ({"status": "draining"}, EnvironmentStatus("pending", "the executor says 'draining'")),
        ([], EnvironmentStatus("pending", "the executor says 'nothing'")),
    ],
)
def test_a_status_is_equal_to_its_state_as_a_text_and_says_why_it_is_not_ready(
    answer: object, status: EnvironmentStatus
) -> None:
    said = status_from_answer(answer)
    assert said == status
    assert said == said.state == str(said)
    assert hash(said) == hash(said.state)
    assert said not in ("disconnected", EnvironmentStatus(said.state, "other"), None)


async def test_a_url_that_is_known_needs_no_waiting() -> None:
    # ready_url_resolves_immediately
    cell = UrlCell("ws://h")
    assert not cell.is_pending
    assert await cell.get() == "ws://h"
    with pytest.raises(UrlNotPendingError, match="exec-server URL is not pending"):
        cell.complete("ws://other")


async def test_a_url_that_arrives_wakes_everybody_and_arrives_once() -> None:
    # pending_url_resolves_once_and_caches_the_result
    cell = UrlCell()
    async with asyncio.timeout(5):
        waiters = [asyncio.create_task(cell.get()) for _ in range(3)]
        await asyncio.sleep(0)
        assert cell.url is None
        cell.complete("ws://h")
        assert await asyncio.gather(*waiters) == ["ws://h"] * 3
        assert await cell.get() == "ws://h"
    with pytest.raises(UrlNotPendingError):
        cell.complete("ws://x")
    with pytest.raises(UrlNotPendingError):
        cell.fail("x")


async def test_the_failure_of_a_url_is_shared() -> None:
    # pending_url_failure_is_shared
    cell = UrlCell()
    async with asyncio.timeout(5):
        waiters = [asyncio.create_task(cell.get()) for _ in range(3)]
        await asyncio.sleep(0)
        cell.fail("no quota")
        for result in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(result, EnvironmentUnavailableError)
            assert str(result) == "environment unavailable: no quota"
        with pytest.raises(EnvironmentUnavailableError, match="no quota"):
            await cell.get()
