"""Networks of our own, for tests of links that die: root only, and Linux.

The client runs in a thread that has a network namespace of its own, the server in another
one, with a cable between them. So nothing of the machine's network is touched, and nothing
is left when the test ends, however it does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from exec_testkit.server import ServerProcess, program

__all__ = ["Cable", "needs_networks", "run_with_cable"]

_CLONE_NEWNET: Final = 0x40000000
_CLIENT: Final = "10.7.7.1"
_MOVED: Final = "10.7.7.3"
_SERVER: Final = "10.7.7.2"
_NOBODY: Final = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
_DEADLINE_SECONDS: Final = 90.0


def _missing() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "making a network takes root on Linux"
    for name in ("ip", "nsenter", "unshare"):
        if shutil.which(name) is None:
            return f"there is no `{name}` here"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "network namespaces are not allowed here"


needs_networks = pytest.mark.skipif(bool(_missing()), reason=_missing())


class Cable:
    """The link between a client and a server, and what may happen to it.

    Attributes:
        server: At the other end.
    """

    def __init__(self, far: int, *arguments: str) -> None:
        self._far = ["nsenter", "--net", "--target", str(far)]
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(far))
        self._run_far("ip", "address", "add", f"{_SERVER}/24", "dev", "far")
        self._run_far("ip", "link", "set", "far", "up")
        _run("ip", "address", "add", f"{_CLIENT}/24", "dev", "near")
        _run("ip", "link", "set", "near", "up")
        listen = ("--listen", f"ws://{_SERVER}:0", "--allow-unauthenticated")
        command = [*self._far, program("exec-server"), "--exit-on-stdin-close", *listen]
        self.server = ServerProcess(*arguments, command=command)

    def _run_far(self, *command: str) -> None:
        _run(*self._far, *command)

    def move(self) -> None:
        """Give the client another address: nothing gets through to the one that it had."""
        _run("ip", "address", "delete", f"{_CLIENT}/24", "dev", "near")
        _run("ip", "address", "add", f"{_MOVED}/24", "dev", "near")

    def swallow(self, *, to_server: bool, to_client: bool) -> None:
        """Let what is sent in these directions vanish: it goes to a machine that is not there."""
        if to_server:
            _run("ip", "neigh", "replace", _SERVER, *_NOBODY, "dev", "near")
        if to_client:
            self._run_far("ip", "neigh", "replace", _CLIENT, *_NOBODY, "dev", "far")

    def heal(self, *, to_server: bool, to_client: bool) -> None:
        """Let it through again."""
        if to_server:
            _run("ip", "neigh", "delete", _SERVER, "dev", "near")
        if to_client:
            self._run_far("ip", "neigh", "delete", _CLIENT, "dev", "far")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def run_with_cable(main: Callable[[Cable], Awaitable[None]], *arguments: str) -> None:
    """Run ``main`` with a server at the other end of a cable.

    Args:
        main: Gets the cable.
        *arguments: Further arguments of the server.
    """
    failures: list[BaseException] = []

    def body() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:  # of this thread alone
            raise OSError(ctypes.get_errno(), "unshare")
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        try:
            _wait_for_network(holder.pid)
            cable = Cable(holder.pid, *arguments)
            with cable.server:
                asyncio.run(bounded(cable))
        finally:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait()

    async def bounded(cable: Cable) -> None:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await main(cable)

    def guarded() -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _wait_for_network(pid: int) -> None:
    """Wait until a child has a network of its own: it has it before it runs its program."""
    ours = os.readlink("/proc/thread-self/ns/net")
    while os.readlink(f"/proc/{pid}/ns/net") == ours:
        os.sched_yield()
