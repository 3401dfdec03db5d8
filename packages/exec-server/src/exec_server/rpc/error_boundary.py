"""Boundary at which exceptions become wire errors: here and nowhere else."""

from __future__ import annotations

import logging

from exec_server_protocol.errors import INTERNAL_ERROR, RpcError
from exec_server_protocol.rpc import ErrorData

from ..errors import SpawnError
from ..sandbox.errors import SandboxError

__all__ = ["to_error_data"]

logger = logging.getLogger(__name__)


def to_error_data(error: BaseException, method: str) -> ErrorData:
    """Return the error that the peer gets for a failed request.

    An error that is meant for the peer keeps its code and text. Any other is a fault of
    ours: its text might hold anything, so it is logged and withheld.

    Args:
        error: What a handler raised.
        method: For the log.
    """
    if isinstance(error, RpcError):
        return ErrorData(error.code, error.message, error.data)
    if isinstance(error, SpawnError):
        return ErrorData(INTERNAL_ERROR, str(error), error.data)
    if isinstance(error, SandboxError):
        if method.startswith("process/"):
            text = f"failed to prepare process sandbox: {error}"
            return ErrorData(error.process_code, text, {"kind": "sandbox"})
        return ErrorData(error.fs_code, f"failed to prepare fs sandbox: {error}")
    logger.error("internal error in %s", method, exc_info=error)
    return ErrorData(INTERNAL_ERROR, "internal error")
