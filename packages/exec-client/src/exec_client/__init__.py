"""Client of an executor: processes and files, over connections that may break.

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

from typing import TYPE_CHECKING

from exec_server_protocol._exports import lazy_exports

if TYPE_CHECKING:
    from .access import TlsFiles as TlsFiles
    from .access import Token as Token
    from .access import TokenFile as TokenFile
    from .client import Client as Client
    from .client import connect as connect
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
    from .filesystem import FileError as FileError
    from .filesystem import FileHandleLostError as FileHandleLostError
    from .filesystem import FileStat as FileStat
    from .filesystem import FileSystem as FileSystem
    from .gaps import Gap as Gap
    from .http import Http as Http
    from .http import HttpResponse as HttpResponse
    from .http import HttpStream as HttpStream
    from .options import ClientOptions as ClientOptions
    from .process.completed import CompletedProcess as CompletedProcess
    from .process.events import ClosedEvent as ClosedEvent
    from .process.events import ExitedEvent as ExitedEvent
    from .process.events import FailedEvent as FailedEvent
    from .process.events import GapEvent as GapEvent
    from .process.events import OutputEvent as OutputEvent
    from .process.events import ProcessEvent as ProcessEvent
    from .process.output import OutputStream as OutputStream
    from .process.process import Process as Process
    from .process.start_errors import StartError as StartError
    from .process.start_errors import StartFileNotFoundError as StartFileNotFoundError
    from .process.start_errors import StartFolderNotFoundError as StartFolderNotFoundError
    from .process.start_errors import StartNotADirectoryError as StartNotADirectoryError
    from .process.start_errors import StartPermissionError as StartPermissionError

_EXPORTS = {
    "AccessDeniedError": "errors",
    "Client": "client",
    "BadAnswerError": "errors",
    "ClientClosedError": "errors",
    "ClientError": "errors",
    "ClientOptions": "options",
    "ClientState": "connection.states",
    "ClosedEvent": "process.events",
    "CompletedProcess": "process.completed",
    "ConnectError": "errors",
    "ConnectTimeoutError": "errors",
    "ConnectionBrokenError": "errors",
    "Environment": "environment",
    "ExecError": "errors",
    "ExitedEvent": "process.events",
    "FailedEvent": "process.events",
    "FileError": "filesystem.errors",
    "FileHandleLostError": "filesystem.errors",
    "FileStat": "filesystem.types",
    "FileSystem": "filesystem.filesystem",
    "Gap": "gaps",
    "GapEvent": "process.events",
    "HandshakeRejectedError": "errors",
    "HandshakeTimeoutError": "errors",
    "InsecureTokenError": "errors",
    "Http": "http",
    "HttpBodyError": "errors",
    "HttpResponse": "http",
    "HttpStream": "http",
    "OutputEvent": "process.events",
    "OutputLimitError": "errors",
    "OutputLostError": "errors",
    "OutputStream": "process.output",
    "Process": "process.process",
    "ProcessBrokenError": "errors",
    "ProcessEvent": "process.events",
    "ProcessFailedError": "errors",
    "RecoveryDeadlineError": "errors",
    "SessionExpiredError": "errors",
    "SessionLostError": "errors",
    "StartError": "process.start_errors",
    "StartFileNotFoundError": "process.start_errors",
    "StartFolderNotFoundError": "process.start_errors",
    "StartNotADirectoryError": "process.start_errors",
    "StartPermissionError": "process.start_errors",
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

__all__ = list(_EXPORTS)

__getattr__ = lazy_exports(__name__, _EXPORTS)
