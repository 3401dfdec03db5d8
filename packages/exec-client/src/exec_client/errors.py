"""Exceptions of the client.

::

    ClientError                     .maybe_executed: could the executor have acted on the request?
    ├─ ConnectError                 no connection could be made
    │  ├─ ConnectTimeoutError       ... within the time for it
    │  ├─ HandshakeTimeoutError     connected, but no answer to ``initialize``
    │  ├─ HandshakeRejectedError    the peer refuses, or is no executor
    │  │  └─ AccessDeniedError      ... because of the token: HTTP 401 or 403
    │  ├─ TlsError                  a certificate does not satisfy the other side
    │  └─ InsecureTokenError        a token would have been sent for others to read
    ├─ BadAnswerError               the executor's answer is malformed
    ├─ ConnectionBrokenError        the connection broke while a request was in flight
    ├─ SessionLostError             the session cannot be resumed: all further calls fail
    │  ├─ SessionExpiredError       the executor does not know it (any more)
    │  └─ RecoveryDeadlineError     no executor was reached in time
    ├─ ProcessBrokenError           one process cannot be followed any more
    │  └─ OutputLostError           output is missing, and cannot be had any more
    ├─ HttpBodyError                a streamed HTTP body ends before it is complete
    ├─ StdinClosedError             the process takes no input
    ├─ ProcessFailedError           ``check=True`` and an exit code that is not 0
    ├─ TimeoutExpired               a command ran longer than it was allowed to
    ├─ WrongContextError            used after a fork, in another event loop, or under trio
    ├─ OutputLimitError             a command wrote more than ``run`` returns unless it is told to
    ├─ UnsupportedError             the executor lacks a capability; nothing was sent
    └─ ClientClosedError            the client was closed here

What cannot be started is a ``StartError`` and what is refused about files a ``FileError``: both
are errors of the wire and ``OSError``.

``ClientError`` and the errors of the wire, ``RpcError`` and ``ProtocolError``, have the base
``ExecError``: it is the one to catch for all of them. Each can be copied and pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exec_server_protocol.errors import ExecError

__all__ = [
    "AccessDeniedError",
    "BadAnswerError",
    "ClientClosedError",
    "ClientError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionBrokenError",
    "ExecError",
    "HandshakeRejectedError",
    "HandshakeTimeoutError",
    "HttpBodyError",
    "InsecureTokenError",
    "OutputLimitError",
    "OutputLostError",
    "ProcessBrokenError",
    "ProcessFailedError",
    "RecoveryDeadlineError",
    "SessionExpiredError",
    "SessionLostError",
    "StdinClosedError",
    "TimeoutExpired",
    "TlsError",
    "UnsupportedError",
    "WrongContextError",
]


class ClientError(ExecError):
    """Base of what this side raises on purpose; what the executor answers is an ``RpcError``.

    Attributes:
        maybe_executed: Whether the executor may have carried out the request. False means
            that it has not, so that trying again does it once.
    """

    def __init__(self, text: str, *, maybe_executed: bool = False) -> None:
        super().__init__(text)
        self.maybe_executed = maybe_executed


class ConnectError(ClientError):
    """No connection could be made; the text names the URL and the cause."""


class ConnectTimeoutError(ConnectError):
    """TCP, TLS or the WebSocket upgrade took too long."""


class HandshakeTimeoutError(ConnectError):
    """The peer took the connection but did not answer ``initialize`` in time."""


class HandshakeRejectedError(ConnectError):
    """The peer answered the upgrade or ``initialize`` with an error, or speaks something else."""


class AccessDeniedError(HandshakeRejectedError):
    """The peer does not let this client in, with the token that it showed.

    A recovery ends with it at once.
    """


class TlsError(ConnectError):
    """One side does not accept the certificate of the other, or a file with one is unusable.

    A recovery ends with it at once.
    """


class InsecureTokenError(ConnectError):
    """The token would go to another machine over ``ws://``. Nothing was sent."""


class BadAnswerError(ClientError):
    """The executor answered, but not in the shape of the protocol. The connection goes on."""


