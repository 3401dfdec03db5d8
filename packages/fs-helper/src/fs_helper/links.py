"""Symbolic links themselves: ``fs/createSymlink`` and ``fs/readLink``."""

from __future__ import annotations

import binascii
import os
from contextlib import suppress

from exec_server_protocol.errors import INVALID_PARAMS, INVALID_REQUEST

from .answers import EMPTY, dump
from .atomic import temporary_name
from .errors import OperationError
from .params import Params, flag, path_of, text

__all__ = ["create_symlink", "put_symlink", "read_link"]


def create_symlink(params: Params) -> bytes:
    """Make a link and return the JSON text of the answer to ``fs/createSymlink``.

    Raises:
        OperationError: A target that no link can have.
        OSError: As the system says; ``EEXIST`` when something is there.
    """
    try:
        target = binascii.a2b_base64(text(params, "targetBase64"), strict_mode=True)
    except ValueError as error:
        raise OperationError(INVALID_PARAMS, "targetBase64 is not base64") from error
    if not target or b"\0" in target:
        raise OperationError(INVALID_REQUEST, "a link cannot say this")
    path = path_of(params)
    if flag(params, "overwrite", default=False):
        put_symlink(target, path)
    else:
        os.symlink(target, path)
    return EMPTY


def put_symlink(target: bytes, path: bytes) -> None:
    """Make a link in place of whatever is there, in one step; of a directory it is ``EISDIR``."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        pass
    else:
        return
    temporary = os.path.join(os.path.dirname(path), temporary_name())
    os.symlink(target, temporary)
    try:
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def read_link(params: Params) -> bytes:
    """Return the JSON text of the answer to ``fs/readLink``.

    Raises:
        OSError: As the system says; ``EINVAL`` for what is no link.
    """
    target = os.readlink(path_of(params))
    return dump({"targetBase64": binascii.b2a_base64(target, newline=False).decode("ascii")})
