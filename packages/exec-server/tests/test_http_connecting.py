"""Names and addresses: threads that nothing waits for, and every address gets its chance."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import httpcore
import pytest
from exec_server.http.connecting import Connector
from exec_server.http.resolver import NameNotFoundError, Resolver


def names(*addresses: str) -> Resolver:
    return Resolver(lambda host: addresses)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


async def test_an_address_needs_no_lookup() -> None:
    def lookup(host: str) -> Sequence[str]:
        raise AssertionError("looked up")

    for address in ("127.0.0.1", "::1"):
        assert await Resolver(lookup).addresses(address) == [address]


async def test_addresses_of_both_families_come_in_turns_and_once() -> None:
    found = names("::1", "::2", "::1", "10.0.0.1", "::3", "10.0.0.2")
    expected = ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]
    assert await found.addresses("x.test") == expected


@pytest.mark.parametrize("error", [socket.gaierror("no"), UnicodeError("long"), None])
async def test_a_name_without_addresses_is_not_found(error: Exception | None) -> None:
    def lookup(host: str) -> Sequence[str]:
        if error is not None:
            raise error
        return ()

    with pytest.raises(NameNotFoundError):
        await Resolver(lookup).addresses("x.test")
    with pytest.raises(httpcore.ConnectError):
        await Connector(Resolver(lookup)).connect_tcp("x.test", 80)


async def test_lookups_that_hang_are_bounded_and_hold_up_no_address() -> None:
    proceed, started = threading.Event(), threading.Semaphore(0)

    def lookup(host: str) -> Sequence[str]:
        started.release()
        proceed.wait(20)
        return ["127.0.0.1"]

    resolver = Resolver(lookup)
    tasks = [asyncio.ensure_future(resolver.addresses(f"{n}.test")) for n in range(40)]
    for _ in range(32):
        assert await asyncio.to_thread(started.acquire, timeout=10)
    assert await resolver.addresses("127.0.0.1") == ["127.0.0.1"]
    for task in tasks[:20]:
        task.cancel()
    await asyncio.wait(tasks[:20])
    assert not started.acquire(blocking=False)  # the places are taken until the threads end
    proceed.set()
    assert await asyncio.gather(*tasks[20:]) == [["127.0.0.1"]] * 20


def test_a_lookup_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    code = """
import asyncio, threading
from exec_server.http.resolver import Resolver

async def main():
    names = Resolver(lambda host: threading.Event().wait())
    try:
        async with asyncio.timeout(0.1):
            await names.addresses("x.test")
    except TimeoutError:
        print("over")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("over\n", "")


async def test_a_connection_needs_one_descriptor_if_there_is_no_other(
    listener: socket.socket,
) -> None:
    address = listener.getsockname()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(listener.fileno())
    os.close(lowest)
    connector = Connector(names())
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
    try:
        stream = await connector.connect_tcp("127.0.0.1", address[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    peer, _ = listener.accept()
    with peer:
        await stream.write(b"asked", 10)
        assert peer.recv(100) == b"asked"
    await stream.aclose()


async def test_an_address_that_refuses_is_followed_by_the_next(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    stream = await Connector(names("127.0.0.2", "127.0.0.1")).connect_tcp("x.test", port)
    assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
    await stream.aclose()


class Silent(Connector):
    """Connects nowhere but to 127.0.0.1, and never says so.

    Attributes:
        begun: Addresses that were tried.
        cancelled: Addresses that were given up.
    """

    def __init__(self, names: Resolver) -> None:
        super().__init__(names)
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.cancelled: list[str] = []

    async def connect(self, host: str, *rest: object) -> httpcore.AsyncNetworkStream:
        if host == "127.0.0.1":
            return await super().connect(host, *rest)
        self.begun.put_nowait(host)
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.append(host)
        raise AssertionError


async def test_an_address_that_is_silent_is_overtaken(listener: socket.socket) -> None:
    connector = Silent(names("192.0.2.1", "192.0.2.2", "127.0.0.1"))
    async with asyncio.timeout(10):
        stream = await connector.connect_tcp("x.test", listener.getsockname()[1])
    assert sorted(connector.cancelled) == ["192.0.2.1", "192.0.2.2"]
    await stream.aclose()


async def test_when_all_refuse_the_error_says_why() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(httpcore.ConnectError):
        await Connector(names("127.0.0.1", "127.0.0.2")).connect_tcp("x.test", port)


async def test_cancelling_gives_every_address_up() -> None:
    connector = Silent(names("192.0.2.1", "192.0.2.2"))
    connecting = asyncio.ensure_future(connector.connect_tcp("x.test", 80))
    for address in ("192.0.2.1", "192.0.2.2"):
        assert await connector.begun.get() == address
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert sorted(connector.cancelled) == ["192.0.2.1", "192.0.2.2"]
