"""The proxy cuts where it is told to, and nowhere else."""

from __future__ import annotations

import asyncio

import pytest
from exec_testkit.fault_proxy import Cut, FaultProxy, Kind
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("size", [1, 125, 126, 70_000])
@pytest.mark.parametrize("frame", [0, 1, 3])
async def test_exactly_the_frames_before_the_cut_get_through(size: int, frame: int) -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with FaultProxy(port, lambda _: Cut("to-client", frame)) as proxy:
            connection = await connect(proxy.url, compression=None)
            received = 0
            async with asyncio.timeout(10):
                try:
                    for _ in range(5):
                        await connection.send("x" * size)
                        assert len(await connection.recv()) == size
                        received += 1
                except ConnectionClosed:
                    pass
            assert received == frame


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.DELAY])
async def test_every_kind_of_cut_ends_the_client_s_connection(kind: Kind) -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with FaultProxy(port, lambda _: Cut("to-server", 0, kind)) as proxy:
            connection = await connect(proxy.url, compression=None)
            await connection.send("hello")
            async with asyncio.timeout(10):
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
            assert proxy.applied == 1


async def test_a_delayed_frame_comes_late_and_whole() -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with FaultProxy(port, lambda _: Cut("to-client", 1, Kind.DELAY, 0.2)) as proxy:
            async with asyncio.timeout(10), connect(proxy.url, compression=None) as connection:
                started = asyncio.get_running_loop().time()
                for number in range(4):
                    await connection.send(str(number))
                assert [await connection.recv() for _ in range(4)] == ["0", "1", "2", "3"]
                assert asyncio.get_running_loop().time() - started >= 0.2
            assert proxy.applied == 1


async def test_nobody_listens_during_a_refusal_and_the_port_stays_the_same() -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        plan = {0: Cut("to-client", 0, Kind.REFUSED, 0.3)}
        async with FaultProxy(port, plan.get) as proxy, asyncio.timeout(10):
            url = proxy.url
            connection = await connect(url, compression=None)
            await connection.send("hello")
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            with pytest.raises(ConnectionRefusedError):
                await connect(url, compression=None)
            while True:
                try:
                    again = await connect(url, compression=None)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
            await again.send("hello")
            assert await again.recv() == "hello"
            await again.close()


async def test_later_connections_pass_untouched_when_the_plan_says_so() -> None:
    async with serve(_echo, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        plan = {0: Cut("to-client", 0)}
        async with FaultProxy(port, plan.get) as proxy:
            for _ in range(2):
                connection = await connect(proxy.url, compression=None)
                await connection.send("hello")
                async with asyncio.timeout(10):
                    try:
                        answer: str | bytes | None = await connection.recv()
                    except ConnectionClosed:
                        answer = None
                await connection.close()
            assert answer == "hello"
            assert proxy.connections == 2
