"""The program: say ready, answer requests until EOF.

stdin and stdout carry frames (``exec_server_protocol.helper`` describes them) and nothing
else. There are no arguments that change what it does.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

from exec_server_protocol.errors import MalformedMessageError, MessageTooLargeError
from exec_server_protocol.helper import (
    BULK_MEMBERS,
    EXIT_PROTOCOL_ERROR,
    FROM_SERVER,
    Frame,
    FrameDecoder,
    FrameKind,
    Request,
    decode_request,
    encode_ready,
)

from . import __version__
from .base64_text import Base64Collector
from .dispatch import Dispatcher
from .stdin import Stdin
from .stdout import Stdout

__all__ = ["main"]

_USAGE: Final = """\
usage: fs-helper [--version | --help]

The file operations of exec-server. Reads requests from stdin and answers on stdout, in
frames; started by exec-server, not by hand.
"""


def main() -> int:
    """Run the program on the descriptors 0 and 1.

    Returns:
        Exit status: 0 after EOF or when nobody reads the answers any more,
        ``EXIT_PROTOCOL_ERROR`` after an illegal frame, 2 for an unknown argument.
    """
    if len(sys.argv) > 1:
        return _answer_arguments(sys.argv[1:])
    # Python would turn an interrupt into a traceback. SIGPIPE stays ignored, as Python has
    # it: a FIFO whose reader leaves is an error of one request, not the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    worker = _Worker()
    try:
        worker.run()
    except (MalformedMessageError, MessageTooLargeError) as error:
        sys.stderr.write(f"fs-helper: illegal frame: {error}\n")
        return EXIT_PROTOCOL_ERROR
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        worker.dispatcher.handles.close_all()
    return 0


class _Worker:
    """One run: the request that is being received, and the operations."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self._stdin = Stdin()
        self._stdout = Stdout()
        self._decoder = FrameDecoder(FROM_SERVER)
        self._request: tuple[int, Request, Base64Collector] | None = None

    def run(self) -> None:
        """Answer until EOF.

        Raises:
            MalformedMessageError: An illegal frame, or one out of place.
            MessageTooLargeError: A frame that is too large.
            OSError: stdin or stdout failed; ``EPIPE`` when the reader is gone.
        """
        self._stdout.write([encode_ready(__version__)])
        while data := self._stdin.read():
            for frame in self._decoder.feed(data):
                self._take(frame)
            if self._decoder.error is not None:
                raise self._decoder.error

    def _take(self, frame: Frame) -> None:
        """Take a frame; answer if it completes a request."""
        if frame.kind is FrameKind.REQUEST:
            if self._request is not None:
                raise MalformedMessageError("a REQUEST before the data of the last one ended")
            request = decode_request(frame.payload)
            if request.op in BULK_MEMBERS:
                self._request = frame.request_id, request, self.dispatcher.collector()
            else:
                self._answer(frame.request_id, request, None)
            return
        if self._request is None or self._request[0] != frame.request_id:
            raise MalformedMessageError(f"a {frame.kind.name} frame that belongs to no request")
        request_id, request, bulk = self._request
        bulk.feed(frame.payload)
        if frame.kind is FrameKind.REQUEST_DATA_LAST:
            self._request = None
            self._answer(request_id, request, bulk)

    def _answer(self, request_id: int, request: Request, bulk: Base64Collector | None) -> None:
        for buffers in self.dispatcher.answer(request_id, request, bulk):
            self._stdout.write(buffers, self.dispatcher.handles.take_opened())


def _answer_arguments(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        sys.stdout.write(f"fs-helper {__version__}\n")
        return 0
    if arguments == ["--help"]:
        sys.stdout.write(_USAGE)
        return 0
    sys.stderr.write(_USAGE)
    return 2
