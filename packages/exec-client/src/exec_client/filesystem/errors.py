"""Exceptions for file requests that an executor refuses: the ones that local code catches.

::

    FileError                        RpcError and OSError; .code .errno .filename .message
    ├─ RemoteFileNotFoundError       NotFoundError, FileNotFoundError
    ├─ RemotePermissionError         InvalidRequestError, PermissionError
    ├─ RemoteFileExistsError         FileExistsError
    ├─ RemoteIsADirectoryError       IsADirectoryError
    └─ RemoteNotADirectoryError      NotADirectoryError

The wire has few codes, so the system's error number comes from ``data``, or from the text where
that lacks it: executors end one with ``(os error N)``. Where there is no number, the code alone
decides. Either way the class is one of these six.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from exec_server_protocol.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    InvalidRequestError,
    NotFoundError,
    RpcError,
)

from ..errors import ConnectionBrokenError
from ..system_numbers import system_number, without_number

__all__ = [
    "FileError",
    "FileHandleLostError",
    "RemoteFileExistsError",
    "RemoteFileNotFoundError",
    "RemoteIsADirectoryError",
    "RemoteNotADirectoryError",
    "RemotePermissionError",
    "is_directory_error",
    "is_missing",
    "to_file_error",
]

_BY_CODE: Final = {
    NOT_FOUND: errno.ENOENT,
    INVALID_REQUEST: errno.EINVAL,
    INVALID_PARAMS: errno.EINVAL,
    METHOD_NOT_FOUND: errno.ENOSYS,
}


class FileError(RpcError, OSError):
    """The executor refused a file operation.

    Attributes:
        code: Number on the wire.
        message: What the executor said.
        errno: The system's error number, as this system counts; ``EINVAL`` or ``EIO`` when
            the executor gave none.
        filename: The path that was asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        data: Any = None,
        number: int = errno.EIO,
        path: str = "",
    ) -> None:
        OSError.__init__(self, number, without_number(message) or os.strerror(number), path)
        self.message = message
        self.code = self.default_code if code is None else code
        self.data = data


class RemoteFileNotFoundError(FileError, NotFoundError, FileNotFoundError):
    """There is nothing at the path, or a folder on the way is missing."""


class RemotePermissionError(FileError, InvalidRequestError, PermissionError):
    """The system or the sandbox does not let it be done."""


class RemoteFileExistsError(FileError, FileExistsError):
    """There is something at the path already."""


class RemoteIsADirectoryError(FileError, IsADirectoryError):
    """A directory that was to be used as a file."""


class RemoteNotADirectoryError(FileError, NotADirectoryError):
    """A file where a directory was needed: the path itself, or a part of it."""


class FileHandleLostError(ConnectionBrokenError):
    """An open file ended with its connection, and cannot be opened again as it was.

    A file that is written is always lost then, ``maybe_executed`` telling whether a block was
    on its way. One that is read goes on, unless it has changed or vanished meanwhile.
    """


_BY_NUMBER: Final[dict[int, type[FileError]]] = {
    errno.ENOENT: RemoteFileNotFoundError,
    errno.EACCES: RemotePermissionError,
    errno.EPERM: RemotePermissionError,
    errno.EEXIST: RemoteFileExistsError,
    errno.EISDIR: RemoteIsADirectoryError,
    errno.ENOTDIR: RemoteNotADirectoryError,
}


def to_file_error(error: RpcError, path: str) -> FileError:
    """Return the exception for an executor's refusal of a file operation.

    Args:
        error: What the executor answered.
        path: What the operation was about, for people.
    """
    number = system_number(error)
    if number is None:
        number = _BY_CODE.get(error.code, errno.EIO)
    kind = _BY_NUMBER.get(number, FileError)
    return kind(error.message, code=error.code, data=error.data, number=number, path=path)


def is_directory_error(error: FileError) -> RemoteIsADirectoryError:
    """Return the same refusal, once it is known that the path names a directory."""
    return RemoteIsADirectoryError(
        error.message,
        code=error.code,
        data=error.data,
        number=errno.EISDIR,
        path=str(error.filename),
    )


def is_missing(error: OSError) -> bool:
    """Whether an error says that nothing is there."""
    return isinstance(error, FileNotFoundError | NotADirectoryError)
