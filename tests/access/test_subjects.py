"""Whose a session is: with signed tokens, of the subject that opened it, and of nobody else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from exec_server_protocol.errors import INVALID_REQUEST, SESSION_ALREADY_ATTACHED
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient, WireError

pytestmark = [pytest.mark.process, pytest.mark.slow]

SECRET = "shared-secret-that-is-long-enough-for-all-of-the-algorithms-of-hmac"
WAIT_S = 20.0


def _token(subject: object, issuer: str | None = "one") -> str:
    claims = {"exp": int(time.time()) + 600, "sub": subject, "iss": issuer}
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(given).encode(), SECRET, "HS256")


def _secret_file(folder: Path, content: str) -> str:
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(content)
    return str(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    path = _secret_file(tmp_path_factory.mktemp("secret"), SECRET)
    with ServerProcess(
        *("--log-level", "debug", "--ws-auth", "signed-bearer-token"),
        *("--ws-shared-secret-file", path),
    ) as server:
        yield server


async def _refusal(url: str, session: str, token: str) -> tuple[int, str]:
    """Return what somebody is told who asks for a session and does not get it."""
    client = await WireClient.dial(url, token=token)
    with pytest.raises(WireError) as caught:
        await client.initialize(session)
    await client.close()
    return caught.value.code, str(caught.value).replace(session, "ID")


async def _resumed(url: str, session: str, token: str) -> WireClient:
    """Attach to a session; the server may not have noticed yet that it is free."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await WireClient.ready(url, session, token=token)
            except WireError as error:
                if error.code != SESSION_ALREADY_ATTACHED:
                    raise
            await asyncio.sleep(0.01)


async def test_who_opens_many_sessions_pushes_out_their_own(tmp_path: Path) -> None:
    path = _secret_file(tmp_path, SECRET)
    with ServerProcess(
        *("--session-ttl-seconds", "600", "--max-sessions", "4"),
        *("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", path),
    ) as server:
        bob = await WireClient.ready(server.url, token=_token("bob"))
        bob.abort()
        for _ in range(10):
            await (await WireClient.ready(server.url, token=_token("alice"))).close()
        carol = await WireClient.ready(server.url, token=_token("carol"))  # has none to push out
        bob = await _resumed(server.url, bob.session_id, _token("bob"))
        for client in (bob, carol):
            await client.close()


OWNERS: list[tuple[object, str | None]] = [
    ("alice", "one"),
    ("bob", "one"),
    ("alice", "two"),
    ("5", "one"),
    (5, "one"),
    ("", "one"),
    (None, "one"),
    (None, None),
]


@pytest.mark.parametrize("owner", OWNERS, ids=str)
async def test_another_subject_is_told_that_there_is_no_such_session(
    server: ServerProcess, owner: tuple[object, str | None]
) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    mine = await WireClient.ready(server.url, token=_token(*owner))
    others = [_token(*other) for other in OWNERS if other != owner]
    nothing = await _refusal(server.url, unknown, others[0])
    assert nothing == (INVALID_REQUEST, f"{INVALID_REQUEST}: unknown session id ID")
    for other in others:  # while it is attached, which nobody else can tell
        assert await _refusal(server.url, mine.session_id, other) == nothing
    await mine.close()
    back = await _resumed(server.url, mine.session_id, _token(*owner))
    await back.close()
    for other in others:  # while it waits for its owner, in whose time to live they cannot meddle
        assert await _refusal(server.url, mine.session_id, other) == nothing
    await (await _resumed(server.url, mine.session_id, _token(*owner))).close()
    assert mine.session_id not in server.log()


async def test_another_token_of_the_same_subject_resumes(server: ServerProcess) -> None:
    first = await WireClient.ready(server.url, token=_token("carol"))
    await first.close()
    claims = {"exp": int(time.time()) + 99, "sub": "carol", "iss": "one", "jti": "another"}
    second = await _resumed(server.url, first.session_id, jwt.encode(claims, SECRET, "HS256"))
    await second.close()


async def test_with_one_shared_token_the_id_is_what_entitles(tmp_path: Path) -> None:
    path = _secret_file(tmp_path, "one-token-for-all")
    with ServerProcess("--ws-auth", "capability-token", "--ws-token-file", path) as server:
        first = await WireClient.ready(server.url, token="one-token-for-all")
        await first.close()
        await (await _resumed(server.url, first.session_id, "one-token-for-all")).close()


async def test_nothing_of_a_subject_is_in_the_log(server: ServerProcess) -> None:
    client = await WireClient.ready(server.url, token=_token("mallory-the-subject", "the-issuer"))
    await _refusal(server.url, client.session_id, _token("eve-the-subject"))
    await client.close()
    log = server.log()
    for text in ("mallory", "eve-the", "the-issuer", client.session_id):
        assert text not in log
