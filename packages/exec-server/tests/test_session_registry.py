"""Who may resume a session: whoever it belongs to, once nobody is attached to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from exec_server.access.authorization import Owner
from exec_server.config import ServerConfig
from exec_server.session.registry import SessionRegistry
from exec_server_protocol.errors import InvalidRequestError, SessionAlreadyAttachedError


class _Sender:
    """Takes nothing: these sessions have nothing to tell."""

    full = False
    sent = arrived = 0

    def send(self, message: bytes) -> None:
        raise AssertionError

    def ask_arrived(self) -> None:
        raise AssertionError

    def when_drained(self, callback: Callable[[], None]) -> None:
        raise AssertionError


async def test_a_session_of_somebody_else_does_not_exist() -> None:
    registry = SessionRegistry(ServerConfig())
    first, second = _Sender(), _Sender()
    session = registry.open(first, Owner("a"))
    registry.detach(session, first)
    for stranger in (Owner("b"), Owner("a", "issuer"), Owner()):
        with pytest.raises(InvalidRequestError, match="unknown session id"):
            registry.resume(session.id, second, stranger)
    assert registry.resume(session.id, second, Owner("a")) is session
    await registry.close(drain=0)


async def test_a_session_with_a_connection_is_not_taken_over() -> None:
    registry = SessionRegistry(ServerConfig())
    session = registry.open(_Sender(), Owner())
    with pytest.raises(SessionAlreadyAttachedError):
        registry.resume(session.id, _Sender(), Owner())
    await registry.close(drain=0)
