"""The loop behind the client without ``async``."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from exec_client import sync
from exec_client.client import Client
from exec_client.environment import Environment
from exec_client.errors import ClientClosedError
from exec_client.process.output import OutputStream
from exec_client.process.process import Process
from exec_client.sync.portal import Portal, timeout


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


def portal_threads() -> int:
    return sum(thread.name == "exec-client-sync" for thread in threading.enumerate())


async def give(value: str) -> str:
    await asyncio.sleep(0)
    return value


async def fail() -> None:
    raise ZeroDivisionError


def test_a_call_returns_what_the_coroutine_returns_or_raises(portal: Portal) -> None:
    assert portal.call(give("x")) == "x"
    with pytest.raises(ZeroDivisionError):
        portal.call(fail())


def test_calls_come_from_many_threads_at_once(portal: Portal) -> None:
    barrier_count = 8
    arrived = 0
    all_here = asyncio.Event()

    async def meet() -> None:
        nonlocal arrived
        arrived += 1
        if arrived == barrier_count:
            all_here.set()
        await all_here.wait()

    threads = [threading.Thread(target=lambda: portal.call(meet())) for _ in range(barrier_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_closing_leaves_what_was_entered_and_ends_the_thread() -> None:
    left = []

    @asynccontextmanager
    async def resource() -> AsyncIterator[str]:
        yield "open"
        left.append(threading.current_thread().name)

    portal = Portal()
    assert portal.enter(resource()) == "open"
    assert portal_threads() == 1
    portal.close()
    portal.close()
    assert left == ["exec-client-sync"]
    assert portal_threads() == 0
    assert not portal.is_open
    with pytest.raises(ClientClosedError):
        portal.call(give("x"))


def test_a_failure_of_leaving_is_raised_and_the_thread_ends_all_the_same() -> None:
    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        yield
        raise ZeroDivisionError

    portal = Portal()
    portal.enter(resource())
    with pytest.raises(ZeroDivisionError):
        portal.close()
    assert portal_threads() == 0


def test_closing_ends_the_calls_that_are_under_way() -> None:
    portal = Portal()
    begun = threading.Event()
    errors: list[BaseException] = []

    async def wait_for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            portal.call(wait_for_ever())
        except ClientClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert begun.wait(5)
    portal.close()
    thread.join(5)
    assert len(errors) == 1


def test_a_forgotten_portal_ends_its_thread() -> None:
    portal = Portal()
    assert portal.call(give("x")) == "x"
    del portal
    gc.collect()
    assert portal_threads() == 0


def test_a_call_from_its_own_loop_is_refused_instead_of_hanging(portal: Portal) -> None:
    async def call() -> None:
        portal.call(give("x"))

    with pytest.raises(RuntimeError, match="own event loop"):
        portal.call(call())


def test_a_timeout_ends_the_call_that_is_under_way_and_no_other(portal: Portal) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cleaned up")

    async def answer() -> int:
        return 7

    with pytest.raises(TimeoutError), timeout(0.05):
        portal.call(wait())
    assert ended == ["cleaned up"]
    with timeout(0):
        with pytest.raises(TimeoutError):
            portal.call(wait())
        assert portal.call(answer()) == 7  # what a block does to clean up has no limit
    assert portal.call(answer()) == 7


@pytest.mark.process
def test_ctrl_c_cancels_the_call_and_waits_for_its_clean_up() -> None:
    code = """
import asyncio
from exec_client.sync.portal import Portal
portal = Portal()
async def work():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.1)
        print("cleaned", flush=True)
try:
    portal.call(work())
except KeyboardInterrupt:
    print("interrupted", flush=True)
async def again():
    print("alive", flush=True)
portal.call(again())
portal.close()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert rest == "cleaned\ninterrupted\nalive\n"


@pytest.mark.parametrize("before", [False, True])
def test_ctrl_c_while_a_call_begins_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    portal = Portal()
    begin = portal._core.begin
    begun = threading.Event()
    ended: list[str] = []

    def interrupted(job: Any) -> None:
        if before:
            raise KeyboardInterrupt
        begin(job)
        assert begun.wait(10)
        raise KeyboardInterrupt

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    with monkeypatch.context() as patch:
        patch.setattr(portal._core, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            portal.call(work())

    async def others() -> int:
        return len(asyncio.all_tasks()) - 1  # this one

    assert portal.call(others()) == 1  # what waits for the order to stop
    assert ended == ([] if before else ["work"])
    portal.close()


CLIENT = "url session_id environment_info state start run list_processes status info call"
PROCESS = (
    "process_id returncode failure events read wait_changed write close_stdin resize send_signal "
    "terminate wait communicate"
)
ENVIRONMENT = (
    "remote local create is_remote exec_server_url wait_until_ready status info start run "
    "list_processes"
)


@pytest.mark.parametrize(
    ("plain", "original", "names"),
    [
        (sync.Client, Client, CLIENT + " state_changes"),
        (sync.Process, Process, PROCESS),
        (sync.OutputStream, OutputStream, "read readline text lines"),
        (sync.Environment, Environment, ENVIRONMENT),
    ],
)
def test_the_names_are_the_same_with_and_without_async(
    plain: type, original: type, names: str
) -> None:
    # Attributes that are only set on objects have no place in a class.
    on_objects = {"url", "is_remote"}
    for name in names.split():
        assert hasattr(plain, name), name
        assert hasattr(original, name) or name in on_objects, name
