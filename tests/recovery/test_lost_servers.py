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
                await asyncio.sleep(0)
                assert proxy.connections == before


async def test_spool_files_are_gone_whatever_ends_the_server(tmp_path: object) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with ServerProcess("--spool-dir", str(tmp_path)) as server:
            async with FaultProxy(server.port) as proxy, asyncio.timeout(20):
                client = await connect(proxy.url, options=ClientOptions(recovery_deadline=0))
                process = await client.start(["sh", "-c", "yes | head -c 30000000; sleep 60"])
                proxy.cut_all()
                with pytest.raises(ProcessBrokenError):
                    await process.wait()
                await client.aclose()
                used = _deleted_files(server.pid, str(tmp_path))
                async with connect(server.url) as other:
                    while not used:
                        await other.run(["sleep", "0.05"])
                        used = _deleted_files(server.pid, str(tmp_path))
            server.signal(number)
            server.wait()
        assert os.listdir(str(tmp_path)) == []


def _deleted_files(pid: int, directory: str) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith(directory):
            found.append(target)
    return found
