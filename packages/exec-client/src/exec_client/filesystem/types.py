"""Results of file calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from exec_server_protocol.filesystem import FsGetMetadataResult

__all__ = [
    "DirectoryItem",
    "FileStat",
    "ScanError",
    "ScanItem",
    "ScanResult",
    "TransferProgress",
    "TransferResult",
    "WalkStep",
]


@dataclass(frozen=True, slots=True)
class FileStat:
    """Metadata of a path: of a link, those of its target, with a note that there is a link.

    Attributes:
        size: In bytes.
        is_file: It is a regular file.
        is_dir: It is a directory. Neither: a device, a FIFO, a socket.
        is_symlink: The path itself is a symbolic link.
        modified_at: Unix time in seconds; ``None`` when unknown.
        created_at: Likewise; many executors do not know.
        mode: Permission bits, 12 of them; ``None`` when the executor does not tell.
        uid: Number of the owner; likewise.
        gid: Number of the group; likewise.
    """

    size: int
    is_file: bool
    is_dir: bool
    is_symlink: bool
    modified_at: float | None
    created_at: float | None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None

    @classmethod
    def from_wire(cls, result: FsGetMetadataResult) -> FileStat:
        """Return what an executor answered, in Python's units."""
        return cls(
            size=result.size,
            is_file=result.is_file,
            is_dir=result.is_directory,
            is_symlink=result.is_symlink,
            modified_at=result.modified_at_ms / 1000 if result.modified_at_ms else None,
            created_at=result.created_at_ms / 1000 if result.created_at_ms else None,
            mode=result.file_mode,
            uid=result.user_id,
            gid=result.group_id,
        )


@dataclass(frozen=True, slots=True)
class DirectoryItem:
    """One name in a directory. Can be passed wherever a path can.

    Attributes:
        name: Bytes that are not UTF-8 are spelled as ``os.fsdecode`` does; an executor without
            ``fsLinks`` replaces them by U+FFFD, and such a name cannot be opened.
        path: With the directory that it is in.
        is_dir: It is a directory, or a link to one.
        is_file: It is a regular file, or a link to one.
        is_symlink: It is a link; ``None``, as all that follows, when the executor does not tell.
        size: In bytes; of a link's target, as the next two.
        modified_at: Unix time in seconds.
        mode: Permission bits.
    """

    name: str
    path: str
    is_dir: bool
    is_file: bool
    is_symlink: bool | None = None
    size: int | None = None
    modified_at: float | None = None
    mode: int | None = None

    def __fspath__(self) -> str:
        return self.path


class WalkStep(NamedTuple):
    """One directory of a walk.

    Attributes:
        path: The directory.
        directories: Names in it that are directories. Remove some to leave them out.
        files: All other names.
    """

    path: str
    directories: list[str]
    files: list[str]


@dataclass(frozen=True, slots=True)
class ScanItem:
    """A directory or a regular file that a scan found. Can be passed wherever a path can."""

    path: str
    kind: Literal["directory", "file"]

    def __fspath__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class ScanError:
    """A place that a scan could not look at."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A tree, in one answer.

    Attributes:
        items: Breadth first, sorted within each directory, without the root.
        errors: What could not be looked at.
        truncated: A limit was reached: there is more.
    """

    items: list[ScanItem]
    errors: list[ScanError]
    truncated: bool


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """Progress of a transfer; passed to the ``progress`` callback.

    Attributes:
        path: The file that has just moved on, as it is called at its source.
        done_bytes: Of all files, those that were there already included.
        total_bytes: Of all files, as they were when the transfer began.
        done_files: Complete ones.
        total_files: All of them.
    """

    path: str
    done_bytes: int
    total_bytes: int
    done_files: int
    total_files: int


@dataclass(slots=True)
class TransferResult:
    """Counts of what a transfer did.

    Attributes:
        files: How many are complete.
        sent_bytes: Content that went over the connection.
        kept_bytes: Content that was there from an earlier attempt.
        skipped: Sources that were left out: neither files, directories nor links, or links into a
            circle where links are followed.
        notes: What could not be kept of what is there now, in sentences for people: an executor
            that knows no permissions gives new files the usual ones.
    """

    files: int
    sent_bytes: int
    kept_bytes: int
    skipped: list[str]
    notes: list[str] = field(default_factory=list)


ProgressCallback: TypeAlias = Callable[[TransferProgress], None]
"""Called on the event loop, at least once for each block of 1 MiB. It must not block."""
