"""Error numbers of the executor's system, in those of this one."""

from __future__ import annotations

import errno
import re
import sys
from typing import Final

from exec_server_protocol._errno import is_errno
from exec_server_protocol.errors import RpcError

__all__ = ["system_number", "without_number"]

_NUMBER: Final = re.compile(r"\s*\(os error (\d{1,5})\)\s*$")
_ON_LINUX: Final[bool] = sys.platform == "linux"
_SHARED_NUMBERS: Final = 34
"""Up to here all systems count alike, but for 11."""
_LINUX_NUMBERS: Final = {
    11: errno.EAGAIN,
    35: errno.EDEADLK,
    36: errno.ENAMETOOLONG,
    38: errno.ENOSYS,
    39: errno.ENOTEMPTY,
    40: errno.ELOOP,
    75: errno.EOVERFLOW,
    95: errno.ENOTSUP,
    110: errno.ETIMEDOUT,
    116: errno.ESTALE,
    122: errno.EDQUOT,
}
"""Numbers of executors, which run Linux, in those of this system."""


def system_number(error: RpcError) -> int | None:
    """Return the number that an executor gave, as this system counts; ``None`` for none.

    It is in ``data`` as ``errno``. Executors that send no data end their text with it.
    """
    data = error.data
    given = data.get("errno") if isinstance(data, dict) else None
    if is_errno(given):
        return _as_here(given)
    match = _NUMBER.search(error.message)
    return _as_here(int(match[1])) if match else None


def without_number(message: str) -> str:
    """Return the text of an executor without the number at its end."""
    return _NUMBER.sub("", message)


def _as_here(number: int) -> int:
    if _ON_LINUX:
        return number
    return _LINUX_NUMBERS.get(number, number if number <= _SHARED_NUMBERS else errno.EIO)
