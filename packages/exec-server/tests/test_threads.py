"""Threads for what may block."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from exec_server.runtime.threads import BlockingThreads


def test_results_and_errors_come_back() -> None:
    threads = BlockingThreads(2, "test")
    assert threads.submit(lambda: 5).result(10) == 5
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(10)
    threads.close()


def test_there_are_never_more_than_the_limit_and_the_others_wait() -> None:
    threads = BlockingThreads(2, "test")
    go = threading.Event()

    def name_later() -> str:
        assert go.wait(10)
        return threading.current_thread().name

    names = [threads.submit(name_later) for _ in range(4)]
    assert not any(future.done() for future in names)
    go.set()
    assert {future.result(10) for future in names} <= {"test-1", "test-2"}
    threads.close()


def test_what_has_not_begun_is_cancelled_by_the_end() -> None:
    threads = BlockingThreads(1, "test")
    go, begun = threading.Event(), threading.Event()

    def run() -> bool:
        begun.set()
        return go.wait(10)

    running = threads.submit(run)
    assert begun.wait(10)
    waiting = threads.submit(lambda: None)
    threads.close()
    assert waiting.cancelled()
    go.set()
    assert running.result(10)
    with pytest.raises(RuntimeError):
        threads.submit(lambda: None)


def test_a_thread_that_is_stuck_does_not_keep_the_program_from_ending() -> None:
    program = (
        "import threading\n"
        "from exec_server.runtime.threads import BlockingThreads\n"
        "threads = BlockingThreads(1, 'stuck')\n"
        "begun = threading.Event()\n"
        "threads.submit(lambda: begun.set() or threading.Event().wait())\n"
        "begun.wait()\n"
        "threads.close()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
