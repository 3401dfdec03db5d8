"""Directories and trees: listing, walking, and finding names by pattern."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from exec_server_protocol.errors import MalformedMessageError
from exec_server_protocol.filesystem import (
    FsReadDirectoryParams,
    FsReadDirectoryResult,
    FsWalkParams,
    FsWalkResult,
    WalkOptions,
)
from exec_server_protocol.limits import WALK_MAX_DEPTH, WALK_MAX_DIRECTORIES, WALK_MAX_ENTRIES

from .base import FileSystemBase
from .errors import FileError
from .paths import FilePath, native, to_uri
from .patterns import Pattern
from .types import DirectoryItem, ScanError, ScanItem, ScanResult, WalkStep

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["Trees", "ahead"]

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
        """Yield what is in a directory, sorted by name; links that lead nowhere are left out.

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
        params = FsReadDirectoryParams(path=uri, sandbox=sandbox)
        answer = await self._call(session, "fs/readDirectory", params, uri, idempotent=True)
        base = native(uri).rstrip("/")
        entries = FsReadDirectoryResult.model_validate(answer).entries
        for entry in entries:
            # A name is used to build paths, here as well when a tree is downloaded.
            if entry.file_name in ("", ".", "..") or {"/", "\0"} & set(entry.file_name):
                raise MalformedMessageError("a directory listing with what is no name")
        return [
            DirectoryItem(name, f"{base}/{name}", is_dir, is_file)
            for name, is_dir, is_file in sorted(
                (entry.file_name, entry.is_directory, entry.is_file) for entry in entries
            )
        ]

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
        walk = self._walk(path, follow_symlinks=follow_symlinks, on_error=on_error, sandbox=sandbox)
        async with aclosing(walk) as steps:
            async for step in steps:
                yield step

    async def _walk(
        self,
        path: FilePath,
        *,
        follow_symlinks: bool = False,
        on_error: Callable[[OSError], None] | None = None,
        on_alias: Callable[[str], None] | None = None,
        sandbox: SandboxContext | None = None,
    ) -> AsyncGenerator[WalkStep, None]:
        """Walk, and tell about directories that have been seen under another name."""
        session, root, _ = await self._prepare(path, sandbox)
        cwd = session.environment_info.cwd
        level = [(native(root), True)]
        seen: set[str] = set()

        async def look(entry: tuple[str, bool]) -> list[DirectoryItem] | None:
            folder, is_root = entry
            if follow_symlinks:
                real = await self.realpath(folder, sandbox=sandbox)
                if real in seen:
                    return None
                seen.add(real)
            elif not is_root and (await self.stat(folder, sandbox=sandbox)).is_symlink:
                return None
            return await self._list(to_uri(folder, cwd), sandbox)

        while level:
            below: list[tuple[str, bool]] = []
            async with aclosing(ahead(level, _caught(look))) as answers:
                async for (folder, _), items in answers:
                    if isinstance(items, FileError):
                        if on_error is not None:
                            on_error(items)
                    elif items is None:
                        if on_alias is not None:
                            on_alias(folder)
                    else:
                        directories = [item.name for item in items if item.is_dir]
                        files = [item.name for item in items if not item.is_dir]
                        yield WalkStep(folder, directories, files)
                        base = folder.rstrip("/")
                        below += [(f"{base}/{name}", False) for name in directories]
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

            async for path, there in ahead(paths, _caught(exists)):
                if there is True:
                    yield path
        else:

            async def listing(folder: str) -> list[DirectoryItem]:
                return await self._list(folder, sandbox)

            async for _, items in ahead(folders, _caught(listing)):
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
        answer = await self._call(session, "fs/walk", params, uri, idempotent=True)
        result = FsWalkResult.model_validate(answer)
        return ScanResult(
            items=[ScanItem(native(entry.path), entry.kind) for entry in result.entries],
            errors=[ScanError(native(error.path), error.message) for error in result.errors],
            truncated=result.truncated,
        )


async def ahead(
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
