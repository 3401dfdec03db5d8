"""Plan of a transfer, and its progress."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from exec_server_protocol.errors import ExecError
from exec_server_protocol.path_uri import PathUri

from .types import ProgressCallback, TransferProgress, TransferResult

__all__ = [
    "FileTally",
    "FileTransfer",
    "FolderTransfer",
    "LimitReached",
    "LinkTransfer",
    "Plan",
    "part_name",
    "run_transfer",
    "unique_part_name",
]

FILES_AT_ONCE: Final = 4
"""Small files spend their time waiting for answers. Each holds at most 4 blocks of memory."""

MAX_FRUITLESS: Final = 5
"""Lost connections in a row without a block in between, before a file is given up."""

_NAME_BYTES: Final = 200
"""Of a name of at most 255, so that the name of its part is one too."""


MAX_ENTRIES: Final = 5_000_000
"""Of a tree on an executor, which may have no end: some 3 GB of names here."""

PERMISSIONS: Final = 0o777
"""Bits that go along. Setuid and setgid do not: the copy has another owner, or comes from an
executor that is not trusted."""


@dataclass(frozen=True, slots=True)
class FileTransfer:
    """One file.

    Attributes:
        name: What it is called at its source, for people.
        local: Path here; below the folder of the tree, where there is one.
        remote: Path on the executor.
        size: Of the source, in bytes.
        modified_ms: Of the source: Unix time in milliseconds.
        mode: Permission bits of the source; ``None`` when the executor does not tell.
    """

    name: str
    local: str
    remote: PathUri
    size: int
    modified_ms: int
    mode: int | None


@dataclass(frozen=True, slots=True)
class FolderTransfer:
    """One folder; the members are those of a file."""

    name: str
    local: str
    remote: PathUri
    mode: int | None


@dataclass(frozen=True, slots=True)
class LinkTransfer:
    """One symbolic link that is made again; the members are those of a file.

    Attributes:
        said: What the link here says; ``None`` for one of the executor, which is asked later.
    """

    name: str
    local: str
    remote: PathUri
    said: bytes | None = None


@dataclass(slots=True)
class Plan:
    """Steps of a transfer, in their order.

    Links come last: a file is never written through a link that came with the same tree.

    Attributes:
        folders: To be made, outer ones first; the first is that of the tree.
        files: To be copied.
        links: To be made.
        skipped: What is left out: FIFOs, sockets, devices, and links into a circle.
        errors: What could not be looked at.
        notes: See ``TransferResult``.
    """

    folders: list[FolderTransfer] = field(default_factory=list)
    files: list[FileTransfer] = field(default_factory=list)
    links: list[LinkTransfer] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, on_error: Callable[[OSError], None] | None) -> None:
        """Tell about the errors, or raise the first of them."""
        for error in self.errors:
            if on_error is None:
                raise error
            on_error(error)


def part_name(name: str, size: int, modified_ms: int) -> str:
    """Return the name of the hidden file that a file is collected in.

    Parts of two versions of a source never mix, since each version has a name of its own.

    Args:
        name: Of the target.
        size: Of the source, in bytes.
        modified_ms: Of the source: Unix time in milliseconds.
    """
    raw = os.fsencode(name)
    tag = hashlib.sha256(b"%d:%d:%b" % (size, modified_ms, raw)).hexdigest()[:12]
    # Cut between characters, so that what was UTF-8 stays so.
    short = raw[:_NAME_BYTES].decode("utf-8", "ignore") if len(raw) > _NAME_BYTES else name
    return f".{short}.{tag}.part"


def unique_part_name(name: str) -> str:
    """Return another name for a hidden file every time: equal transfers do not meet."""
    return part_name(name, 0, int.from_bytes(os.urandom(8), "big"))


class LimitReached(ExecError, OSError):
    """A transfer is larger than it may be. It ends the whole transfer, whatever files are left."""

    def __init__(self, name: str, max_bytes: int) -> None:
        OSError.__init__(
            self, errno.EFBIG, f"the transfer is larger than {max_bytes:,} bytes", name
        )


class FileTally:
    """Progress of one file, as part of all of them."""

    def __init__(self, tally: _Tally, item: FileTransfer) -> None:
        self._tally = tally
        self._item = item
        self._at = 0

    def start(self, offset: int) -> None:
        """Begin, with so many bytes there already.

        Raises:
            LimitReached: These are too many.
        """
        self._tally.kept_bytes += offset
        self._move(offset)

    def move(self, offset: int, sent: int) -> None:
        """Be at an offset, after so many bytes more were sent.

        Raises:
            LimitReached: These are too many.
        """
        self._tally.sent_bytes += sent
        self._move(offset)

    def finish(self) -> None:
        """Be complete."""
        self._tally.done_files += 1
        self._move(self._at)

    def _move(self, offset: int) -> None:
        self._tally.done_bytes += offset - self._at
        self._at = offset
        self._tally.check(self._item.name)
        self._tally.report(self._item.name)


class _Tally:
    def __init__(
        self, plan: Plan, progress: ProgressCallback | None, max_bytes: int | None
    ) -> None:
        self._progress = progress
        self._max_bytes = max_bytes
        self._total_bytes = sum(item.size for item in plan.files)
        self._total_files = len(plan.files)
        self.done_bytes = self.sent_bytes = self.kept_bytes = 0
        self.done_files = 0

    def check(self, name: str) -> None:
        if self._max_bytes is not None and self.done_bytes > self._max_bytes:
            raise LimitReached(name, self._max_bytes)

    def report(self, name: str) -> None:
        if self._progress is not None:
            self._progress(
                TransferProgress(
                    path=name,
                    done_bytes=self.done_bytes,
                    total_bytes=self._total_bytes,
                    done_files=self.done_files,
                    total_files=self._total_files,
                )
            )


async def run_transfer(
    plan: Plan,
    copy: Callable[[FileTransfer, FileTally], Awaitable[None]],
    progress: ProgressCallback | None,
    on_error: Callable[[OSError], None] | None,
    max_bytes: int | None = None,
) -> TransferResult:
    """Copy all files of a plan, a few at once.

    Args:
        plan: What there is to do; its folders have been made.
        copy: Copies one file.
        progress: Told how far it is.
        on_error: Called with each file that fails; ``None`` ends everything with the first.
        max_bytes: Of all files together. What comes beyond ends everything.

    Raises:
        LimitReached: There was more.
    """
    tally = _Tally(plan, progress, max_bytes)
    waiting = iter(plan.files)

    async def work() -> None:
        for item in waiting:
            try:
                part = FileTally(tally, item)
                await copy(item, part)
                part.finish()
            except OSError as error:
                if on_error is None or isinstance(error, LimitReached):
                    raise
                on_error(error)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(FILES_AT_ONCE, len(plan.files))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
    return TransferResult(
        files=tally.done_files,
        sent_bytes=tally.sent_bytes,
        kept_bytes=tally.kept_bytes,
        skipped=plan.skipped,
        notes=plan.notes,
    )
