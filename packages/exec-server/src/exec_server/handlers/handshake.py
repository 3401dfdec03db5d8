"""``initialize``: the door to a session."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exec_server_protocol.errors import InvalidRequestError
from exec_server_protocol.rpc import encode_json

from ..rpc.states import ConnectionState
from .environment import EnvironmentDescription

if TYPE_CHECKING:
    from exec_server_protocol.handshake import InitializeParams

    from ..rpc.connection import Connection

__all__ = ["Initialize"]

logger = logging.getLogger(__name__)


class Initialize:
    """Opens a session, or resumes one."""

    def __init__(self, description: EnvironmentDescription) -> None:
        self._description = description

    def __call__(self, connection: Connection, params: InitializeParams) -> bytes:
        """Attach the connection.

        Raises:
            InvalidRequestError: Attached already, no such session, or too many.
            SessionAlreadyAttachedError: Another connection has it; trying again makes sense.
        """
        if connection.state is not ConnectionState.NEW:
            raise InvalidRequestError("initialize may only be sent once per connection")
        if params.resume_session_id is None:
            session = connection.registry.open(connection.peer, connection.owner)
            logger.info("session opened")
        else:
            session = connection.registry.resume(
                params.resume_session_id,
                connection.peer,
                connection.owner,
                behind=params.catch_up is True,
            )
            logger.info("session resumed, attachment %d", session.attachment.generation)
        connection.attach(session)
        return b'{"sessionId":%b,"environmentInfo":%b}' % (
            encode_json(session.id),
            self._description.json,
        )