class ConnectionBrokenError(ClientError):
    """The connection broke while a request was in flight; ``maybe_executed`` tells the rest."""


class SessionLostError(ClientError):
    """The session cannot be resumed. Every call of this client raises this from now on."""


class SessionExpiredError(SessionLostError):
    """The executor refused to resume the session: it does not know it any more."""


class RecoveryDeadlineError(SessionLostError):
    """The session was not resumed in time."""


class ProcessBrokenError(ClientError):
    """One process cannot be followed any more; others of the client are not affected."""


class OutputLostError(ProcessBrokenError):
    """Output is missing: the executor no longer has it, or it was not taken in time here.

    In the first case the process is ended, and what came behind the hole can still be had:
    ``process.retained(error.oldest_seq - 1)``. With ``lost_output="gap"`` there is a gap
    instead of this error, and nothing is ended.

    Attributes:
        after_seq: Last event that is known.
        oldest_seq: First event after it that there still is; ``None`` for none.
        lost_bytes: How much is missing; ``None`` when only the executor could know.
        received_bytes: Output that had arrived before; ``None`` where that says nothing.
        retained_bytes: Output after the hole that the executor still had; likewise.
    """

    def __init__(
        self,
        text: str,
        *,
        after_seq: int,
        oldest_seq: int | None = None,
        lost_bytes: int | None = None,
        received_bytes: int | None = None,
        retained_bytes: int | None = None,
    ) -> None:
        super().__init__(text)
        self.after_seq = after_seq
        self.oldest_seq = oldest_seq
        self.lost_bytes = lost_bytes
        self.received_bytes = received_bytes
        self.retained_bytes = retained_bytes


class HttpBodyError(ClientError):
    """A streamed HTTP body ends before it is complete; other requests are not affected."""


class StdinClosedError(ClientError):
    """The process has no stdin, or it has been closed."""


class UnsupportedError(ClientError):
    """The executor does not announce a capability that the call needs. Nothing was sent."""


class WrongContextError(ClientError, RuntimeError):
    """Used after ``os.fork``, in another event loop, or without asyncio. Nothing was sent."""


class ClientClosedError(ClientError):
    """The client was closed with ``aclose``."""


class ProcessFailedError(ClientError):
    """A command with ``check=True`` ended with an exit code other than 0.

    Attributes:
        argv: What was run.
        returncode: Exit code; 128 + N for signal N.
        stdout: All of it, or what ``max_output`` lets of it: bytes, or text if that was asked for.
        stderr: Likewise.
    """

    def __init__(self, argv: Sequence[str], returncode: int, stdout: Any, stderr: Any) -> None:
        super().__init__(f"{argv[0]} ended with exit code {returncode}", maybe_executed=True)
        self.argv = list(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr


class TimeoutExpired(ClientError):
    """A command ran longer than its timeout and was killed.

    Attributes:
        argv: What was run.
        timeout: Seconds that it was given.
        stdout: What it had written, as bytes, or as text if that was asked for; of a long output
            what ``max_output`` lets of it.
        stderr: Likewise.
    """

    def __init__(self, argv: Sequence[str], timeout: float, stdout: Any, stderr: Any) -> None:
        super().__init__(f"{argv[0]} was killed after {timeout:g} s", maybe_executed=True)
        self.argv = list(argv)
        self.timeout = timeout
        self.stdout = stdout
        self.stderr = stderr


class OutputLimitError(ClientError):
    """A command wrote more than ``run`` returns when ``max_output`` is not given. It has ended.

    Attributes:
        argv: What was run.
        returncode: Exit code; 128 + N for signal N.
        stdout: The beginning and the end of it.
        stderr: The same.
        limit: Most bytes of each that are returned.
    """

    def __init__(
        self, argv: Sequence[str], returncode: int, stdout: Any, stderr: Any, limit: int
    ) -> None:
        super().__init__(
            f"{argv[0]} wrote more than {limit >> 20} MiB: pass max_output to say how much to "
            "keep, or stdout to take it as it arrives",
            maybe_executed=True,
        )
        self.argv = list(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.limit = limit
