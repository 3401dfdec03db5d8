"""Files of an executor for everything that uses fsspec: ``exec://HOST:PORT/path``.

::

    import fsspec

    with fsspec.open("exec://build:8765/srv/results.csv") as file:
        ...
    fs = fsspec.filesystem("exec", url="wss://build", options=ClientOptions(token=...))
    fs.get("/srv/results", "results", recursive=True)

Needs the package's extra: ``pip install 'exec-client[fsspec]'``.

``execs://`` is for executors behind TLS. ``exec://local/path`` asks for a server of one's own on
this machine. ``exec:///path`` has no executor in it: that of ``$EXEC_SERVER_URL`` or
``$CODEX_EXEC_SERVER_URL`` is used, and without one it is an error.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import posixpath
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from exec_server_protocol.filesystem import (
    CAPABILITY_CREATE_APPEND,
    CAPABILITY_FILE_MODES,
    CAPABILITY_MOVE,
)

from ._fsspec.facts import facts, facts_of_link, follower, time_of
from ._fsspec.file import DEFAULT_CALLBACK, AsyncFileSystem, ExecFile, sync, sync_teardown
from ._fsspec.names import LOCAL, PROTOCOLS, Stripping, Variable, canonical, joined, parsed
from .environment import Environment, EnvironmentConfigError
from .environment.config import URL_VARIABLES, is_disabled, normalize_url, url_from_environ

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

    from .filesystem import BinaryReader, BinaryWriter, DirectoryItem, FileSystem
    from .options import ClientOptions

__all__ = ["ExecFileSystem"]

T = TypeVar("T")

_CLOSE_SECONDS: Final = 5.0


class ExecFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """The files of one executor.

    Connects when it is first used, and keeps the connection through interruptions; see
    ``exec_client.Environment``. What the executor refuses is a ``FileError``.

    Args:
        url: ``ws://`` or ``wss://``; ``"local"`` for a server of its own on this machine;
            ``None`` for the one in the environment's variables.
        options: How to connect.
        sandbox: Policy of all calls; ``None`` for that of the options.
        auto_mkdir: Make missing folders when files are written or copied.
        **storage: As fsspec defines them, ``asynchronous`` and ``loop`` among them.

    Raises:
        EnvironmentConfigError: No executor is named, or the variable turns executors off.
        ValueError: The URL names no executor; from any method: a path is a URL of another one.
    """

    protocol = PROTOCOLS
    root_marker = "/"
    _from_environ = Variable()
    _extra_tokenize_attributes = ("_from_environ",)

    def __init__(
        self,
        url: str | None = None,
        *,
        options: ClientOptions | None = None,
        sandbox: SandboxContext | None = None,
        auto_mkdir: bool = False,
        **storage: Any,
    ) -> None:
        super().__init__(**storage)
        address = normalize_url(url) or url_from_environ(os.environ)
        if is_disabled(address):
            raise EnvironmentConfigError("there is no executor: the URL is `none`")
        if address is None:
            # Not this machine: who forgets the host means another one.
            raise EnvironmentConfigError(
                "no executor is named: write exec://HOST:PORT/path, pass url=, set "
                f"{URL_VARIABLES[0]}, or ask for this machine by exec://local/path"
            )
        self._address = canonical(address)
        self._environment = Environment.create(
            None if self._address == LOCAL else self._address, options=options
        )
        self._sandbox = sandbox
        self._auto_mkdir = auto_mkdir
        self._ending: set[Future[None]] = set()  # one for each open file that was dropped
        if not self.asynchronous:
            # It runs on fsspec's loop, which goes on without us.
            weakref.finalize(self, _close, self.loop, self._environment)

    def __reduce__(self) -> Any:
        # Variables may differ where it is unpickled.
        make, (kind, arguments, options) = super().__reduce__()
        if arguments:
            arguments = (self._address, *arguments[1:])
        else:
            options = {**options, "url": self._address}
        return make, (kind, arguments, options)

    @property
    def files(self) -> FileSystem:
        """The same files with this package's own calls, for use on the same event loop."""
        return self._environment.fs.with_sandbox(self._sandbox)

    async def _aclose(self) -> None:
        """End the connection, and the server of its own, for good."""
        if self._ending:
            endings = [asyncio.wrap_future(one) for one in list(self._ending)]
            await asyncio.wait(endings, timeout=_CLOSE_SECONDS)
        await self._environment.aclose()

    def end_later(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let the loop end a file that was dropped; ``close`` waits for it."""
        future = asyncio.run_coroutine_threadsafe(ending, self.loop)
        self._ending.add(future)
        future.add_done_callback(self._ending.discard)

    def close(self) -> None:
        """End the connection, and the server of its own, for good."""
        sync(self.loop, self._aclose)
        self.clear_instance_cache()

    # ------------------------------------------------------------------ names

    _strip_protocol: Any = Stripping()

    @classmethod
    def _strip(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip(one) for one in path]
        return parsed(path)[1]

    def _strip_own(self, path: Any) -> Any:
        if isinstance(path, list):
            return [self._strip_own(one) for one in path]
        address, name = parsed(path)
        if address not in (None, self._address):
            # fsspec may hand one file system the URLs of several.
            raise ValueError(f"{joined(address, name)} is not on this executor")
        return name

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        address, _name = parsed(path)
        return {} if address is None else {"url": address}

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path, which has the executor in it."""
        return joined(self._address, self._strip_own(name))

    # ------------------------------------------------------------------ what is there

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        try:
            return facts(path, await self.files.stat(path))
        except FileNotFoundError:
            # What ``ls`` names has an ``info``: a link that leads nowhere, too.
            if not (await self.files.session()).supports(CAPABILITY_FILE_MODES):
                raise
            if not (await self.files.lstat(path)).is_symlink:
                raise
            return facts_of_link(path)

    async def _exists(self, path: str, **_: Any) -> bool:
        return await self.files.exists(self._strip_protocol(path))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        from .filesystem.errors import FileError, is_missing
        from .filesystem.trees import prefetch

        path = self._strip_protocol(path)
        try:
            items = [item async for item in self.files.iterdir(path)]
        except NotADirectoryError:
            info = await self._info(path)
            return [info] if detail else [path]
        if not detail:
            return [item.path for item in items]

        async def look(item: DirectoryItem) -> dict[str, Any] | None:
            try:
                return facts(item.path, await self.files.stat(item.path))
            except FileError as error:
                if is_missing(error):
                    # It leads nowhere, or is gone meanwhile.
                    return facts_of_link(item.path) if item.is_symlink else None
                raise

        return [info async for _item, info in prefetch(items, look) if info is not None]

    def created(self, path: str) -> datetime.datetime:
        """Return when a file was made, in UTC."""
        return time_of(path, self.info(path)["created"])

    def modified(self, path: str) -> datetime.datetime:
        """Return when a file was last changed, in UTC."""
        return time_of(path, self.info(path)["mtime"])

    # ------------------------------------------------------------------ contents

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        if start is None and end is None:
            return await self.files.read_bytes(path)
        async with self.files.open(path, "rb") as file:
            first, last, _step = slice(start, end).indices(file.size)
            return await file.pread(first, max(0, last - first))

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        new = mode == "create" and not await self._refuses_what_is_there(path)
        await self.making_folders(path, lambda: self.files.write_bytes(path, value, exclusive=new))

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **_: Any,
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if _is_folder(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        new = mode == "create" and not await self._refuses_what_is_there(rpath)
        await self.making_folders(
            rpath,
            lambda: self.files.upload(lpath, rpath, exclusive=new, progress=follower(callback)),
        )

    async def _get_file(
        self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if await self.files.is_dir(rpath):
            _make_folder(lpath)
            return
        _make_folder(os.path.dirname(lpath))
        await self.files.download(rpath, lpath, progress=follower(callback))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> ExecFile:
        if mode not in ("rb", "wb", "xb", "ab"):
            raise NotImplementedError(f"mode {mode!r}: fsspec reads, replaces, creates and appends")
        return ExecFile(self, self._strip_protocol(path), mode, **options)

    async def open_async(
        self, path: str, mode: Literal["rb", "wb", "xb", "ab"] = "rb", **_: Any
    ) -> BinaryReader | BinaryWriter:
        """Open a file for use on this event loop; see ``exec_client.FileSystem.open``."""
        path = self._strip_protocol(path)
        if mode == "rb":
            return await self.files.open(path, mode)
        if mode == "xb" and await self._refuses_what_is_there(path):
            mode = "wb"
        return await self.files.open(path, mode)

    async def _refuses_what_is_there(self, path: str) -> bool:
        """Look at once whether a file may be made, for executors that cannot refuse to write it."""
        if (await self.files.session()).supports(CAPABILITY_CREATE_APPEND):
            return False
        if await self.files.exists(path):
            raise FileExistsError(path)
        return True

    def touch(self, path: str, truncate: bool = True, **options: Any) -> None:
        """Make an empty file, or empty one; with ``truncate=False``, set only its times."""
        if truncate:
            super().touch(path, **options)
        else:
            name = self._strip_protocol(path)
            sync(self.loop, self.making_folders, name, lambda: self.files.touch(name))

    # ------------------------------------------------------------------ changes

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        await self.files.mkdir(path, parents=create_parents)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        await self.files.mkdir(path, parents=True, exist_ok=exist_ok)

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        if not await self.files.is_dir(path):
            await self.files.stat(path)
            raise NotADirectoryError(path)
        await self.files.remove(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        sync(self.loop, self._rmdir, path)

    async def _rm_file(self, path: str, **_: Any) -> None:
        await self.files.remove(self._strip_protocol(path))

    async def _rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        # One request a tree, however large; patterns are expanded as ever.
        for one in await self._expand_path(path):
            await self.files.remove(one, recursive=recursive)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if await self.files.is_dir(path1):
            await self._makedirs(path2, exist_ok=True)
        else:
            await self.making_folders(path2, lambda: self.files.copy(path1, path2), path1)

    async def _mv_file(self, path1: str, path2: str) -> None:
        await self._move(path1, path2)

    async def _move(self, path1: str, path2: str) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if path2.endswith("/") or await self.files.is_dir(target):
            target = posixpath.join(target, posixpath.basename(source))
        await self.making_folders(target, lambda: self.files.move(source, target, overwrite=True))

    def mv(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Rename a file or a tree; several of them are copied and removed.

        So is everything on an executor that cannot move.
        """
        whole = isinstance(path1, str) and isinstance(path2, str) and maxdepth is None
        if path1 == path2:
            return
        if whole and not any(c in path1 for c in "*?[") and sync(self.loop, self._can_move):
            if self.isdir(path1) and not recursive:
                raise IsADirectoryError(path1)
            sync(self.loop, self._move, path1, path2)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **options)

    async def _can_move(self) -> bool:
        return (await self.files.session()).supports(CAPABILITY_MOVE)

    async def making_folders(
        self, path: str, act: Callable[[], Awaitable[T]], source: str | None = None
    ) -> T:
        """Do something to a path; where its folder is missing, and may be made, once more."""
        try:
            return await act()
        except FileNotFoundError:
            if not self._auto_mkdir or not (source is None or await self.files.exists(source)):
                raise
            # Others may be making it at this moment.
            await self._makedirs(posixpath.dirname(path), exist_ok=True)
            return await act()


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _make_folder(path: str) -> None:
    if path:
        os.makedirs(path, exist_ok=True)


def _close(loop: Any, environment: Environment) -> None:
    try:
        sync_teardown(loop, environment.aclose, timeout=_CLOSE_SECONDS)
    except (RuntimeError, TimeoutError):
        return  # the loop has ended: the server of its own ends with this process
