"""``client.fs`` without ``async``. Open files are those of the standard library."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from ..filesystem.handles import BLOCK_BYTES
from ..filesystem.opening import MODES
from .portal import PortalIterator

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

    from ..filesystem.filesystem import FileSystem as AsyncFileSystem
    from ..filesystem.open_files import BinaryReader, BinaryWriter, OpenFile
    from ..filesystem.paths import FilePath
    from ..filesystem.types import DirectoryItem, FileStat, ScanResult, TransferResult, WalkStep
    from ..filesystem.updating import BinaryUpdater
    from .portal import Portal

__all__ = ["FileSystem"]


class FileSystem:
    """``exec_client.FileSystem`` without ``async``.

    The methods take what those of the same names take there, ``sandbox`` included. Open files
    are ordinary ones: ``io.BufferedReader``, ``io.BufferedWriter`` or ``io.TextIOWrapper``.
    """

    def __init__(self, portal: Portal, files: AsyncFileSystem) -> None:
        self._portal = portal
        self._files = files

    def __repr__(self) -> str:
        return f"<sync {self._files!r}>"

    def with_sandbox(self, sandbox: SandboxContext | None) -> FileSystem:
        """Return the same files with another default policy."""
        return FileSystem(self._portal, self._files.with_sandbox(sandbox))

    # ------------------------------------------------------------------ what is there

    def stat(self, path: FilePath, **options: Any) -> FileStat:
        """Return what is at a path."""
        return self._portal.call(self._files.stat(path, **options))

    def lstat(self, path: FilePath, **options: Any) -> FileStat:
        """Return what is at a path: of a link, the link itself."""
        return self._portal.call(self._files.lstat(path, **options))

    def exists(self, path: FilePath, **options: Any) -> bool:
        """Return whether something is at a path."""
        return self._portal.call(self._files.exists(path, **options))

    def is_file(self, path: FilePath, **options: Any) -> bool:
        """Return whether a path is a regular file, or a link to one."""
        return self._portal.call(self._files.is_file(path, **options))

    def is_dir(self, path: FilePath, **options: Any) -> bool:
        """Return whether a path is a directory, or a link to one."""
        return self._portal.call(self._files.is_dir(path, **options))

    def is_symlink(self, path: FilePath, **options: Any) -> bool:
        """Return whether a path is a symbolic link."""
        return self._portal.call(self._files.is_symlink(path, **options))

    def realpath(self, path: FilePath, **options: Any) -> str:
        """Return the absolute path without links."""
        return self._portal.call(self._files.realpath(path, **options))

    # ------------------------------------------------------------------ contents

    def read_bytes(self, path: FilePath, **options: Any) -> bytes:
        """Return the content of a regular file."""
        return self._portal.call(self._files.read_bytes(path, **options))

    def read_text(self, path: FilePath, encoding: str = "utf-8", **options: Any) -> str:
        """Return the content of a text file, its line ends as they are."""
        return self._portal.call(self._files.read_text(path, encoding, **options))

    def write_bytes(
        self, path: FilePath, data: bytes | bytearray | memoryview, **options: Any
    ) -> int:
        """Write a whole file and return how many bytes."""
        return self._portal.call(self._files.write_bytes(path, data, **options))

    def write_text(self, path: FilePath, text: str, encoding: str = "utf-8", **options: Any) -> int:
        """Write a whole text file and return how many characters."""
        return self._portal.call(self._files.write_text(path, text, encoding, **options))

    @overload
    def open(
        self, path: FilePath, mode: Literal["rb"], *, sandbox: SandboxContext | None = None
    ) -> io.BufferedReader: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["wb", "xb", "ab"],
        *,
        sandbox: SandboxContext | None = None,
    ) -> io.BufferedWriter: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["r+b", "rb+"],
        *,
        sandbox: SandboxContext | None = None,
    ) -> io.BufferedRandom: ...

    @overload
    def open(
        self,
        path: FilePath,
        mode: Literal["r", "rt", "w", "wt", "x", "xt", "a", "at"] = "r",
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        sandbox: SandboxContext | None = None,
    ) -> io.TextIOWrapper: ...

    def open(
        self,
        path: FilePath,
        mode: str = "r",
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        sandbox: SandboxContext | None = None,
    ) -> IO[Any]:
        """Open a regular file; close the result, or use it with ``with``.

        Args:
            path: The file.
            mode: ``r`` and ``rb`` read; ``w`` and ``wb`` empty the file, or make it, and write;
                ``x`` and ``xb`` make one that must not be there; ``a`` and ``ab`` write at its
                end; ``r+b`` reads and writes one that is there.
            encoding: Of text.
            errors: What becomes of text that has no such encoding.
            sandbox: Policy of this call; ``None`` for the default one.

        Raises:
            ValueError: Another mode.
            FileNotFoundError: There is no such file, or no such folder.
            FileExistsError: With ``x``: something is there.
        """
        kind = MODES.get(mode)
        if kind is None:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
        opening: Any = self._files.open  # its overloads know literals only
        binary_kind = kind if kind.endswith("b") else f"{kind}b"
        file = self._portal.call(_opened(opening(path, binary_kind, sandbox=sandbox)))
        binary: Any
        if "+" in kind:
            binary = io.BufferedRandom(_RawUpdater(self._portal, file), BLOCK_BYTES)
        elif kind[0] == "r":
            binary = io.BufferedReader(_RawReader(self._portal, file), BLOCK_BYTES)
        else:
            binary = _Writer(_RawWriter(self._portal, file, binary_kind), BLOCK_BYTES)
        if kind.endswith("b"):
            return binary  # type: ignore[no-any-return]
        return io.TextIOWrapper(binary, encoding, errors, newline="\n")

    # ------------------------------------------------------------------ changes

    def mkdir(self, path: FilePath, **options: Any) -> None:
        """Make a directory."""
        self._portal.call(self._files.mkdir(path, **options))

    def remove(self, path: FilePath, **options: Any) -> None:
        """Remove a file, a link or a directory."""
        self._portal.call(self._files.remove(path, **options))

    def copy(self, source: FilePath, target: FilePath, **options: Any) -> list[str]:
        """Copy a file, or a tree, on the executor; return what was left out."""
        return self._portal.call(self._files.copy(source, target, **options))

    def move(self, source: FilePath, target: FilePath, **options: Any) -> None:
        """Rename a file or a directory."""
        self._portal.call(self._files.move(source, target, **options))

    def touch(self, path: FilePath, **options: Any) -> None:
        """Make an empty file, or set the times of one that is there."""
        self._portal.call(self._files.touch(path, **options))

    def chmod(self, path: FilePath, mode: int, **options: Any) -> None:
        """Set the permission bits of a file or a directory."""
        self._portal.call(self._files.chmod(path, mode, **options))

    def utime(
        self, path: FilePath, times: tuple[float, float] | None = None, **options: Any
    ) -> None:
        """Set when a file was read and changed last."""
        self._portal.call(self._files.utime(path, times, **options))

    def symlink(
        self,
        target: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        path: FilePath,
        **options: Any,
    ) -> None:
        """Make a symbolic link at ``path``, in the order of ``os.symlink``."""
        self._portal.call(self._files.symlink(target, path, **options))

    def readlink(self, path: FilePath, **options: Any) -> str:
        """Return what a symbolic link says."""
        return self._portal.call(self._files.readlink(path, **options))

    # ------------------------------------------------------------------ trees

    def iterdir(self, path: FilePath = ".", **options: Any) -> Iterator[DirectoryItem]:
        """Return what is in a directory, sorted by name."""
        return PortalIterator(self._portal, self._files.iterdir(path, **options))

    def walk(self, path: FilePath = ".", **options: Any) -> Iterator[WalkStep]:
        """Return every directory of a tree with the names in it, level by level."""
        return PortalIterator(self._portal, self._files.walk(path, **options))

    def glob(self, pattern: str, **options: Any) -> Iterator[str]:
        """Return the paths that match a pattern."""
        return PortalIterator(self._portal, self._files.glob(pattern, **options))

    def scan(self, path: FilePath = ".", **options: Any) -> ScanResult:
        """Return a tree in one answer, as far as limits allow."""
        return self._portal.call(self._files.scan(path, **options))

    # ------------------------------------------------------------------ transfers

    def upload(
        self, source: str | os.PathLike[str], target: FilePath, **options: Any
    ) -> TransferResult:
        """Copy a file or a tree from here to the executor. Callbacks run on another thread."""
        return self._portal.call(self._files.upload(source, target, **options))

    def download(
        self, source: FilePath, target: str | os.PathLike[str], **options: Any
    ) -> TransferResult:
        """Copy a file or a tree from the executor to here. Callbacks run on another thread."""
        return self._portal.call(self._files.download(source, target, **options))


class _RawReader(io.RawIOBase):
    def __init__(self, portal: Portal, file: BinaryReader) -> None:
        self._portal = portal
        self._file = file
        self.name = file.name
        self.mode = "rb"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._portal.call(self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._portal.call(self._file.read())

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._portal.call(self._file.seek(offset, whence))

    def close(self) -> None:
        _close(self._portal, self._file)
        super().close()


class _RawWriter(io.RawIOBase):
    def __init__(self, portal: Portal, file: BinaryWriter, mode: str) -> None:
        self._portal = portal
        self._file = file
        self.name = file.name
        self.mode = mode

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        # The buffer is the caller's again after this.
        return self._portal.call(self._file.write(bytes(data)))

    def flush(self) -> None:
        if not self.closed and not self._file.closed and self._portal.is_open:
            self._portal.call(self._file.flush())

    def close(self) -> None:
        try:
            _close(self._portal, self._file)
        finally:
            super().close()


class _RawUpdater(io.RawIOBase):
    def __init__(self, portal: Portal, file: BinaryUpdater) -> None:
        self._portal = portal
        self._file = file
        self.name = file.name
        self.mode = "r+b"

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._portal.call(self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._portal.call(self._file.write(bytes(data)))

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._portal.call(self._file.seek(offset, whence))

    def close(self) -> None:
        _close(self._portal, self._file)
        super().close()


class _Writer(io.BufferedWriter):
    def flush(self) -> None:
        super().flush()
        self.raw.flush()  # which the base class leaves out


def _close(portal: Portal, file: OpenFile) -> None:
    """Close a file; with the client everything is closed already."""
    if not file.closed and portal.is_open:
        portal.call(file.close())


async def _opened(opening: Any) -> Any:
    return await opening
