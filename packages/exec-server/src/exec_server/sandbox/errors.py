"""Reasons for which a request cannot be confined. Nothing runs unconfined instead.

::

    ServerError
    └─ SandboxError                 abstract: says which code each kind of request answers
       ├─ PolicyNotEnforceableError the policy asks for what cannot be guaranteed here
       │  └─ ForeignPathError       one of its paths means nothing on this system
       ├─ ContextIncompleteError    it refers to a directory that it does not name
       └─ SandboxUnavailableError   no bubblewrap, or the system does not let it work
"""

from __future__ import annotations

from typing import ClassVar

from exec_server_protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST

from ..errors import ServerError

__all__ = [
    "ContextIncompleteError",
    "ForeignPathError",
    "PolicyNotEnforceableError",
    "SandboxError",
    "SandboxUnavailableError",
]


class SandboxError(ServerError):
    """A request cannot be confined as it asks.

    Attributes:
        fs_code: Code of the answer to an ``fs/*`` request.
        process_code: Code of the answer to ``process/start``.
    """

    fs_code: ClassVar[int] = INVALID_REQUEST
    process_code: ClassVar[int] = INVALID_PARAMS


class PolicyNotEnforceableError(SandboxError):
    """The policy asks for what cannot be guaranteed here. Asking again does not help."""


class ForeignPathError(PolicyNotEnforceableError):
    """A path of the policy belongs to another system."""


class ContextIncompleteError(SandboxError):
    """The policy refers to a working directory, and the context has none."""

    fs_code: ClassVar[int] = INVALID_PARAMS


class SandboxUnavailableError(SandboxError):
    """This machine cannot confine anything: the text says what is missing."""

    fs_code: ClassVar[int] = INTERNAL_ERROR
