"""When an answer counts as sent: behind everything that left before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from exec_server.access.authorization import UNNAMED
from exec_server.config import Limits, ServerConfig
from exec_server.rpc.connection import Connection
from exec_server.rpc.states import ConnectionState
from exec_server.runtime.direct_future import AnswerWithHook
from exec_server.session.registry import SessionRegistry


class _Peer:
    """Keeps what is sent."""

    peer = "test"
    full = congested = False
    answering = True
    arrived = 0

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    @property
    def sent(self) -> int:
        return sum(map(len, self.messages))

    def send(self, message: bytes) -> None:
        self.messages.append(message)

    def ask_arrived(self) -> None:
        raise AssertionError

    def send_slices(self, *args: Any) -> None:
        raise AssertionError

    def send_piece(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError

    def when_drained(self, callback: Callable[[], None]) -> None:
        raise AssertionError

    def when_uncongested(self, callback: Callable[[], None]) -> None:
        raise AssertionError

    def when_answering(self, callback: Callable[[], None]) -> None:
        raise AssertionError

    def close(self, code: int, reason: str) -> None:
        raise AssertionError

    def initialized(self) -> None:
        raise AssertionError

    def set_crowded(self, *, crowded: bool) -> None:
        raise AssertionError

    def count_held(self) -> None:
        raise AssertionError


async def test_an_answer_that_comes_later_is_counted_where_it_ends_on_the_connection() -> None:
    peer = _Peer()
    future: asyncio.Future[AnswerWithHook] = asyncio.get_running_loop().create_future()
    handlers: Mapping[str, Any] = {"environment/status": lambda _connection, _params: future}
    registry = SessionRegistry(ServerConfig())
    connection = Connection(peer, UNNAMED, registry, handlers, Limits())
    connection.state = ConnectionState.READY
    connection.message_received('{"id":1,"method":"environment/status"}')
    assert peer.messages == []
    counted: list[int] = []
    future.set_result(AnswerWithHook(b'{"status":"ready"}', lambda: counted.append(peer.sent)))
    peer.send(b"output that was read in the meantime")
    await asyncio.sleep(0)
    peer.send(b"and after it")
    answer = b'{"id":1,"result":{"status":"ready"}}'
    assert peer.messages == [b"output that was read in the meantime", answer, b"and after it"]
    assert counted == [len(peer.messages[0]) + len(answer)]
    await registry.close(drain=0)
