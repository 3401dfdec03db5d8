"""Giving up one process that cannot be followed any more, and no other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exec_server_protocol._names import ProcessId
from exec_server_protocol._plain import ProcessTerminateParams, ShapeError
from exec_server_protocol.errors import RpcError
from exec_server_protocol.methods import PROCESS_TERMINATE

from ..connection.generation import Generation
from ..process.followed_process import FollowedProcess

if TYPE_CHECKING:
    from .recovery import Recoverable

__all__ = ["give_up"]

logger = logging.getLogger(__name__)


async def give_up(
    client: Recoverable, generation: Generation, process: FollowedProcess, error: Exception
) -> None:
    """End a process, on the executor and here.

    Raises:
        GenerationLost: The connection is over. The process is still followed.
    """
    params = ProcessTerminateParams(process_id=ProcessId(process.process_id))
    try:
        await generation.call(PROCESS_TERMINATE.name, params.to_json())
    except RpcError as refusal:
        logger.debug("a process that could not be recovered: %d", refusal.code)
    client.forget(process)
    text = "the answer has the wrong shape" if isinstance(error, ShapeError) else str(error)
    process.fail(f"failed to recover process {process.process_id}: {text}", error)
