"""Error codes of the wire, and one exception class for each.

::

    ExecError                           abstract: all that these packages raise on purpose
    ├─ ProtocolError                    abstract
    │  ├─ LocalProtocolError            we tried to send something illegal: a bug on our side
    │  └─ RemoteProtocolError           the peer sent something illegal
    │     ├─ MalformedMessageError      not a message at all; answered with id -1
    │     └─ MessageTooLargeError       over a size limit; ends the connection
    └─ RpcError(code, message, data)    an error reply, as an exception
       ├─ InvalidRequestError  -32600   wrong state, unknown or duplicate ids, file access denied
       ├─ MethodNotFoundError  -32601
       ├─ InvalidParamsError   -32602   params, path URIs, policies that cannot be enforced
       ├─ InternalError        -32603   other operating system errors, faults of the server
       ├─ NotFoundError        -32004   missing path, unknown file handle
       └─ SessionAlreadyAttachedError -32010   may be retried

The codes decide how fine a receiver can tell errors apart: an unknown session and a
duplicate process id share one code, and no class here is ever picked by reading a message.
All of them can be copied and pickled, whatever their constructors ask for.
This module imports the standard library only.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "NOT_FOUND",
    "SESSION_ALREADY_ATTACHED",
    "ExecError",
    "InternalError",
    "InvalidParamsError",
    "InvalidRequestError",
    "LocalProtocolError",
    "MalformedMessageError",
    "MessageTooLargeError",
    "MethodNotFoundError",
    "NotFoundError",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestTooLargeError",
    "RpcError",
    "SessionAlreadyAttachedError",
]

INVALID_REQUEST: Final = -32600
"""Wrong state, unknown or duplicate id, file access denied, malformed message."""
METHOD_NOT_FOUND: Final = -32601
"""The server does not know the method."""
INVALID_PARAMS: Final = -32602
"""Params of the wrong shape, path URIs that mean nothing here, unenforceable policies."""
INTERNAL_ERROR: Final = -32603
"""An operating system error that has no code of its own, or a fault of the server."""
NOT_FOUND: Final = -32004
"""A path or a file handle does not exist."""
SESSION_ALREADY_ATTACHED: Final = -32010
"""The session is attached to another connection. The only code that asks for a retry."""


class ExecError(Exception):
    """Base of everything that the packages of exec-server raise on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default the constructor would be called with ``args``, which is the text alone.
        args: tuple[Any, ...] = self.args
        if isinstance(self, OSError) and self.filename is not None:
            args = (self.errno, self.strerror, self.filename)
        return _restore, (type(self), args), self.__dict__ or None


def _restore(kind: type[ExecError], args: tuple[Any, ...]) -> ExecError:
    """Return an error as it was, but for its own attributes, which pickle sets."""
    error = kind.__new__(kind, *args)
    if isinstance(error, OSError):
        OSError.__init__(error, *args)  # errno and the like are no attributes of the object
    return error


class ProtocolError(ExecError):
    """A message that breaks the rules of the wire. Raise one of the two children."""


class LocalProtocolError(ProtocolError):
    """This side tried to send something illegal. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal."""


class MalformedMessageError(RemoteProtocolError):
    """The peer sent bytes that are no message. The text says why and quotes at most a key."""


class RequestTooLargeError(MalformedMessageError):
    """The peer sent a request with more in it than servers take. The text says of what."""


class MessageTooLargeError(RemoteProtocolError):
    """The peer sent more than a frame or a message may hold."""


class RpcError(ExecError):
    """An error reply, raised by a handler to be sent or by a client that received it.

    Attributes:
        code: Number on the wire. An unknown one is kept as it came.
        message: Text for people. Never needed to decide anything.
        data: Further JSON from the peer, or ``None``.
    """

    default_code: ClassVar[int] = INTERNAL_ERROR

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.data = data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code}, message={self.message!r})"

    @staticmethod
    def from_code(code: int, message: str, data: Any = None) -> RpcError:
        """Return the exception for an error reply; the class follows from the code alone."""
        return _BY_CODE.get(code, RpcError)(message, code=code, data=data)


class InvalidRequestError(RpcError):
    """Wrong state, unknown or duplicate id, file access denied (-32600)."""

    default_code = INVALID_REQUEST


class MethodNotFoundError(RpcError):
    """The server does not know the method (-32601)."""

    default_code = METHOD_NOT_FOUND


class InvalidParamsError(RpcError):
    """Params of the wrong shape or that cannot be honoured (-32602)."""

    default_code = INVALID_PARAMS


class InternalError(RpcError):
    """An operating system error or a fault of the server (-32603)."""

    default_code = INTERNAL_ERROR


class NotFoundError(RpcError):
    """A path or a file handle does not exist (-32004)."""

    default_code = NOT_FOUND


class SessionAlreadyAttachedError(RpcError):
    """The session is attached to another connection (-32010). Retrying makes sense."""

    default_code = SESSION_ALREADY_ATTACHED


_BY_CODE: Final[dict[int, type[RpcError]]] = {
    kind.default_code: kind
    for kind in (
        InvalidRequestError,
        MethodNotFoundError,
        InvalidParamsError,
        InternalError,
        NotFoundError,
        SessionAlreadyAttachedError,
    )
}
