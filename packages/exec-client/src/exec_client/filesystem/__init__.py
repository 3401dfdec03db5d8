"""Files of an executor. ``FileSystem`` is what ``Client.fs`` and ``Environment.fs`` are.

The names below are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exec_server_protocol._exports import lazy_exports

if TYPE_CHECKING:
    from .errors import FileError as FileError
    from .errors import FileHandleLostError as FileHandleLostError
    from .errors import RemoteFileExistsError as RemoteFileExistsError
    from .errors import RemoteFileNotFoundError as RemoteFileNotFoundError
    from .errors import RemoteIsADirectoryError as RemoteIsADirectoryError
    from .errors import RemoteNotADirectoryError as RemoteNotADirectoryError
    from .errors import RemotePermissionError as RemotePermissionError
    from .filesystem import FileSystem as FileSystem
    from .open_files import BinaryReader as BinaryReader
    from .open_files import BinaryWriter as BinaryWriter
    from .paths import FilePath as FilePath
    from .text_files import TextReader as TextReader
    from .text_files import TextWriter as TextWriter
    from .types import DirectoryItem as DirectoryItem
    from .types import FileStat as FileStat
    from .types import ScanError as ScanError
    from .types import ScanItem as ScanItem
    from .types import ScanResult as ScanResult
    from .types import TransferProgress as TransferProgress
    from .types import TransferResult as TransferResult
    from .types import WalkStep as WalkStep
    from .updating import BinaryUpdater as BinaryUpdater

_EXPORTS = {
    "BinaryReader": "open_files",
    "BinaryUpdater": "updating",
    "BinaryWriter": "open_files",
    "DirectoryItem": "types",
    "FileError": "errors",
    "FileHandleLostError": "errors",
    "FilePath": "paths",
    "FileStat": "types",
    "FileSystem": "filesystem",
    "RemoteFileExistsError": "errors",
    "RemoteFileNotFoundError": "errors",
    "RemoteIsADirectoryError": "errors",
    "RemoteNotADirectoryError": "errors",
    "RemotePermissionError": "errors",
    "ScanError": "types",
    "ScanItem": "types",
    "ScanResult": "types",
    "TextReader": "text_files",
    "TextWriter": "text_files",
    "TransferProgress": "types",
    "TransferResult": "types",
    "WalkStep": "types",
}

__all__ = list(_EXPORTS)

__getattr__ = lazy_exports(__name__, _EXPORTS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
