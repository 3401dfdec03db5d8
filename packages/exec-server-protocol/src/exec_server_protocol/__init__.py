"""Wire types of the exec-server protocol: envelopes, params, results, path URIs, errors.

Pure: no I/O. The names below are loaded on first use, so that a program which needs only
the light modules (``errors``, ``limits``, ``path_uri``, ``helper``) never imports pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._exports import lazy_exports

if TYPE_CHECKING:
    from ._scalars import ProcessId as ProcessId
    from ._scalars import SessionId as SessionId
    from .errors import ExecError as ExecError
    from .errors import InternalError as InternalError
    from .errors import InvalidParamsError as InvalidParamsError
    from .errors import InvalidRequestError as InvalidRequestError
    from .errors import LocalProtocolError as LocalProtocolError
    from .errors import MalformedMessageError as MalformedMessageError
    from .errors import MessageTooLargeError as MessageTooLargeError
    from .errors import MethodNotFoundError as MethodNotFoundError
    from .errors import NotFoundError as NotFoundError
    from .errors import ProtocolError as ProtocolError
    from .errors import RemoteProtocolError as RemoteProtocolError
    from .errors import RpcError as RpcError
    from .errors import SessionAlreadyAttachedError as SessionAlreadyAttachedError
    from .handshake import EnvironmentInfo as EnvironmentInfo
    from .methods import METHODS as METHODS
    from .path_uri import PathUri as PathUri
    from .process import EnvironmentPolicy as EnvironmentPolicy
    from .sandbox import SandboxContext as SandboxContext
    from .version import WIRE_REVISION as WIRE_REVISION

_EXPORTS = {
    "METHODS": "methods",
    "WIRE_REVISION": "version",
    "EnvironmentInfo": "handshake",
    "EnvironmentPolicy": "process",
    "ExecError": "errors",
    "InternalError": "errors",
    "InvalidParamsError": "errors",
    "InvalidRequestError": "errors",
    "LocalProtocolError": "errors",
    "MalformedMessageError": "errors",
    "MessageTooLargeError": "errors",
    "MethodNotFoundError": "errors",
    "NotFoundError": "errors",
    "PathUri": "path_uri",
    "ProcessId": "_scalars",
    "ProtocolError": "errors",
    "RemoteProtocolError": "errors",
    "RpcError": "errors",
    "SandboxContext": "sandbox",
    "SessionAlreadyAttachedError": "errors",
    "SessionId": "_scalars",
}

__all__ = list(_EXPORTS)

__getattr__ = lazy_exports(__name__, _EXPORTS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
