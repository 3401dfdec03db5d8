"""What the wire says about a file, as an exception of Python."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
from exec_client.filesystem.errors import (
    FileError,
    RemoteFileExistsError,
    RemoteFileNotFoundError,
    RemoteIsADirectoryError,
    RemoteNotADirectoryError,
    RemotePermissionError,
    to_file_error,
)
from exec_server_protocol import InvalidRequestError, NotFoundError, RpcError
from hypothesis import given
from hypothesis import strategies as st

KINDS = {
    FileError,
    RemoteFileExistsError,
    RemoteFileNotFoundError,
    RemoteIsADirectoryError,
    RemoteNotADirectoryError,
    RemotePermissionError,
}


@pytest.mark.parametrize(
    ("code", "message", "kind", "number"),
    [
        (-32004, "No such file or directory (os error 2)", FileNotFoundError, errno.ENOENT),
        (-32004, "unknown file handle `x`", FileNotFoundError, errno.ENOENT),
        (-32600, "Permission denied (os error 13)", PermissionError, errno.EACCES),
        (-32600, "Operation not permitted (os error 1)", PermissionError, errno.EPERM),
        (-32600, "path is not a regular file", OSError, errno.EINVAL),
        (-32602, "'file:///C:/x' is invalid on 'linux'", OSError, errno.EINVAL),
        (-32601, "no such method", OSError, errno.ENOSYS),
        (-32603, "File exists (os error 17)", FileExistsError, errno.EEXIST),
        (-32603, "Is a directory (os error 21)", IsADirectoryError, errno.EISDIR),
        (-32603, "Not a directory (os error 20)", NotADirectoryError, errno.ENOTDIR),
        (-32603, "Directory not empty (os error 39)", OSError, errno.ENOTEMPTY),
        (-32603, "Read-only file system (os error 30)", OSError, errno.EROFS),
        (-32603, "the helper has died", OSError, errno.EIO),
        (-31999, "something new", OSError, errno.EIO),
    ],
)
def test_a_refusal_is_the_error_that_local_code_would_see(
    code: int, message: str, kind: type[OSError], number: int
) -> None:
    error = to_file_error(RpcError.from_code(code, message, {"more": 1}), "/srv/x")
    assert isinstance(error, kind)
    assert type(error) in KINDS
    assert (error.code, error.message, error.data) == (code, message, {"more": 1})
    assert (error.errno, error.filename) == (number, "/srv/x")
    text = message.partition(" (os error")[0]
    assert str(error) == f"[Errno {number}] {text}: '/srv/x'"


def test_it_is_caught_as_what_the_wire_calls_it_as_well() -> None:
    missing = to_file_error(NotFoundError("No such file (os error 2)"), "/x")
    denied = to_file_error(InvalidRequestError("Permission denied (os error 13)"), "/x")
    assert isinstance(missing, NotFoundError)
    assert isinstance(denied, InvalidRequestError)
    assert isinstance(missing, RpcError)


def test_it_can_be_sent_to_another_process() -> None:
    error = to_file_error(NotFoundError("No such file (os error 2)", data=[1]), "/x")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.code, again.message, again.data, again.errno) == (
        str(error),
        error.code,
        error.message,
        error.data,
        error.errno,
    )


@given(st.integers(), st.text() | st.integers().map("x (os error {})".format))
def test_whatever_is_said_the_class_is_one_of_six(code: int, message: str) -> None:
    error = to_file_error(RpcError.from_code(code, message), "/x")
    assert type(error) in KINDS
    assert error.code == code
    assert error.message == message
    assert isinstance(error.errno, int)
    assert os.strerror(error.errno)
