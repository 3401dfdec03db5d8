"""A transport of the ``mcp`` package: an MCP server that runs on an executor.

::

    from exec_client import ClientOptions, connect
    from exec_client.mcp import stdio_client
    from mcp import ClientSession, StdioServerParameters

    params = StdioServerParameters(command="my-mcp-server")
    async with connect(url, options=ClientOptions(replay_writes=True)) as client:
        async with stdio_client(client, params) as (read, write):
            async with ClientSession(read, write) as session:
                await session.initialize()

Works with ``mcp`` 1 and 2. Needs the extra ``exec-client[mcp]``; nothing else in this package
imports this module.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

try:
    import anyio
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client.stdio import StdioServerParameters
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage
    from pydantic import TypeAdapter
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"exec_client.mcp needs {error.name}: pip install 'exec-client[mcp]'", name=error.name
    ) from error

from exec_server_protocol.errors import RpcError
from exec_server_protocol.process import CAPABILITY_CLOSE_STDIN

from .client import Client
from .errors import ClientError, ConnectionBrokenError
from .process.process import Process

__all__ = ["stdio_client"]

logger = logging.getLogger(__name__)

_MESSAGE_CHARACTERS: Final = 64 * 1024 * 1024
"""Of one message. Large enough for files in base64; a server that never ends a line stops here."""
_EXIT_SECONDS: Final = 2.0
"""For a server to end by itself once its stdin has; the SDK's own transport gives as much."""
_TERMINATE_SECONDS: Final = 5.0
"""To kill a server. Cancellation waits for it, so it is far shorter than a recovery may take."""

_Incoming: TypeAlias = SessionMessage | Exception

_MESSAGE: Final = TypeAdapter[Any](JSONRPCMessage)
"""Reads a message. ``JSONRPCMessage`` is a model in ``mcp`` 1 and a union of models in 2."""
_IS_FIRST: Final = hasattr(JSONRPCMessage, "model_fields")
"""Whether this is ``mcp`` 1, for which null and absent are the same; 2 sends a null that it was
given. Both are the rules of the SDK's own transport."""


@asynccontextmanager
async def stdio_client(
    client: Client, params: StdioServerParameters
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[_Incoming], MemoryObjectSendStream[SessionMessage]]
]:
    """Run an MCP server on the executor and connect to its stdin and stdout.

    Takes the place of ``mcp.client.stdio.stdio_client``. Lost connections are not noticed as
    long as the client recovers: calls wait meanwhile. Give the client
    ``ClientOptions(replay_writes=True)``; without it, a message whose acknowledgement was lost
    ends the MCP session, because it may or may not have reached the server.

    When the server ends, the streams end, and calls in flight fail as the SDK makes them. A
    lost session, a message that cannot be written, output that was lost, bytes that are not
    in the encoding and a line of more than 64 Mi characters come as an exception from the
    first stream, which then ends too. A line that is no message comes as an exception, and the
    stream goes on.

    Leaving the block ends the server's stdin, waits up to 2 s and kills what is left of it.
    An executor that cannot end stdin has it killed at once. When the executor cannot be
    reached for 5 s, the server is left to end with its session. Cancelling is safe, and skips
    the 2 s at most.

    Args:
        client: Connected; it stays open.
        params: ``command`` and ``args`` mean the executor's programs. ``cwd`` is absolute
            there, ``None`` for the executor's own. ``env`` is laid over the core variables of
            the executor; nothing of this machine's environment is sent.

    Yields:
        The streams that ``ClientSession`` takes: messages from the server, and to it. They
        hold no messages, so a reader that is late makes the server wait; what its output may
        take up meanwhile is bounded by ``ClientOptions.max_buffered_bytes``.

    Raises:
        RpcError: The executor refused: no such program or folder.
        ClientError: It could not be asked.
        ValueError: ``cwd`` is not absolute.
    """
    process = await client.start(
        [params.command, *params.args],
        cwd=params.cwd,
        env=params.env,
        stdin=True,
        lost_output="fail",  # whatever the client's default: a protocol has no place for gaps
    )
    bridge = _Bridge(process, params, can_close_stdin=client.supports(CAPABILITY_CLOSE_STDIN))
    try:
        yield bridge.read_stream, bridge.write_stream
    finally:
        try:
            await bridge.finish()
        finally:
            with anyio.CancelScope(shield=True):
                await bridge.aclose()


