"""The home of a client: the process and the event loop in which it works, and nowhere else."""

from __future__ import annotations

import asyncio
import os

from .errors import WrongContextError

__all__ = ["Home", "check_process", "running_loop"]


class Home:
    """Remembers where it was first checked. Each wait checks it: elsewhere none would end."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Raise unless this is the process and the event loop of the first check.

        Raises:
            WrongContextError: It is not. Nothing was sent.
        """
        check_process(self._pid)  # first: a forked child has no running loop
        loop = running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongContextError(
                "this client belongs to another event loop: make one in each loop, or use "
                "exec_client.sync, whose objects all threads may share"
            )


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs.

    Raises:
        WrongContextError: None of asyncio runs here: another library's does, or none at all.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise WrongContextError(
            "exec_client needs a running event loop of asyncio; under trio, use "
            "exec_client.sync in a thread (trio.to_thread.run_sync)"
        ) from error


def check_process(pid: int) -> None:
    """Raise unless ``pid`` is this process.

    Raises:
        WrongContextError: This is a child that was forked from it.
    """
    if os.getpid() != pid:
        raise WrongContextError(
            "this client was made before os.fork, and its connection belongs to the parent: "
            "connect in the child, or let multiprocessing spawn"
        )
