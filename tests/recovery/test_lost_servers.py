"""Servers that are gone for good."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from exec_client import (
    ClientOptions,
    ClientState,
    Environment,
    FailedEvent,
    ProcessBrokenError,
    RecoveryDeadlineError,
    SessionExpiredError,
    connect,
)
from exec_testkit.fault_proxy import FaultProxy
from exec_testkit.requirements import requirement
from exec_testkit.server import ServerProcess

pytestmark = [pytest.mark.process, pytest.mark.slow]


@requirement("CLIENT-INV-11", "CLIENT-INV-14", "CLIENT-R17", "CLIENT-INV-19")
async def test_everything_fails_with_one_error_within_the_deadline() -> None:
    with ServerProcess() as server:
        options = ClientOptions(recovery_deadline=0.6, retry_delay=0.05)
        tasks = len(asyncio.all_tasks())
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        async with connect(server.url, options=options) as client, asyncio.timeout(20):
            process = await client.start(["sleep", "60"])
            events = process.events()
            waiters = [
                asyncio.ensure_future(waiter)
                for waiter in (
                    process.wait(),
                    process.stdout.read(),
                    client.info(),
                )
            ]
            server.signal(signal.SIGKILL)
            server.wait()
            started = asyncio.get_running_loop().time()
            late = asyncio.ensure_future(client.status())
            results = await asyncio.gather(*waiters, late, return_exceptions=True)
            assert asyncio.get_running_loop().time() - started < 0.6 + 1.0
            assert client.state is ClientState.FAILED
            with pytest.raises(RecoveryDeadlineError) as caught:
                await client.status()
            text = str(caught.value)
            assert "recovery timed out after 0.6s" in text
            assert {str(result) for result in results} == {text}
            assert [event async for event in events] == [FailedEvent(text)]
            answer = await process.read()
            assert (answer.failure, answer.closed, answer.exit_code) == (text, True, None)
            with pytest.raises(ProcessBrokenError):
                await process.stdout.read()
        assert len(asyncio.all_tasks()) == tasks
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) <= files


@requirement("CLIENT-INV-34", "CLIENT-INV-15")
async def test_a_session_that_the_server_forgot_ends_the_client_at_once() -> None:
    with ServerProcess("--session-ttl-seconds", "0") as server:
        async with FaultProxy(server.port) as proxy, asyncio.timeout(20):
            async with connect(proxy.url) as client:
                process = await client.start(["sleep", "60"])
                proxy.cut_all()
                with pytest.raises(ProcessBrokenError, match="unknown session"):
                    await process.wait()
                with pytest.raises(SessionExpiredError, match="unknown session"):
                    await client.status()
                before = proxy.connections
                async with connect(server.url) as other:  # time for attempts that must not come
                    await other.run(["sleep", "0.3"])
                assert proxy.connections == before


@requirement("CLIENT-INV-32", "CLIENT-INV-34")
async def test_a_new_session_without_the_old_processes_follows_one_that_was_forgotten() -> None:
    with ServerProcess("--session-ttl-seconds", "0") as server:
        async with FaultProxy(server.port) as proxy, asyncio.timeout(20):
            async with Environment.remote(proxy.url) as environment:
                first = await environment.client()
                processes = [await first.start(["sleep", "60"]) for _ in range(3)]
                events = [process.events() for process in processes]
                proxy.cut_all()
                for process, seen in zip(processes, events, strict=True):
                    with pytest.raises(ProcessBrokenError, match="unknown session"):
                        await process.wait()
                    assert [type(event) for event in [e async for e in seen]] == [FailedEvent]
                dialled = proxy.connections
                clients = await asyncio.gather(*(environment.client() for _ in range(10)))
                assert proxy.connections == dialled + 1
                (second,) = set(clients)
                assert second.session_id != first.session_id
                assert await second.list_processes() == []


@requirement("CLIENT-INV-19")
async def test_a_read_of_a_closed_process_says_what_failed_once_the_client_has() -> None:
    with ServerProcess() as server:
        options = ClientOptions(recovery_deadline=0.2, retry_delay=0.05)
        async with connect(server.url, options=options) as client, asyncio.timeout(20):
            process = await client.start(["echo", "hello"])
            assert await process.wait() == 0
            assert [chunk.chunk for chunk in (await process.read()).chunks] == [b"hello\n"]
            server.signal(signal.SIGKILL)
            server.wait()
            answer = await process.read()
            assert (answer.chunks, answer.closed, answer.exit_code) == ([], True, None)
            assert "recovery timed out" in str(answer.failure)
            assert await process.wait() == 0  # what was learned before stays
