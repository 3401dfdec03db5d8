"""A real app-server on pipes, for the census and for tests. Not part of the library's surface.

One message a line, one thing at a time. The child has a folder of its own as its home, and it
is ended, by its own handle, when the block ends.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

from . import _binary
from .errors import MalformedMessageError, ToolError
from .handshake import INITIALIZED, Capabilities, ClientInfo, InitializeParams
from .rpc import ErrorResponse, Message, Request, RequestId, Response, decode, encode

__all__ = ["Conversation", "Peer"]

_REPLY_SECONDS: Final = 20.0  # replies take milliseconds; this is for a machine in trouble
_EXIT_SECONDS: Final = 5.0  # the server exits when its input ends; then it is killed
_READ_BYTES: Final = 65536  # the size of a pipe on Linux


class Conversation:
    """Requests and replies over a transport that a subclass has. Not for several threads.

    Attributes:
        texts: Every message that arrived, as it came, in order.
    """

    def __init__(self) -> None:
        self._next_id = 1
        self.texts: list[str] = []

    def send_text(self, text: str) -> None:
        """Send a message as it is."""
        raise NotImplementedError

    def _receive_text(self, timeout_seconds: float) -> str:
        """Return the next message; raises ``ToolError`` when there is none."""
        raise NotImplementedError

    def send(self, message: Message) -> None:
        """Send a message."""
        self.send_text(encode(message))

    def receive(self, timeout_seconds: float = _REPLY_SECONDS) -> Message:
        """Return the next message.

        Raises:
            ToolError: There was none in time, the server ended, or it wrote something else.
        """
        text = self._receive_text(timeout_seconds)
        self.texts.append(text)
        try:
            return decode(text)
        except MalformedMessageError as error:
            raise ToolError(f"the app-server wrote something else: {error}") from error

    def reply_to(self, request_id: RequestId) -> Response | ErrorResponse:
        """Return the answer to a request; what arrives before it is only kept.

        Raises:
            ToolError: There was none in time, whatever else the server had to say.
        """
        deadline = time.monotonic() + _REPLY_SECONDS
        while True:
            message = self.receive(max(0.0, deadline - time.monotonic()))
            if isinstance(message, Response | ErrorResponse) and message.id == request_id:
                return message

    def call(self, method: str, params: Any) -> Response | ErrorResponse:
        """Send a request and return its answer."""
        request = Request(self._next_id, method, params)
        self._next_id += 1
        self.send(request)
        return self.reply_to(request.id)

    def initialize(self, *, experimental: bool) -> Response | ErrorResponse:
        """Do the handshake and return the answer to ``initialize``."""
        info = ClientInfo("app-server-protocol", "0")
        capabilities = Capabilities(experimental_api=True) if experimental else Capabilities()
        reply = self.call("initialize", InitializeParams(info, capabilities).to_wire())
        self.send(INITIALIZED)
        return reply


class Peer(Conversation):
    """A conversation with a child on pipes. A context manager.

    Args:
        binary: The program.
        home: Where its state and its configuration are; else in a new folder.
    """

    def __init__(self, binary: Path, *, home: Path | None = None) -> None:
        super().__init__()
        self._binary = binary
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._home = home
        self._child: subprocess.Popen[bytes]
        self._buffer = b""

    def __enter__(self) -> Self:
        if self._home is None:
            self._folder = tempfile.TemporaryDirectory(prefix="app-server-peer-")
            self._home = Path(self._folder.name)
        try:
            self._child = subprocess.Popen(  # the binary that the caller named
                [str(self._binary), "app-server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._home,
                env=_binary.environment(self._home),
                process_group=0,  # what npm installs is a launcher with the server as its child
            )
        except OSError as error:
            raise ToolError(f"{self._binary.name} did not start: {error}") from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._child.communicate(timeout=_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.communicate()
        if self._folder is not None:
            self._folder.cleanup()

    def send_text(self, text: str) -> None:
        """Write a line as it is."""
        assert self._child.stdin is not None  # noqa: S101  # it was asked for
        try:
            self._child.stdin.write(text.encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError as error:
            raise ToolError("the app-server ended") from error

    def _receive_text(self, timeout_seconds: float) -> str:
        assert self._child.stdout is not None  # noqa: S101  # it was asked for
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._child.stdout], [], [], left)[0]:
                raise ToolError("the app-server did not answer in time")
            data = os.read(self._child.stdout.fileno(), _READ_BYTES)
            if not data:
                raise ToolError("the app-server ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace")
