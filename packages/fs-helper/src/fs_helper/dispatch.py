"""Requests to operations, and what they answer to frames."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

from exec_server_protocol.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
)
from exec_server_protocol.helper import (
    BULK_MEMBERS,
    BULK_RESULTS,
    FrameKind,
    Request,
    encode_error,
    encode_header,
)
from exec_server_protocol.limits import READ_FILE_MAX_BYTES

from .answers import BulkOperation, BulkPieces, Operation, Pieces
from .attributes import set_metadata
from .base64_text import Base64Collector, Base64Error
from .content import read_file, write_file
from .copying import copy
from .errors import OperationError, from_os_error
from .handles import Handles
from .links import create_symlink, read_link
from .listing import read_directory
from .metadata import canonicalize, check_missing, get_metadata
from .moving import move
from .tree import create_directory, remove
from .walk import walk

__all__ = ["BAD_BASE64_CODES", "Dispatcher"]

BAD_BASE64_CODES: Final = {"fs/writeFile": INVALID_REQUEST, "fs/writeBlock": INVALID_PARAMS}
"""The wire has two codes for the same fault; existing peers expect these."""

_MESSAGE_MAX_CHARACTERS: Final = 4096
"""A message may quote a URI of any length; nobody reads more."""

Buffers = tuple[bytes | memoryview, ...]
"""A frame, as buffers to be written one after the other."""

_TEXT: Final = FrameKind.RESULT_PART, FrameKind.RESULT
_DATA: Final = FrameKind.RESULT_DATA, FrameKind.RESULT_DATA_LAST
"""What carries the pieces of a result, and its last."""


class Dispatcher:
    """Runs operations, one at a time. Owns the open files."""

    def __init__(self) -> None:
        self.handles = Handles()
        self._operations: dict[str, Operation] = {
            "fs/canonicalize": canonicalize,
            "fs/checkMissing": check_missing,
            "fs/close": self.handles.close,
            "fs/copy": copy,
            "fs/createDirectory": create_directory,
            "fs/createSymlink": create_symlink,
            "fs/getMetadata": get_metadata,
            "fs/move": move,
            "fs/open": self.handles.open,
            "fs/readBlock": self.handles.read_block,
            "fs/readDirectory": read_directory,
            "fs/readFile": read_file,
            "fs/readLink": read_link,
            "fs/remove": remove,
            "fs/setMetadata": set_metadata,
            "fs/walk": walk,
        }
        self._bulk_operations: dict[str, BulkOperation] = {
            "fs/writeBlock": self.handles.write_block,
            "fs/writeFile": write_file,
        }

    @property
    def operations(self) -> list[str]:
        """Names of everything that can be asked."""
        return sorted([*self._operations, *self._bulk_operations])

    @staticmethod
    def collector() -> Base64Collector:
        """Return where the bulk text of a request goes."""
        return Base64Collector(READ_FILE_MAX_BYTES)

    def answer(
        self, request_id: int, request: Request, bulk: Base64Collector | None
    ) -> Iterable[Buffers]:
        """Perform a request and return the frames of its answer, ending with RESULT or ERROR.

        Never raises: whatever goes wrong with a request is its answer. Of a long one, the
        next frame is made when it is asked for.
        """
        try:
            answer = self._perform(request, bulk)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one request, not all
            return (_failure(request_id, error),)
        if isinstance(answer, bytes):
            return (_frame(FrameKind.RESULT, request_id, answer),)
        return _parts(request_id, answer, _DATA if request.op in BULK_RESULTS else _TEXT)

    def _perform(
        self, request: Request, bulk: Base64Collector | None
    ) -> bytes | Pieces | BulkPieces:
        if bulk is not None:
            try:
                data = bulk.finish()
            except Base64Error as error:
                name = BULK_MEMBERS[request.op]
                raise OperationError(BAD_BASE64_CODES[request.op], f"{name}: {error}") from error
            return self._bulk_operations[request.op](request.params, data)
        operation = self._operations.get(request.op)
        if operation is None:
            raise OperationError(METHOD_NOT_FOUND, "the file helper does not know this operation")
        return operation(request.params)


def _parts(
    request_id: int,
    pieces: Generator[bytes | memoryview, None, bytes | memoryview],
    kinds: tuple[FrameKind, FrameKind],
) -> Iterator[Buffers]:
    """Yield the frames of an answer that is made piece by piece."""
    more, last = kinds
    while True:
        try:
            piece = next(pieces)
        except StopIteration as stop:
            yield _frame(last, request_id, stop.value)
            return
        except Exception as error:  # noqa: BLE001 - as above
            yield _failure(request_id, error)
            return
        yield _frame(more, request_id, piece)


def _failure(request_id: int, error: Exception) -> Buffers:
    if isinstance(error, OSError):
        error = from_os_error(error)
    elif isinstance(error, MemoryError):
        error = OperationError(INTERNAL_ERROR, "the file helper is out of memory")
    elif not isinstance(error, OperationError):
        text = f"the file helper failed: {type(error).__name__}"
        error = OperationError(INTERNAL_ERROR, text)
    message = error.message[:_MESSAGE_MAX_CHARACTERS]
    return (encode_error(request_id, error.code, message, error.number),)


def _frame(kind: FrameKind, request_id: int, payload: bytes | memoryview) -> Buffers:
    return encode_header(kind, request_id, len(payload)), payload
