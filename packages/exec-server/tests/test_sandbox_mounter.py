"""The program that mounts in sandboxes: it ends when nobody asks, and is there on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from exec_server.sandbox.errors import SandboxUnavailableError
from exec_server.sandbox.mounter import Mounter
from exec_testkit.liveness import descendants, wait_gone

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs namespaces of Linux"),
    pytest.mark.process,
]


@pytest.fixture
def somebody() -> Iterator[int]:
    """A process in namespaces of its own, of which the mounts are received from outside."""
    command = ["unshare", "--user", "--mount", "--propagation", "slave"]
    wait = "import sys; print(flush=True); sys.stdin.read()"
    popen = subprocess.Popen(
        [*command, sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with popen:
        assert popen.stdout is not None
        if not popen.stdout.readline():
            pytest.skip("user namespaces are not allowed here")
        yield popen.pid
        popen.kill()


def programs() -> set[int]:
    return descendants(os.getpid()) - {os.getpid()}


def deadline() -> float:
    return time.monotonic() + 20


def test_it_starts_anew_when_it_has_ended(somebody: int) -> None:
    mounter, before = Mounter(), programs()
    for _ in range(3):
        mounter.make_private(somebody, deadline())
        with open(f"/proc/{somebody}/mountinfo", encoding="utf-8") as file:
            assert "master:" not in file.read()
        for pid in programs() - before:
            with suppress(ProcessLookupError):  # what it forks for a request ends by itself
                os.kill(pid, 9)
            assert wait_gone(pid)
    mounter.start().close()


def test_what_is_in_no_sandbox_is_left_alone() -> None:
    mounter = Mounter()
    with pytest.raises(SandboxUnavailableError, match="namespace"):
        mounter.make_private(os.getpid(), deadline())
    mounter.start().close()
