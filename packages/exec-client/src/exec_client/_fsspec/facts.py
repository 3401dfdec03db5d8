"""Info dictionaries and transfer callbacks, in the form that fsspec expects."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..filesystem import FileStat

__all__ = ["facts", "facts_of_link", "follower", "time_of"]


def facts(path: str, status: FileStat) -> dict[str, Any]:
    """Return what ``info`` has: of a link, its target with a note that there is a link."""
    kind = stat.S_IFDIR if status.is_dir else stat.S_IFREG if status.is_file else 0
    return {
        "name": path,
        "size": status.size,
        "type": "directory" if status.is_dir else "file" if status.is_file else "other",
        "islink": status.is_symlink,
        "mtime": status.modified_at,
        "created": status.created_at,
        "mode": None if status.mode is None else kind | status.mode,  # as fsspec's local files
        "uid": status.uid,
        "gid": status.gid,
    }


def facts_of_link(path: str) -> dict[str, Any]:
    """Return what ``info`` has of a link that leads nowhere."""
    unknown = dict.fromkeys(("mtime", "created", "mode", "uid", "gid"))
    return {"name": path, "size": 0, "type": "other", "islink": True, **unknown}


def time_of(path: str, seconds: float | None) -> datetime.datetime:
    """Return a time in UTC; ``NotImplementedError`` when the executor does not tell."""
    if seconds is None:
        raise NotImplementedError(f"the executor does not tell for {path}")
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)


def follower(callback: Any) -> Callable[[Any], None]:
    """Return what tells a callback of fsspec about the progress of a transfer."""

    def follow(progress: Any) -> None:
        callback.set_size(progress.total_bytes)
        callback.absolute_update(progress.done_bytes)

    return follow
