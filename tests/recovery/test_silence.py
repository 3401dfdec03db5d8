"""Links that die without a word, and sides that stand still: noticed in time, nothing is lost.

The timeouts are a second here; the defaults are twenty. What is measured is the time from
the last byte to the loss, as the client reports it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from exec_client import Client, ClientOptions, ClientState, StateChange, connect
from exec_server import ServerConfig, serve
from exec_server.config import Limits
from exec_testkit.fault_proxy import Cut, Direction, FaultProxy, Kind
from exec_testkit.server import ServerProcess, program

from .networks import Cable, needs_networks, run_with_cable
from .test_boundaries import FULL

pytestmark = [pytest.mark.process, pytest.mark.slow]

_TIMEOUT = 1.0
_OPTIONS = ClientOptions(ping_timeout=_TIMEOUT, connect_timeout=1.0, attempt_timeout=1.0)
_SERVER = ("--peer-timeout-seconds", str(_TIMEOUT), "--log-level", "info")
_LINES = 35
_EXPECTED = b"".join(b"line %d\n" % number for number in range(_LINES))
_SCRIPT = f"i=0; while [ $i -lt {_LINES} ]; do echo line $i; i=$((i+1)); sleep 0.1; done"


class Changes:
    """The states of a client, and when it came to them."""

    def __init__(self, client: Client) -> None:
        self.reasons: list[str] = []
        self._states: list[tuple[ClientState, float]] = []
        self._changed = asyncio.Event()
        self._task = asyncio.ensure_future(self._follow(client.state_changes()))

    async def _follow(self, changes: AsyncIterator[StateChange]) -> None:
        async for change in changes:
            self._states.append((change.new, change.at))
            self.reasons.append(change.reason)
            self._changed.set()

    async def first(self, state: ClientState) -> float:
        """Wait until the client was in ``state``; return when that began."""
        while True:
            for found, at in self._states:
                if found is state:
                    return at
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def _working(url: str, options: ClientOptions = _OPTIONS) -> AsyncIterator[Changes]:
    """A client with a process that says nothing and one that speaks; both must end well."""
    async with asyncio.timeout(60), connect(url, options=options) as client:
        changes = Changes(client)
        quiet = await client.start(["sh", "-c", "sleep 3; echo quiet"])
        speaking = await client.start(["sh", "-c", _SCRIPT])
        yield changes
        outputs = await asyncio.gather(quiet.stdout.read(), speaking.stdout.read())
        assert list(outputs) == [b"quiet\n", _EXPECTED]


# ------------------------------------------------------------------ links


@pytest.mark.parametrize("direction", ["to-client", "to-server"])
async def test_a_link_on_which_nothing_passes_any_more_is_given_up(direction: Direction) -> None:
    silent = Cut(direction, 6, Kind.STALL, seconds=60)

    def plan(number: int) -> Cut | None:
        return silent if number == 0 else None

    with ServerProcess(*_SERVER) as server:
        async with FaultProxy(server.port, plan) as proxy, _working(proxy.url) as changes:
            await changes.first(ClientState.RECOVERING)
            await changes.first(ClientState.CONNECTED)
        assert "nothing came for 1 s" in changes.reasons[0]


@needs_networks
def test_a_client_whose_address_changed_is_back_in_time() -> None:
    async def main(cable: Cable) -> None:
        async with _working(cable.server.url) as changes:
            moved = asyncio.get_running_loop().time()
            cable.move()
            assert await changes.first(ClientState.RECOVERING) - moved < _TIMEOUT + 1
            await changes.first(ClientState.CONNECTED)

    run_with_cable(main, *_SERVER)


@needs_networks
@pytest.mark.parametrize(
    ("to_server", "to_client"),
    [(True, False), (False, True), (True, True)],
    ids=["to-server", "to-client", "both"],
)
@pytest.mark.parametrize("traffic", [True, False], ids=["traffic", "idle"])
def test_a_link_that_swallows_what_is_sent_is_noticed_in_time(
    traffic: bool, to_server: bool, to_client: bool
) -> None:
    async def main(cable: Cable) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60), connect(cable.server.url, options=_OPTIONS) as client:
            changes = Changes(client)
            script = _SCRIPT if traffic else "sleep 3"
            process = await client.start(["sh", "-c", script])
            swallowed = loop.time()
            cable.swallow(to_server=to_server, to_client=to_client)
            if to_client:  # otherwise it hears the server, until that gives it up
                assert await changes.first(ClientState.RECOVERING) - swallowed < _TIMEOUT + 1
            while to_server and "nothing came from a client" not in cable.server.log():
                # Otherwise the client's reset reaches it. Nothing tells of a line in a log.
                assert loop.time() - swallowed < _TIMEOUT + 1
                await asyncio.sleep(0.05)
            cable.heal(to_server=to_server, to_client=to_client)
            assert await process.stdout.read() == (_EXPECTED if traffic else b"")
            assert await process.wait() == 0

    run_with_cable(main, *_SERVER)


@needs_networks
def test_a_client_that_reads_nothing_for_long_keeps_its_connection() -> None:
    """Its system takes no more bytes, which is not silence: the kernel must not give it up."""
    options = ClientOptions(ping_timeout=_TIMEOUT, max_buffered_bytes=1024 * 1024)

    async def main(cable: Cable) -> None:
        async with asyncio.timeout(60), connect(cable.server.url, options=options) as client:
            changes = Changes(client)
            process = await client.start(["head", "-c", "40000000", "/dev/zero"])
            await asyncio.sleep(4 * _TIMEOUT)  # what is shown is that nothing happens
            assert changes.reasons == []
            assert len(await process.stdout.read()) == 40_000_000
            assert changes.reasons == []

    run_with_cable(main, *_SERVER)


async def test_a_server_that_reads_nothing_for_long_keeps_its_connection() -> None:
    """It goes on asking, so its client hears it, and to itself a client that is read by nobody
    is not silent."""
    limits = Limits(stdin_queue_bytes=1, parked_requests=1, waiting_request_bytes=1)
    config = ServerConfig(peer_timeout=_TIMEOUT, limits=limits)
    async with (
        asyncio.timeout(60),
        serve(config) as server,
        connect(server.url, options=_OPTIONS) as client,
    ):
        changes = Changes(client)
        processes = [await client.start(["sleep", "5"], stdin=True) for _ in range(2)]
        writes = [asyncio.ensure_future(p.write(b"x" * 3 * 1024 * 1024)) for p in processes]
        connection = server._admission.connections[0]
        while connection.is_read():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        assert await processes[1].wait() == 0
        await asyncio.gather(*writes, return_exceptions=True)
        assert changes.reasons == []


# ------------------------------------------------------------------ sides that stand still


async def test_a_server_that_was_stopped_is_resumed_and_has_forgotten_nothing() -> None:
    arguments = (*_SERVER, "--session-ttl-seconds", "2")
    with ServerProcess(*arguments) as server:
        async with _working(server.url) as changes:
            server.signal(signal.SIGSTOP)
            await changes.first(ClientState.RECOVERING)
            await asyncio.sleep(3)  # longer than the session is kept while nobody is attached
            server.signal(signal.SIGCONT)
            await changes.first(ClientState.CONNECTED)
        assert "nothing came for 1 s" in changes.reasons[0]


async def test_a_server_that_was_stopped_does_not_expire_what_was_detached_before() -> None:
    with ServerProcess("--session-ttl-seconds", "2") as server:
        first = await connect(server.url)
        session_id = first.session_id
        process = await first.start(["sh", "-c", "sleep 60"])
        await first.aclose()
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(4)
        server.signal(signal.SIGCONT)
        async with asyncio.timeout(20), connect(server.url, session_id=session_id) as second:
            listed = await second.list_processes()
            assert [entry.process_id for entry in listed] == [process.process_id]


async def test_a_server_that_was_stopped_drops_no_client_that_had_something_to_say() -> None:
    patient = ClientOptions(ping_timeout=30, ping_interval=0.2)
    with ServerProcess(*_SERVER) as server:
        async with _working(server.url, patient) as changes:
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(3)
            server.signal(signal.SIGCONT)
        assert changes.reasons[0] == "closed by the caller"


async def test_a_client_whose_loop_was_blocked_is_resumed() -> None:
    with ServerProcess(*_SERVER) as server:
        async with _working(server.url) as changes:
            time.sleep(3)  # noqa: ASYNC251 - its loop is to be held up
            await changes.first(ClientState.RECOVERING)
            await changes.first(ClientState.CONNECTED)


async def test_a_client_that_was_blocked_reads_what_has_come_before_it_judges() -> None:
    with ServerProcess("--log-level", "info") as server:
        async with _working(server.url) as changes:
            time.sleep(3)  # noqa: ASYNC251 - its loop is to be held up
        assert changes.reasons[0] == "closed by the caller"


# ------------------------------------------------------------------ as long as it really takes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stopped", ["client", "server", "both"])
async def test_standing_still_for_forty_seconds_costs_nothing(
    stopped: str, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--cuts") < FULL:
        pytest.skip("takes a minute: with the soak")
    script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.5; done"
    with ServerProcess() as server:
        client = await asyncio.create_subprocess_exec(
            *(program("exec-client"), "run", "--url", server.url, "--", "sh", "-c", script),
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        first = await client.stdout.readline()
        pids = {"client": [client.pid], "server": [server.pid]}
        for pid in pids.get(stopped, [client.pid, server.pid]):
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(40)
        for pid in pids.get(stopped, [client.pid, server.pid]):
            os.kill(pid, signal.SIGCONT)
        rest = await client.stdout.read()
        assert first + rest == b"".join(b"line %d\n" % number for number in range(100))
        assert await client.wait() == 0
