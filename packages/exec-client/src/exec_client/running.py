"""One command from its start to its end, with all of its output."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from exec_server_protocol.errors import RpcError

from .errors import ClientError, ProcessFailedError, TimeoutExpired
from .process import CompletedProcess, Process

__all__ = ["run_to_end"]

logger = logging.getLogger(__name__)

_KILL_SECONDS: Final = 2.0
"""For the last output of a command that was killed: something that escaped from its group
may hold its pipes for as long as it likes."""


async def run_to_end(
    process: Process, *, input: bytes | str | None, timeout: float | None, check: bool
) -> CompletedProcess:
    """Give a command its input and collect what it writes; see ``Client.run``."""
    parts: tuple[bytes, bytes] | None = None
    async with process:
        try:
            async with asyncio.timeout(timeout):
                parts = await process.communicate(input)
                returncode = await process.wait()
        except TimeoutError as error:
            out, err = parts or await _collect_killed(process)
            raise TimeoutExpired(process.argv, timeout or 0, out, err) from error
    if check and returncode != 0:
        raise ProcessFailedError(process.argv, returncode, *parts)
    gaps = process.stdout.gaps + process.stderr.gaps
    return CompletedProcess(process.argv, returncode, *parts, gaps)


async def _collect_killed(process: Process) -> tuple[bytes, bytes]:
    """Kill a command and return what it has written."""
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            await process.terminate()
            await process.wait()
    except (TimeoutError, ClientError, RpcError) as error:
        logger.debug("the end of a killed command was not seen: %s", type(error).__name__)
    return process.stdout.take_all(), process.stderr.take_all()
