"""Errors of file operations: one table from errno to code and text.

The texts are spelled here, so that an answer does not depend on the C library or on a
locale. ``ENOENT`` is "not found"; ``EACCES``, ``EPERM`` and ``EINVAL`` are the caller's
fault; everything else is reported as an internal error with its number.
"""

from __future__ import annotations

import errno
from typing import Final

from exec_server_protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, NOT_FOUND

__all__ = ["ERRNO_TEXTS", "OperationError", "errno_text", "from_errno", "from_os_error"]

ERRNO_TEXTS: Final = {
    errno.E2BIG: "Argument list too long",
    errno.EACCES: "Permission denied",
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.EBADF: "Bad file descriptor",
    errno.EBUSY: "Device or resource busy",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EEXIST: "File exists",
    errno.EFAULT: "Bad address",
    errno.EFBIG: "File too large",
    errno.EHOSTDOWN: "Host is down",
    errno.EINTR: "Interrupted system call",
    errno.EINVAL: "Invalid argument",
    errno.EIO: "Input/output error",
    errno.EISDIR: "Is a directory",
    errno.ELOOP: "Too many symbolic links",
    errno.EMFILE: "Too many open files",
    errno.EMLINK: "Too many links",
    errno.ENAMETOOLONG: "File name too long",
    errno.ENFILE: "Too many open files in system",
    errno.ENODEV: "No such device",
    errno.ENOENT: "No such file or directory",
    errno.ENOLCK: "No locks available",
    errno.ENOMEM: "Out of memory",
    errno.ENOSPC: "No space left on device",
    errno.ENOSYS: "Function not implemented",
    errno.ENOTCONN: "Not connected",
    errno.ENOTDIR: "Not a directory",
    errno.ENOTEMPTY: "Directory not empty",
    errno.ENOTSUP: "Operation not supported",
    errno.ENXIO: "No such device or address",
    errno.EOVERFLOW: "Value too large",
    errno.EPERM: "Operation not permitted",
    errno.EPIPE: "Broken pipe",
    errno.EROFS: "Read-only file system",
    errno.ESPIPE: "Illegal seek",
    errno.ESRCH: "No such process",
    errno.ESTALE: "Stale file handle",
    errno.ETIMEDOUT: "Operation timed out",
    errno.ETXTBSY: "Text file busy",
    errno.EXDEV: "Cross-device link",
}
"""What can come from the file system; others get a general text."""

_CODES: Final = {
    errno.ENOENT: NOT_FOUND,
    errno.EACCES: INVALID_REQUEST,
    errno.EPERM: INVALID_REQUEST,
    errno.EINVAL: INVALID_REQUEST,
}


class OperationError(Exception):
    """Content of an ERROR frame.

    Attributes:
        code: Error code of the wire.
        message: Text for people; never content of a file.
        number: The system's error number, if it was the system that refused.
    """

    def __init__(self, code: int, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.number = number


def errno_text(number: int) -> str:
    """Return the text for an errno, with its number."""
    return f"{ERRNO_TEXTS.get(number, 'Operating system error')} (os error {number})"


def from_errno(number: int) -> OperationError:
    """Return the error that an errno is answered with."""
    return OperationError(_CODES.get(number, INTERNAL_ERROR), errno_text(number), number)


def from_os_error(error: OSError) -> OperationError:
    """Return the error that an ``OSError`` is answered with. Its text and paths stay here."""
    return from_errno(error.errno if error.errno is not None else errno.EIO)
