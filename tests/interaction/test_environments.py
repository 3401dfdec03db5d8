"""Environments against real servers.

The names in the comments are those of the reference client's tests of the same behaviour.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest
from exec_client.environment import (
    Environment,
    EnvironmentManager,
    EnvironmentSnapshot,
    EnvironmentUnavailableError,
    RemoteEnvironment,
    snapshot_from_url,
)
from exec_client.errors import ConnectError

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 20.0


def remote(server_url: str) -> EnvironmentSnapshot:
    return snapshot_from_url(server_url)


async def test_the_local_environment_starts_its_server_at_its_first_use(tmp_path: Path) -> None:
    # create_local_environment_does_not_connect, default_environment_has_ready_local_executor,
    # local_environment_info_includes_current_directory
    async with asyncio.timeout(WAIT_S), Environment.local(cwd=tmp_path) as environment:
        assert environment.startup_finished
        assert (await environment.status()).state == "pending"
        info = await environment.info()
        assert info.cwd is not None
        assert info.cwd.to_native() == os.fsencode(tmp_path)
        assert (await environment.status()).state == "ready"
        done = await environment.run(["pwd"])
        assert done.stdout.decode().strip() == str(tmp_path)


async def test_a_local_environment_gets_a_new_server_after_its_own_has_died() -> None:
    # failed_reconnect_does_not_burn_environment
    async with asyncio.timeout(60), Environment.local() as environment:
        first = await environment.client()
        done = await environment.run(["sh", "-c", "echo $PPID"])
        os.kill(int(done.stdout), 9)
        async for change in first.state_changes():
            if change.new.name == "FAILED":
                break
        second = await environment.client()
        assert second is not first
        assert second.session_id != first.session_id
        assert (await environment.run(["echo", "again"])).stdout == b"again\n"


async def test_an_executor_tells_for_how_long_it_has_listened(server_url: str) -> None:
    started = time.monotonic()
    async with asyncio.timeout(WAIT_S), Environment.local() as environment:
        first = await environment.uptime()
        assert first <= await environment.uptime() < time.monotonic() - started
        async with Environment.remote(server_url) as older:
            assert await older.uptime() > await environment.uptime()


async def test_users_of_one_environment_share_one_connection(server_url: str) -> None:
    # environment_manager_default_environment_caches_environment,
    # initial_connection_is_shared_by_all_waiters
    async with asyncio.timeout(WAIT_S), EnvironmentManager(remote(server_url)) as manager:
        environment = manager.get()
        assert environment is not None
        clients = await asyncio.gather(*(environment.client() for _ in range(10)))
        assert len({id(client) for client in clients}) == 1
        assert manager.get() is environment
        assert manager.get("remote") is environment
        assert manager.get("local") is None


async def test_remote_environments_connect_before_they_are_used() -> None:
    # environment_manager_starts_remote_environment_when_upserted
    called = asyncio.Queue[str]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.put_nowait((await reader.readline()).decode())
        writer.close()

    async with asyncio.timeout(WAIT_S), await asyncio.start_server(accept, "127.0.0.1") as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with EnvironmentManager(remote(url)) as manager:
            assert (await called.get()).startswith("GET / ")
            await manager.upsert("another", url)
            assert (await called.get()).startswith("GET / ")


async def test_a_pending_environment_connects_when_its_url_arrives(server_url: str) -> None:
    # pending_environment_connects_after_url_is_supplied
    async with asyncio.timeout(WAIT_S), EnvironmentManager(EnvironmentSnapshot()) as manager:
        environment = manager.register_pending("later")
        waiting = asyncio.create_task(environment.run(["echo", "here"]))
        await asyncio.sleep(0)
        assert (await environment.status()).state == "pending"
        manager.complete_pending("later", server_url)
        assert (await waiting).stdout == b"here\n"


async def test_a_replaced_environment_keeps_its_processes(server_url: str) -> None:
    async with asyncio.timeout(WAIT_S), EnvironmentManager(remote(server_url)) as manager:
        old = manager.get("remote")
        assert old is not None
        process = await old.start(["cat"], stdin=True)
        new = await manager.upsert("remote", server_url)
        assert manager.get("remote") is new
        assert manager.default_id == "remote"
        assert await process.communicate(b"still here") == (b"still here", b"")
        assert (await new.run(["echo", "new"])).stdout == b"new\n"


async def test_replacing_a_pending_environment_fails_whoever_waits_for_it(
    server_url: str,
) -> None:
    # replacing_pending_environment_fails_its_existing_waiters
    async with asyncio.timeout(WAIT_S), EnvironmentManager(EnvironmentSnapshot()) as manager:
        environment = manager.register_pending("later")
        waiting = asyncio.create_task(environment.client())
        await asyncio.sleep(0)
        new = await manager.upsert("later", server_url)
        with pytest.raises(EnvironmentUnavailableError, match="`later` was replaced"):
            await waiting
        assert (await new.run(["true"])).returncode == 0


async def test_a_server_that_comes_up_later_is_reached_by_the_next_use(server_url: str) -> None:
    # retryable_startup_failure_does_not_burn_environment
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{placeholder.getsockname()[1]}"
    snapshot = EnvironmentSnapshot(remotes=(RemoteEnvironment("late", url),), default="late")
    async with asyncio.timeout(WAIT_S), EnvironmentManager(snapshot) as manager:
        environment = manager.get()
        assert environment is not None
        with pytest.raises(ConnectError):
            await environment.client()
        assert (await environment.status()).state == "disconnected"
        port = int(url.rpartition(":")[2])
        target = int(server_url.rpartition(":")[2])

        async def forward(near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
            far, back = await asyncio.open_connection("127.0.0.1", target)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(near, back))
                group.create_task(_copy(far, out))

        async with await asyncio.start_server(forward, "127.0.0.1", port):
            assert (await environment.run(["echo", "late"])).stdout == b"late\n"
            await environment.aclose()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()
