"""Start processes and work on files on an executor, over connections that may break.

::

    import asyncio
    from exec_client import connect

    async def main() -> None:
        async with connect("ws://127.0.0.1:8765") as client:
            done = await client.run(["uname", "-a"], check=True)
            print(done.stdout.decode())

    asyncio.run(main())

``exec_client.sync`` has the same without ``async``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access import TlsFiles as TlsFiles
    from .access import Token as Token
    from .access import TokenFile as TokenFile
    from .client import Client as Client
    from .client import connect as connect
    from .completed import CompletedProcess as CompletedProcess
    from .connection.states import ClientState as ClientState
    from .connection.states import StateChange as StateChange
    from .environment import Environment as Environment
    from .errors import AccessDeniedError as AccessDeniedError
    from .errors import BadAnswerError as BadAnswerError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import ClientError as ClientError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionBrokenError as ConnectionBrokenError
    from .errors import ConnectTimeoutError as ConnectTimeoutError
    from .errors import ExecError as ExecError
    from .errors import HandshakeRejectedError as HandshakeRejectedError
    from .errors import HandshakeTimeoutError as HandshakeTimeoutError
    from .errors import HttpBodyError as HttpBodyError
    from .errors import InsecureTokenError as InsecureTokenError
    from .errors import OutputLimitError as OutputLimitError
    from .errors import OutputLostError as OutputLostError
    from .errors import ProcessBrokenError as ProcessBrokenError
    from .errors import ProcessFailedError as ProcessFailedError
    from .errors import RecoveryDeadlineError as RecoveryDeadlineError
    from .errors import SessionExpiredError as SessionExpiredError
    from .errors import SessionLostError as SessionLostError
    from .errors import StdinClosedError as StdinClosedError
    from .errors import TimeoutExpired as TimeoutExpired
    from .errors import TlsError as TlsError
    from .errors import UnsupportedError as UnsupportedError
    from .errors import WrongContextError as WrongContextError
    from .events import ClosedEvent as ClosedEvent
    from .events import ExitedEvent as ExitedEvent
    from .events import FailedEvent as FailedEvent
    from .events import GapEvent as GapEvent
    from .events import OutputEvent as OutputEvent
    from .events import ProcessEvent as ProcessEvent
    from .filesystem import FileError as FileError
    from .filesystem import FileHandleLostError as FileHandleLostError
    from .filesystem import FileStat as FileStat
    from .filesystem import FileSystem as FileSystem
    from .gaps import Gap as Gap
    from .http import Http as Http
    from .http import HttpResponse as HttpResponse
    from .http import HttpStream as HttpStream
    from .options import ClientOptions as ClientOptions
    from .output import OutputStream as OutputStream
    from .process import Process as Process
    from .start_errors import StartError as StartError
    from .start_errors import StartFileNotFoundError as StartFileNotFoundError
    from .start_errors import StartFolderNotFoundError as StartFolderNotFoundError
    from .start_errors import StartNotADirectoryError as StartNotADirectoryError
    from .start_errors import StartPermissionError as StartPermissionError

_HOME = {
    "AccessDeniedError": "errors",
    "Client": "client",
    "BadAnswerError": "errors",
    "ClientClosedError": "errors",
    "ClientError": "errors",
    "ClientOptions": "options",
    "ClientState": "connection.states",
    "ClosedEvent": "events",
    "CompletedProcess": "completed",
    "ConnectError": "errors",
    "ConnectTimeoutError": "errors",
    "ConnectionBrokenError": "errors",
    "Environment": "environment",
    "ExecError": "errors",
    "ExitedEvent": "events",
    "FailedEvent": "events",
    "FileError": "filesystem.errors",
    "FileHandleLostError": "filesystem.errors",
    "FileStat": "filesystem.types",
    "FileSystem": "filesystem.filesystem",
    "Gap": "gaps",
    "GapEvent": "events",
    "HandshakeRejectedError": "errors",
    "HandshakeTimeoutError": "errors",
    "InsecureTokenError": "errors",
    "Http": "http",
    "HttpBodyError": "errors",
    "HttpResponse": "http",
    "HttpStream": "http",
    "OutputEvent": "events",
    "OutputLimitError": "errors",
    "OutputLostError": "errors",
    "OutputStream": "output",
    "Process": "process",
    "ProcessBrokenError": "errors",
    "ProcessEvent": "events",
    "ProcessFailedError": "errors",
    "RecoveryDeadlineError": "errors",
    "SessionExpiredError": "errors",
    "SessionLostError": "errors",
    "StartError": "start_errors",
    "StartFileNotFoundError": "start_errors",
    "StartFolderNotFoundError": "start_errors",
    "StartNotADirectoryError": "start_errors",
    "StartPermissionError": "start_errors",
    "StateChange": "connection.states",
    "StdinClosedError": "errors",
    "TimeoutExpired": "errors",
    "TlsError": "errors",
    "TlsFiles": "access",
    "Token": "access",
    "TokenFile": "access",
    "UnsupportedError": "errors",
    "WrongContextError": "errors",
    "connect": "client",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
