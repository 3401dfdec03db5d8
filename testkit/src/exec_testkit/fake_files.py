"""An executor in memory that has files: enough of ``fs/*`` to test a client against.

Files are bytes in a dictionary. Handles belong to connections, and end with them. Requests
about files are carried out in the order in which they come, as on real executors; their
answers are late by random times, and are lost with the connection.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Final

from .fake_executor import FakeConnection, FakeExecutor

__all__ = ["FakeFile", "FakeFileExecutor"]

_NOT_FOUND: Final = {"error": {"code": -32004, "message": "No such file (os error 2)"}}
_EXISTS: Final = {"error": {"code": -32603, "message": "File exists (os error 17)"}}
_LOCKED: Final = {"error": {"code": -32603, "message": "Try again (os error 11)"}}
_UNKNOWN_HANDLE: Final = {"error": {"code": -32004, "message": "unknown file handle"}}


@dataclass
class FakeFile:
    """One file.

    Attributes:
        data: Its content.
        modified_ms: Changes with every change.
        mode: Permission bits.
    """

    data: bytearray = field(default_factory=bytearray)
    modified_ms: int = 1
    mode: int = 0o644


class FakeFileExecutor(FakeExecutor):
    """A ``FakeExecutor`` with regular files, and directories as far as names go.

    Attributes:
        files: By URI.
        handles: Open ones, by connection and id.
        opened: How many were ever opened.
        clock_ms: Goes on with every change.
        asked: Every request about files, in order.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.files: dict[str, FakeFile] = {}
        self.handles: dict[tuple[int, str], tuple[FakeFile, str]] = {}
        self.opened = 0
        self.clock_ms = 1
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def add(self, uri: str, data: bytes) -> FakeFile:
        """Put a file there, as somebody else would; a new one, also where one is."""
        self.clock_ms += 1
        file = self.files[uri] = FakeFile(bytearray(data), self.clock_ms)
        return file

    def connection_lost(self, connection: FakeConnection) -> None:
        """Close what the connection had open."""
        for key in [key for key in self.handles if key[0] == connection.number]:
            del self.handles[key]
        super().connection_lost(connection)

    def handle(self, connection: FakeConnection, message: dict[str, Any]) -> None:
        """Answer a message."""
        method, params = message["method"], message.get("params") or {}
        if not method.startswith("fs/") or not connection.ready:
            super().handle(connection, message)
            return
        self.asked.append((method, params))
        answer = getattr(self, "_" + method.replace("/", "_"))(connection, params)
        delay = self.rng.random() * 0.004
        reply = {**answer, "id": message["id"]}
        asyncio.get_running_loop().call_later(delay, connection.send, reply)

    def _touch(self, file: FakeFile) -> None:
        self.clock_ms += 1
        file.modified_ms = self.clock_ms

    def _fs_getMetadata(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        file = self.files.get(params["path"])
        if file is None:
            return _NOT_FOUND
        details = {"fileMode": file.mode, "userId": 0, "groupId": 0}
        return {
            "result": {
                **(details if params.get("details") else {}),
                "isDirectory": False,
                "isFile": True,
                "isSymlink": False,
                "size": len(file.data),
                "createdAtMs": 0,
                "modifiedAtMs": file.modified_ms,
            }
        }

    def _fs_readFile(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        file = self.files.get(params["path"])
        if file is None:
            return _NOT_FOUND
        return {"result": {"dataBase64": base64.b64encode(file.data).decode()}}

    def _fs_writeFile(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("exclusive") and params["path"] in self.files:
            return _EXISTS
        file = self.files.setdefault(params["path"], FakeFile())
        file.data = bytearray(base64.b64decode(params["dataBase64"]))
        self._touch(file)
        return {"result": {}}

    def _fs_open(self, connection: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        uri, mode = params["path"], params["mode"]
        if mode == "read" and uri not in self.files:
            return _NOT_FOUND
        if mode == "create" and uri in self.files:
            return _EXISTS
        file = self.files.setdefault(uri, FakeFile())
        if params.get("lock"):
            if any(held is file and "lock" in how for held, how in self.handles.values()):
                return _LOCKED
            mode += ", lock"
        if mode == "replace":
            file.data = bytearray()
            self._touch(file)
        self.handles[connection.number, params["handleId"]] = (file, mode)
        self.opened += 1
        return {"result": {"handleId": params["handleId"]}}

    def _fs_readBlock(self, connection: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        handle = self.handles.get((connection.number, params["handleId"]))
        if handle is None:
            return _UNKNOWN_HANDLE
        offset, length = params["offset"], params["len"]
        data = bytes(handle[0].data[offset : offset + length])
        chunk = base64.b64encode(data).decode()
        return {"result": {"chunk": chunk, "eof": len(data) < length}}

    def _fs_writeBlock(self, connection: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        handle = self.handles.get((connection.number, params["handleId"]))
        if handle is None:
            return _UNKNOWN_HANDLE
        file, offset = handle[0], params["offset"]
        data = base64.b64decode(params["chunk"])
        file.data.extend(bytes(max(0, offset - len(file.data))))
        file.data[offset : offset + len(data)] = data
        self._touch(file)
        return {"result": {}}

    def _fs_close(self, connection: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        self.handles.pop((connection.number, params["handleId"]), None)
        return {"result": {}}

    def _fs_move(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        if params["sourcePath"] not in self.files:
            return _NOT_FOUND
        self.files[params["destinationPath"]] = self.files.pop(params["sourcePath"])
        return {"result": {}}

    def _fs_remove(self, _: FakeConnection, params: dict[str, Any]) -> dict[str, Any]:
        self.files.pop(params["path"], None)
        return {"result": {}}