class _Bridge:
    """Passes messages between a server's pipes and the streams of an MCP session.

    Attributes:
        read_stream: From the server.
        write_stream: To the server.
    """

    def __init__(
        self, process: Process, params: StdioServerParameters, *, can_close_stdin: bool
    ) -> None:
        self._process = process
        self._encoding = params.encoding
        self._errors = params.encoding_error_handler
        self._can_close_stdin = can_close_stdin
        self._failure: Exception | None = None
        self._incoming, self.read_stream = anyio.create_memory_object_stream[_Incoming](0)
        self.write_stream, self._outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        self._reader = asyncio.create_task(self._read(), name="exec-client-mcp-read")
        self._writer = asyncio.create_task(self._write(), name="exec-client-mcp-write")
        self._drain = asyncio.create_task(self._drain_stderr(), name="exec-client-mcp-stderr")

    # ------------------------------------------------------------------ from the server

    async def _read(self) -> None:
        with self._incoming, suppress(anyio.BrokenResourceError):  # nobody receives any more
            try:
                await self._pass_messages()
            except (ClientError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
                self._failure = self._failure or error
            if self._failure is not None:
                await self._incoming.send(self._failure)
        self._process.stdout.discard()  # what nobody reads would be in the way of others

    async def _pass_messages(self) -> None:
        parts: list[str] = []
        size = 0
        async for text in self._process.stdout.text(self._encoding, self._errors):
            *lines, rest = text.split("\n")
            for line in lines:
                await self._pass_line("".join([*parts, line]))
                parts, size = [], 0
            size += len(rest)
            if size > _MESSAGE_CHARACTERS:
                raise ValueError("the MCP server wrote a line that is too long for a message")
            if rest:
                parts.append(rest)

    async def _pass_line(self, line: str) -> None:
        if not line.strip():
            return
        try:
            message: _Incoming = SessionMessage(_MESSAGE.validate_json(line))
        except ValueError as error:  # pydantic's ValidationError is one
            logger.debug("an MCP server wrote a line of %d characters, no message", len(line))
            message = error
        await self._incoming.send(message)

    async def _drain_stderr(self) -> None:
        try:
            async for piece in self._process.stderr:
                logger.debug("an MCP server wrote %d bytes to stderr", len(piece))
        except ClientError:  # of the whole process: the reader reports it
            self._process.stderr.discard()

    # ------------------------------------------------------------------ to the server

    async def _write(self) -> None:
        encoder = codecs.getincrementalencoder(self._encoding)(self._errors)
        with self._outgoing:
            try:
                async for message in self._outgoing:
                    line = message.message.model_dump_json(
                        by_alias=True, exclude_none=_IS_FIRST, exclude_unset=not _IS_FIRST
                    )
                    await self._process.write(encoder.encode(line + "\n"))
            except (ClientError, RpcError, UnicodeError) as error:
                self._failure = error
            else:
                await self._close_stdin()
                return
        # Its answer would be waited for in vain. What the server has written is still passed on.
        logger.debug("a message to an MCP server was not written: %s", type(self._failure).__name__)
        await self._terminate()
        await asyncio.wait([self._reader], timeout=_EXIT_SECONDS)
        self._reader.cancel()

    async def _close_stdin(self) -> None:
        if self._can_close_stdin:
            with suppress(ClientError, RpcError):  # the server has ended already
                await self._process.close_stdin()

    # ------------------------------------------------------------------ end

    async def finish(self) -> None:
        """Write what was taken, end stdin and let the server end by itself, for a while.

        The streams are closed. It may be cancelled: ``aclose`` does the rest.
        """
        for stream in (self.write_stream, self.read_stream):
            stream.close()
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._process.stdout.discard()  # else a server that still writes could not end
        with anyio.move_on_after(_EXIT_SECONDS), suppress(ClientError):
            await asyncio.wait([self._writer])
            if self._can_close_stdin:
                await self._process.wait()

    async def aclose(self) -> None:
        """Kill the server if it still runs, and end the tasks. Takes 5 s at most."""
        self._process.stdout.discard()
        self._process.stderr.discard()
        tasks = (self._reader, self._writer, self._drain)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (self._incoming, self._outgoing, self.read_stream, self.write_stream):
            stream.close()  # a task that was cancelled before it ran has closed nothing
        if self._process.returncode is None and self._process.failure is None:
            await self._terminate()
        for result in results:
            if isinstance(result, Exception):  # a fault of ours must not go unnoticed
                raise result

    async def _terminate(self) -> None:
        with anyio.move_on_after(_TERMINATE_SECONDS) as scope, suppress(ClientError, RpcError):
            while not await self._terminated():
                continue  # waits for the client to recover, every time
            await self._process.wait()
        if scope.cancelled_caught:
            logger.warning("an MCP server could not be ended: it is left to end with its session")

    async def _terminated(self) -> bool:
        try:
            await self._process.terminate()
        except ConnectionBrokenError:
            return False
        return True
