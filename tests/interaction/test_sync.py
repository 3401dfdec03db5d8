"""The client without ``async``, against a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from exec_client import sync
from exec_client.errors import ClientClosedError, ConnectError

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_a_command_runs_and_nothing_is_left_behind(server_url: str) -> None:
    threads = threading.active_count()
    files = len(os.listdir("/proc/self/fd"))
    with sync.connect(server_url) as client:
        done = client.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"in")
        assert (done.stdout, done.stderr, done.returncode) == (b"in", b"err\n", 3)
        assert client.status() == "ready"
        assert client.info().shell.path
        assert 0 < client.uptime() < client.uptime()
        assert client.session_id
        assert client.url == server_url
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files
    with pytest.raises(ClientClosedError):
        client.status()


def test_a_process_is_talked_to_and_its_output_iterated(server_url: str) -> None:
    with sync.connect(server_url) as client, client.start(["cat"], stdin=True) as process:
        assert [info.process_id for info in client.list_processes()] == [process.process_id]
        process.write("größe\n")
        assert process.stdout.readline().decode() == "größe\n"
        process.write(b"a\nb\n")
        process.close_stdin()
        assert list(process.stdout.lines()) == ["a", "b"]
        assert process.wait() == 0
        assert process.returncode == 0


def test_events_come_in_their_order(server_url: str) -> None:
    with sync.connect(server_url) as client:
        process = client.start(["sh", "-c", "echo out; exit 7"])
        names = [type(event).__name__ for event in process.events()]
    assert names == ["OutputEvent", "ExitedEvent", "ClosedEvent"]


def test_leaving_the_block_of_a_process_ends_it(server_url: str) -> None:
    with sync.connect(server_url) as client:
        with client.start(["sh", "-c", "echo $$; exec sleep 600"]) as process:
            process.stdout.readline()
        assert process.wait() == 137


def test_one_client_serves_many_threads(server_url: str) -> None:
    with sync.connect(server_url) as client, ThreadPoolExecutor(8) as pool:
        outputs = pool.map(lambda n: client.run(["echo", str(n)]).stdout, range(40))
        assert [int(output) for output in outputs] == list(range(40))


def test_a_server_that_is_not_there_leaves_no_thread() -> None:
    threads = threading.active_count()
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1"):
        sync.connect("ws://127.0.0.1:1")
    assert threading.active_count() == threads


def test_ctrl_c_interrupts_a_call_and_the_client_can_still_be_used(server_url: str) -> None:
    code = f"""
import signal, sys, threading, time
from exec_client.sync import connect
with connect({server_url!r}) as client:
    try:
        print("waiting", flush=True)
        client.run(["sleep", "600"])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(client.run(["echo", "alive"]).stdout.decode(), end="", flush=True)
print(threading.active_count(), flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert rest == "interrupted\nalive\n1\n"
    assert process.returncode == 0


def test_a_program_that_forgets_to_close_still_ends(server_url: str) -> None:
    code = (
        "from exec_client.sync import Environment\n"
        f"a = Environment.remote({server_url!r})\n"
        "b = Environment.local()\n"
        "print(a.run(['echo', 'a']).stdout, b.run(['echo', 'b']).stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("b'a\\n' b'b\\n'\n", "", 0)


def test_a_local_environment_brings_its_own_server() -> None:
    threads = threading.active_count()
    with sync.Environment.local() as environment:
        assert not environment.is_remote
        assert environment.status().state == "pending"
        assert environment.run(["echo", "hi"]).stdout == b"hi\n"
        assert environment.status().state == "ready"
    assert threading.active_count() == threads


def test_every_call_can_be_limited_and_loses_nothing(server_url: str) -> None:
    with sync.connect(server_url) as client, client.start(["cat"], stdin=True) as process:
        for call in (
            lambda: process.wait(timeout=0.05),
            lambda: process.wait_exited(timeout=0.05),
            lambda: process.communicate(timeout=0.05),
            lambda: process.stdout.read(timeout=0.05),
            lambda: process.stdout.readline(timeout=0.05),
        ):
            with pytest.raises(TimeoutError):
                call()
        process.write("half")
        with pytest.raises(TimeoutError):
            process.stdout.readline(timeout=0.2)
        process.write(" of it\n")
        assert process.stdout.readline(timeout=20) == b"half of it\n"
        with sync.timeout(20):
            assert client.run(["echo", "a"]).stdout == b"a\n"
        with pytest.raises(TimeoutError), sync.timeout(0.1):
            next(process.stdout.lines())
        with pytest.raises(TimeoutError), sync.timeout(20), sync.timeout(0.1):
            client.run(["sleep", "60"])
        with pytest.raises(ValueError, match="seconds"), sync.timeout(-1):
            pass
        with pytest.raises(TimeoutError), sync.timeout(0.1):
            with client.start(["sleep", "60"]) as other:
                other.wait()
        assert client.run(["true"]).returncode == 0  # and the clean-up of the block was not cut
        running = {process.process_id, other.process_id}
        with sync.timeout(20):
            while other.process_id in running:
                infos = client.list_processes()
                running = {info.process_id for info in infos if info.state == "running"}
