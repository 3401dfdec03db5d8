"""The table from errno to code and text."""

from __future__ import annotations

import errno

import pytest
from fs_helper.errors import ERRNO_TEXTS, errno_text, from_errno, from_os_error


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_the_code_follows_from_the_number(number: int) -> None:
    expected = {errno.ENOENT: -32004}
    expected |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EINVAL), -32600)
    error = from_errno(number)
    assert error.code == expected.get(number, -32603)
    assert error.message.endswith(f" (os error {number})")


def test_texts_are_ours_and_plain() -> None:
    assert errno_text(errno.ENOENT) == "No such file or directory (os error 2)"
    assert errno_text(9999) == "Operating system error (os error 9999)"
    for text in ERRNO_TEXTS.values():
        assert text.isascii()
        assert not set('"\\') & set(text)


def test_an_error_never_carries_a_path() -> None:
    error = from_os_error(FileNotFoundError(errno.ENOENT, "x", "/secret", None, "/other"))
    assert error.message == errno_text(errno.ENOENT)
    assert from_os_error(OSError("no number")).message == errno_text(errno.EIO)
