"""Directories and trees: listing, walking, and finding names by pattern."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from exec_server_protocol.errors import MalformedMessageError
from exec_server_protocol.filesystem import (
    CAPABILITY_LINKS,
    DirectoryEntry,
    FsReadDirectoryParams,
    FsReadDirectoryResult,
    FsWalkParams,
    FsWalkResult,
    WalkOptions,
)
from exec_server_protocol.limits import WALK_MAX_DEPTH, WALK_MAX_DIRECTORIES, WALK_MAX_ENTRIES
from exec_server_protocol.methods import FS_READ_DIRECTORY, FS_WALK

from .base import FileSystemBase
from .errors import FileError
from .paths import FilePath, native, to_uri
from .patterns import Pattern
from .types import DirectoryItem, ScanError, ScanItem, ScanResult, WalkStep

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Trees", "prefetch"]

LISTINGS_AHEAD: Final = 16
"""Directories that are asked about at once. The executor looks at them one by one; what this
saves is waiting for the network between them."""

S = TypeVar("S")
T = TypeVar("T")


class Trees(FileSystemBase):
    """Directories and what is in them."""

    async def iterdir(
        self, path: FilePath = ".", *, sandbox: SandboxContext | None = None
    ) -> AsyncIterator[DirectoryItem]:
        """Yield what is in a directory, sorted by name, links that lead nowhere included.

        An executor without ``fsLinks`` leaves those out.

        Args:
            path: The directory.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: There is none.
            NotADirectoryError: It is something else.
        """
        for item in await self._list(path, sandbox):
            yield item

    async def _list(self, path: FilePath, sandbox: SandboxContext | None) -> list[DirectoryItem]:
        session, uri, sandbox = await self._prepare(path, sandbox)
        details = True if session.supports(CAPABILITY_LINKS) else None
        params = FsReadDirectoryParams(path=uri, sandbox=sandbox, details=details)
        answer = await self._call(session, FS_READ_DIRECTORY, params, uri)
        base = native(uri).rstrip("/")
        items = [
            _item(base, entry) for entry in FsReadDirectoryResult.model_validate(answer).entries
        ]
        return sorted(items, key=lambda item: item.name)

    async def walk(
        self,
        path: FilePath = ".",
        *,
        follow_symlinks: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        sandbox: SandboxContext | None = None,
    ) -> AsyncIterator[WalkStep]:
        """Yield every directory of a tree with the names in it, level by level.

        There is no limit on the size of the tree; one level of it is in memory at a time.

        Args:
            path: The root, which comes first.
            follow_symlinks: Enter links to directories, each real directory once. Otherwise
                they are among the directories, and are not entered.
            on_error: Called with the error for a directory that cannot be listed; ``None``
                leaves such ones out in silence.
            sandbox: Policy of this call; ``None`` for the default one.

        Yields:
            A directory, its directories and its files. Remove directories from the list to
            leave them out.
        """
        session, root, _ = await self._prepare(path, sandbox)
        cwd = session.cwd
        level: list[tuple[str, bool | None]] = [(native(root), False)]
        seen: set[str] = set()

        async def look(entry: tuple[str, bool | None]) -> list[DirectoryItem] | None:
            folder, is_link = entry
            if follow_symlinks:
                real = await self.realpath(folder, sandbox=sandbox)
                if real in seen:
                    return None
                seen.add(real)
            else:
                if is_link is None:
                    is_link = (await self.stat(folder, sandbox=sandbox)).is_symlink
                if is_link:
                    return None
            return await self._list(to_uri(folder, cwd), sandbox)

        while level:
            below: list[tuple[str, bool | None]] = []
            async with aclosing(prefetch(level, _caught(look))) as answers:
                async for (folder, _), items in answers:
                    if isinstance(items, FileError):
                        if on_error is not None:
                            on_error(items)
                    elif items is not None:
                        links = {item.name: item.is_symlink for item in items if item.is_dir}
                        directories = list(links)
                        files = [item.name for item in items if not item.is_dir]
                        yield WalkStep(folder, directories, files)
                        base = folder.rstrip("/")
                        below += [(f"{base}/{name}", links.get(name)) for name in directories]
            level = below

    async def glob(
        self, pattern: str, *, include_hidden: bool = False, sandbox: SandboxContext | None = None
    ) -> AsyncIterator[str]:
        """Yield the paths that match a pattern, each once, as ``glob.iglob`` would.

        Args:
            pattern: ``*``, ``?`` and ``[…]`` within a name, ``**`` for any number of
                directories. Relative ones begin in the executor's own folder; the paths are
                absolute all the same. Links are matched, and entered where they are named,
                but not by ``**``.
            include_hidden: Let wildcards match names that begin with a dot.
            sandbox: Policy of this call; ``None`` for the default one.
        """
        parsed = Pattern(pattern, include_hidden=include_hidden)
        _, root, _ = await self._prepare(parsed.root, sandbox)
        found = [native(root)]
        if not parsed.parts:
            if await self.exists(root, sandbox=sandbox):
                yield found[0]
            return
        for number, part in enumerate(parsed.parts):
            last = number == len(parsed.parts) - 1
            matches = self._matches(found, part, parsed, last, sandbox)
            if last:
                seen: set[str] = set()
                async for path in matches:
                    if path not in seen:
                        seen.add(path)
                        yield path
            else:
                found = list(dict.fromkeys([path async for path in matches]))

    async def _matches(
        self,
        folders: list[str],
        part: str,
        pattern: Pattern,
        last: bool,
        sandbox: SandboxContext | None,
    ) -> AsyncIterator[str]:
        """Yield what one part of a pattern matches below the folders found so far."""
        if part == "**":
            for folder in folders:
                async for path in self._below(folder, pattern, last, sandbox):
                    yield path
        elif not pattern.is_wild(part):
            paths = [f"{folder.rstrip('/')}/{part}" for folder in folders]

            async def exists(path: str) -> bool:
                return await self.exists(path, sandbox=sandbox)

            async for path, there in prefetch(paths, _caught(exists)):
                if there is True:
                    yield path
        else:

            async def listing(folder: str) -> list[DirectoryItem]:
                return await self._list(folder, sandbox)

            async for _, items in prefetch(folders, _caught(listing)):
                for item in items if isinstance(items, list) else ():
                    if (last or item.is_dir) and pattern.matches(part, item.name):
                        yield item.path

    async def _below(
        self, folder: str, pattern: Pattern, last: bool, sandbox: SandboxContext | None
    ) -> AsyncIterator[str]:
        async for step in self.walk(folder, sandbox=sandbox):
            if not pattern.include_hidden:
                step.directories[:] = [n for n in step.directories if not n.startswith(".")]
            if step.path == folder or not last:
                yield step.path
            if last:
                base = step.path.rstrip("/")
                names = step.directories + step.files
                for name in names if pattern.include_hidden else _visible(names):
                    yield f"{base}/{name}"

    async def scan(
        self,
        path: FilePath = ".",
        *,
        max_depth: int = WALK_MAX_DEPTH,
        max_directories: int = WALK_MAX_DIRECTORIES,
        max_entries: int = WALK_MAX_ENTRIES,
        follow_symlinks: bool = False,
        prune_hidden: bool = False,
        sandbox: SandboxContext | None = None,
    ) -> ScanResult:
        """Return a tree in one answer, as far as limits allow: one request, however deep.

        Links are left out unless they are followed; so is what is neither file nor directory.

        Args:
            path: The root.
            max_depth: 0 for the children of the root only; at most 64.
            max_directories: 1 to 10,000.
            max_entries: 1 to 50,000; the answer has 4 MiB at most, whatever this says.
            follow_symlinks: Enter links to directories, each real directory once.
            prune_hidden: List directories whose name begins with a dot without entering them.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            FileNotFoundError: There is no root.
        """
        session, uri, sandbox = await self._prepare(path, sandbox)
        options = WalkOptions(
            max_depth=max_depth,
            max_directories=max_directories,
            max_entries=max_entries,
            follow_directory_symlinks=follow_symlinks,
            prune_hidden_directories=prune_hidden,
        )
        params = FsWalkParams(path=uri, options=options, sandbox=sandbox)
        answer = await self._call(session, FS_WALK, params, uri)
        result = FsWalkResult.model_validate(answer)
        return ScanResult(
            items=[ScanItem(native(entry.path), entry.kind) for entry in result.entries],
            errors=[ScanError(native(error.path), error.message) for error in result.errors],
            truncated=result.truncated,
        )


def _item(base: str, entry: DirectoryEntry) -> DirectoryItem:
    name = entry.file_name
    if entry.name_base64 is not None:
        name = os.fsdecode(entry.name_base64)
    # A name is used to build paths, here as well when a tree is downloaded.
    if name in ("", ".", "..") or {"/", "\0"} & set(name):
        raise MalformedMessageError("a directory listing with what is no name")
    return DirectoryItem(
        name,
        f"{base}/{name}",
        entry.is_directory,
        entry.is_file,
        entry.is_symlink,
        entry.size,
        None if entry.modified_at_ms is None else entry.modified_at_ms / 1000,
        entry.file_mode,
    )


async def prefetch(
    items: Iterable[S], ask: Callable[[S], Awaitable[T]], limit: int = LISTINGS_AHEAD
) -> AsyncGenerator[tuple[S, T], None]:
    """Yield each item with the answer to a question about it, asking for the next ones meanwhile.

    Leaving it early, or cancelling it, cancels the questions that are open.
    """
    loop = asyncio.get_running_loop()
    source = iter(items)
    open_questions: list[tuple[S, asyncio.Task[T]]] = []

    async def answer(item: S) -> T:
        return await ask(item)

    try:
        while True:
            for item in source:
                open_questions.append((item, loop.create_task(answer(item))))
                if len(open_questions) >= limit:
                    break
            if not open_questions:
                return
            item, task = open_questions[0]
            await asyncio.wait([task])
            del open_questions[0]
            yield item, task.result()
    finally:
        for _, task in open_questions:
            task.cancel()
        if open_questions:
            await asyncio.wait([task for _, task in open_questions])
            for _, task in open_questions:
                if not task.cancelled():
                    task.exception()  # seen: nobody asks for this answer any more


def _caught(ask: Callable[[S], Awaitable[T]]) -> Callable[[S], Awaitable[T | FileError]]:
    async def answer(item: S) -> T | FileError:
        try:
            return await ask(item)
        except FileError as error:
            return error

    return answer


def _visible(names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if not name.startswith("."))
